//! The kernels as operations of Burn's GPU backend, forward and backward, off the gradient tape.
//!
//! Where the framework fuses elementwise operations, it records these as opaque ones; the shapes of what they return are
//! stated beside each.

use burn::backend::tensor::{FloatTensor, IntTensor};
use burn::backend::{Backend, backend_extension};
use burn_cubecl::CubeBackend;

use crate::attention::gpu as flash;
use crate::attention::gpu::plan::FlashPlan;

#[cfg(feature = "fusion")]
use specs as s;

/// What a GPU computes in few launches. Shapes and formulas stand at the public function of each operation.
#[backend_extension(Cube, Fusion: cfg(feature = "fusion"))]
pub(crate) trait GpuOps: Backend {
    /// See [`flash::ranges`].
    #[fusion(meta = s::packed)]
    fn gpu_ranges(
        order: IntTensor<Self>,
        from: IntTensor<Self>,
        until: IntTensor<Self>,
        rows: usize,
    ) -> IntTensor<Self>;
    /// What the rows gather, and the logarithms of their sums of weights.
    #[fusion(meta = s::attention)]
    fn gpu_attention(
        q: FloatTensor<Self>,
        k: FloatTensor<Self>,
        v: FloatTensor<Self>,
        ranges: IntTensor<Self>,
        plan: FlashPlan,
    ) -> (FloatTensor<Self>, FloatTensor<Self>);
    /// Gradients of queries, keys and values.
    #[fusion(meta = |q, k, v, _ranges, _out, _log_sums, _d_out, _plan| (q.clone(), k.clone(), v.clone()))]
    #[allow(clippy::too_many_arguments)] // Tensors cross into the backend one by one.
    fn gpu_attention_backward(
        q: FloatTensor<Self>,
        k: FloatTensor<Self>,
        v: FloatTensor<Self>,
        ranges: IntTensor<Self>,
        out: FloatTensor<Self>,
        log_sums: FloatTensor<Self>,
        d_out: FloatTensor<Self>,
        plan: FlashPlan,
    ) -> (FloatTensor<Self>, FloatTensor<Self>, FloatTensor<Self>);
}

impl GpuOps for CubeBackend {
    fn gpu_ranges(
        order: IntTensor<Self>,
        from: IntTensor<Self>,
        until: IntTensor<Self>,
        rows: usize,
    ) -> IntTensor<Self> {
        flash::ranges::packed(order, from, until, rows)
    }

    fn gpu_attention(
        q: FloatTensor<Self>,
        k: FloatTensor<Self>,
        v: FloatTensor<Self>,
        ranges: IntTensor<Self>,
        plan: FlashPlan,
    ) -> (FloatTensor<Self>, FloatTensor<Self>) {
        flash::forward::forward(flash::forward::Inputs { q, k, v, ranges }, plan)
    }

    fn gpu_attention_backward(
        q: FloatTensor<Self>,
        k: FloatTensor<Self>,
        v: FloatTensor<Self>,
        ranges: IntTensor<Self>,
        out: FloatTensor<Self>,
        log_sums: FloatTensor<Self>,
        d_out: FloatTensor<Self>,
        plan: FlashPlan,
    ) -> (FloatTensor<Self>, FloatTensor<Self>, FloatTensor<Self>) {
        let inputs = flash::forward::Inputs { q, k, v, ranges };
        let outcome = flash::backward::Outcome { out, log_sums, d_out };
        flash::backward::backward(inputs, outcome, plan).into()
    }
}

/// What each operation returns, known before it runs.
#[cfg(feature = "fusion")]
mod specs {
    use burn::backend::fusion::custom::TensorSpec;
    use burn::tensor::{DType, Shape};

    use crate::attention::gpu::plan::FlashPlan;
    use crate::attention::gpu::ranges;

    fn spec<const R: usize>(shape: [usize; R], dtype: DType) -> TensorSpec {
        TensorSpec::new(Shape::from(shape), dtype)
    }

    pub(super) fn packed(order: &TensorSpec, from: &TensorSpec, _until: &TensorSpec, rows: &usize) -> TensorSpec {
        spec([ranges::length(order.shape[0], order.shape[1], from.shape[1], *rows)], DType::I32)
    }

    pub(super) fn attention(
        q: &TensorSpec,
        _k: &TensorSpec,
        _v: &TensorSpec,
        _ranges: &TensorSpec,
        _plan: &FlashPlan,
    ) -> (TensorSpec, TensorSpec) {
        (q.clone(), spec([q.shape[0], q.shape[2], q.shape[1]], DType::F32))
    }
}
