//! The kernels as operations of Burn's GPU backend, forward and backward, off the gradient tape.
//!
//! Where the framework fuses elementwise operations, it records these as opaque ones; the shapes of what they return are
//! stated beside each.

use burn::backend::tensor::{FloatTensor, IntTensor};
use burn::backend::{Backend, backend_extension};
use burn::tensor::DType;
use burn_cubecl::CubeBackend;

use crate::attention::gpu as flash;
use crate::attention::gpu::plan::FlashPlan;
use crate::linear::gpu::product as matmul;
use crate::optimizer::{Factors, gpu as update};

#[cfg(feature = "fusion")]
use specs as s;

/// What a GPU computes in few launches. Shapes and formulas stand at the public function of each operation.
#[backend_extension(Cube, Fusion: cfg(feature = "fusion"))]
pub(crate) trait GpuOps: Backend {
    /// `x W`, of the type of `x`.
    #[fusion(meta = s::product)]
    fn gpu_product(x: FloatTensor<Self>, weight: FloatTensor<Self>, compute: DType) -> FloatTensor<Self>;
    /// `dy Wᵀ`, of the type of `dy`.
    #[fusion(meta = s::product_dx)]
    fn gpu_product_dx(dy: FloatTensor<Self>, weight: FloatTensor<Self>, compute: DType) -> FloatTensor<Self>;
    /// `xᵀ dy`, in `f32`.
    #[fusion(meta = s::product_dw)]
    fn gpu_product_dw(x: FloatTensor<Self>, dy: FloatTensor<Self>, compute: DType) -> FloatTensor<Self>;

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

    /// Weight and moments after a step.
    #[fusion(meta = |weight, first, second, _gradient, _factors| (weight.clone(), first.clone(), second.clone()))]
    fn gpu_adamw(
        weight: FloatTensor<Self>,
        first: FloatTensor<Self>,
        second: FloatTensor<Self>,
        gradient: FloatTensor<Self>,
        factors: Factors,
    ) -> (FloatTensor<Self>, FloatTensor<Self>, FloatTensor<Self>);
    /// `kept · x + new · y`
    #[fusion(dtype = x, shape = x)]
    fn gpu_combine(x: FloatTensor<Self>, y: FloatTensor<Self>, kept: f32, new: f32) -> FloatTensor<Self>;
    /// `Σ x²`. `[1]`
    #[fusion(dtype = x, shape = s::one(x))]
    fn gpu_squared_norm(x: FloatTensor<Self>) -> FloatTensor<Self>;
}

impl GpuOps for CubeBackend {
    fn gpu_product(x: FloatTensor<Self>, weight: FloatTensor<Self>, compute: DType) -> FloatTensor<Self> {
        let out = x.dtype;
        matmul::product(x, weight, compute, out)
    }

    fn gpu_product_dx(dy: FloatTensor<Self>, weight: FloatTensor<Self>, compute: DType) -> FloatTensor<Self> {
        let out = dy.dtype;
        matmul::product(dy, matmul::transposed(weight), compute, out)
    }

    fn gpu_product_dw(x: FloatTensor<Self>, dy: FloatTensor<Self>, compute: DType) -> FloatTensor<Self> {
        matmul::product(matmul::transposed(x), dy, compute, DType::F32)
    }

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

    fn gpu_adamw(
        weight: FloatTensor<Self>,
        first: FloatTensor<Self>,
        second: FloatTensor<Self>,
        gradient: FloatTensor<Self>,
        factors: Factors,
    ) -> (FloatTensor<Self>, FloatTensor<Self>, FloatTensor<Self>) {
        update::adamw([weight, first, second], gradient, factors).into()
    }

    fn gpu_combine(x: FloatTensor<Self>, y: FloatTensor<Self>, kept: f32, new: f32) -> FloatTensor<Self> {
        update::combine(x, y, kept, new)
    }

    fn gpu_squared_norm(x: FloatTensor<Self>) -> FloatTensor<Self> {
        update::squared_norm(x)
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

    pub(super) fn one(_x: &Shape) -> Shape {
        Shape::from([1])
    }

    pub(super) fn product(x: &TensorSpec, weight: &TensorSpec, _compute: &DType) -> TensorSpec {
        spec([x.shape[0], weight.shape[1]], x.dtype)
    }

    pub(super) fn product_dx(dy: &TensorSpec, weight: &TensorSpec, _compute: &DType) -> TensorSpec {
        spec([dy.shape[0], weight.shape[0]], dy.dtype)
    }

    pub(super) fn product_dw(x: &TensorSpec, dy: &TensorSpec, _compute: &DType) -> TensorSpec {
        spec([x.shape[1], dy.shape[1]], DType::F32)
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
