//! Root-mean-square norm: a cube takes rows in turn.
//!
//! ```text
//! r  = 1 / √(mean(x²) + ε)                 y = x · r · w
//! dx = r · (w · dy − x · r² · mean(w · dy · x))        dw = Σ_rows dy · x · r
//! ```

//!
//! After a sum, which is how a layer comes to its norms, `y = (a + b) · r · w`, and `a` and `b` each get the gradient of the
//! sum, which is `dx` and what the sum itself is sent.
//!
//! | file | what |
//! |---|---|
//! | [`plan`] | how rows are shared out |
//! | [`norm`] | the norm by itself |
//! | [`sum`] | the norm of a sum |

#![allow(unsafe_code)] // Launches; see [`crate::gpu`].

mod norm;
mod plan;
mod sum;

use burn::backend::autodiff::NodeId;
use burn::backend::autodiff::checkpoint::base::Checkpointer;
use burn::backend::autodiff::checkpoint::strategy::CheckpointStrategy;
use burn::backend::autodiff::grads::Gradients;
use burn::backend::autodiff::ops::{Backward, Ops, OpsKind};
#[cfg(feature = "fusion")]
use burn::backend::fusion::custom::TensorSpec;
use burn::backend::tensor::FloatTensor;
use burn::backend::{Autodiff, Backend, Cube, TensorMetadata, backend_extension};
use burn::tensor::DType;
use burn_cubecl::CubeBackend;
use burn_cubecl::tensor::CubeTensor;

use self::sum::{Sum, SumGradients};
use crate::gpu::tape::{register, register_none};
use crate::tape::list::TensorList;
use crate::tape::results::{Results, stand_in};

/// The passes on GPUs, off the gradient tape.
#[backend_extension(Cube, Fusion: cfg(feature = "fusion"))]
pub(crate) trait RmsNormKernels: Backend {
    /// The normed rows as `dtype`, and each row's scale.
    #[fusion(meta = normed_rows)]
    fn rms_norm_forward(
        x: FloatTensor<Self>,
        weight: FloatTensor<Self>,
        epsilon: f64,
        dtype: DType,
    ) -> (FloatTensor<Self>, FloatTensor<Self>);
    /// Gradients of rows and weight.
    #[fusion(meta = |x, weight, _scales, _dy| (x.clone(), weight.clone()))]
    fn rms_norm_backward(
        x: FloatTensor<Self>,
        weight: FloatTensor<Self>,
        scales: FloatTensor<Self>,
        dy: FloatTensor<Self>,
    ) -> (FloatTensor<Self>, FloatTensor<Self>);
    /// The sum in the type of `x`, its normed rows as `dtype`, and each row's scale.
    #[fusion(meta = normed_sums)]
    fn sum_norm_forward(
        x: FloatTensor<Self>,
        branch: FloatTensor<Self>,
        weight: FloatTensor<Self>,
        epsilon: f64,
        dtype: DType,
    ) -> (FloatTensor<Self>, FloatTensor<Self>, FloatTensor<Self>);
    /// Gradients of both parts of the sum, the second as `dtype`, and of the weight; `d_sum` has what the sum itself is sent,
    /// or nothing.
    #[fusion(meta = |sum, weight, _scales, _dy, _d_sum, dtype| {
        (sum.clone(), TensorSpec::new(sum.shape.clone(), *dtype), weight.clone())
    })]
    fn sum_norm_backward(
        sum: FloatTensor<Self>,
        weight: FloatTensor<Self>,
        scales: FloatTensor<Self>,
        dy: FloatTensor<Self>,
        #[extension_type] d_sum: TensorList<Self>,
        dtype: DType,
    ) -> (FloatTensor<Self>, FloatTensor<Self>, FloatTensor<Self>);
}

/// What the forward pass of a sum returns, known before it runs.
#[cfg(feature = "fusion")]
fn normed_sums(
    x: &TensorSpec,
    _branch: &TensorSpec,
    weight: &TensorSpec,
    epsilon: &f64,
    dtype: &DType,
) -> (TensorSpec, TensorSpec, TensorSpec) {
    let (normed, scales) = normed_rows(x, weight, epsilon, dtype);
    (x.clone(), normed, scales)
}

/// What the forward pass returns, known before it runs.
#[cfg(feature = "fusion")]
fn normed_rows(x: &TensorSpec, _weight: &TensorSpec, _epsilon: &f64, dtype: &DType) -> (TensorSpec, TensorSpec) {
    let width = x.shape.iter().last().copied().unwrap_or(1);
    let rows = x.shape.num_elements() / width;
    (TensorSpec::new(x.shape.clone(), *dtype), TensorSpec::new([rows].into(), DType::F32))
}

impl RmsNormKernels for CubeBackend {
    fn rms_norm_forward(x: CubeTensor, weight: CubeTensor, epsilon: f64, dtype: DType) -> (CubeTensor, CubeTensor) {
        norm::forward(x, weight, epsilon, dtype)
    }

    fn rms_norm_backward(
        x: CubeTensor,
        weight: CubeTensor,
        scales: CubeTensor,
        dy: CubeTensor,
    ) -> (CubeTensor, CubeTensor) {
        norm::backward(x, weight, scales, dy)
    }

    fn sum_norm_forward(
        x: CubeTensor,
        branch: CubeTensor,
        weight: CubeTensor,
        epsilon: f64,
        dtype: DType,
    ) -> (CubeTensor, CubeTensor, CubeTensor) {
        sum::forward(x, branch, weight, epsilon, dtype)
    }

    fn sum_norm_backward(
        sum: CubeTensor,
        weight: CubeTensor,
        scales: CubeTensor,
        dy: CubeTensor,
        mut d_sum: TensorList<Self>,
        dtype: DType,
    ) -> (CubeTensor, CubeTensor, CubeTensor) {
        let SumGradients { dx, d_branch, d_weight } =
            sum::backward(Sum { sum, weight, scales }, dy, d_sum.0.pop(), dtype);
        (dx, d_branch, d_weight)
    }
}

/// The operation on GPUs, on the gradient tape and off it.
#[backend_extension(Autodiff, Cube)]
pub(crate) trait RmsNormGpu: Backend {
    /// See [`crate::rms_norm()`]; the rows come out as `dtype`.
    fn rms_norm(x: FloatTensor<Self>, weight: FloatTensor<Self>, epsilon: f64, dtype: DType) -> FloatTensor<Self>;
    /// See [`crate::rms_norm::sum_norm`]; the sum and its normed rows, which come out as `dtype`.
    fn sum_norm(
        x: FloatTensor<Self>,
        branch: FloatTensor<Self>,
        weight: FloatTensor<Self>,
        epsilon: f64,
        dtype: DType,
    ) -> (FloatTensor<Self>, FloatTensor<Self>);
}

impl RmsNormGpu for Cube {
    fn rms_norm(x: FloatTensor<Self>, weight: FloatTensor<Self>, epsilon: f64, dtype: DType) -> FloatTensor<Self> {
        Self::rms_norm_forward(x, weight, epsilon, dtype).0
    }

    fn sum_norm(
        x: FloatTensor<Self>,
        branch: FloatTensor<Self>,
        weight: FloatTensor<Self>,
        epsilon: f64,
        dtype: DType,
    ) -> (FloatTensor<Self>, FloatTensor<Self>) {
        let (sum, normed, _) = Self::sum_norm_forward(x, branch, weight, epsilon, dtype);
        (sum, normed)
    }
}

impl<B: RmsNormKernels, C: CheckpointStrategy> RmsNormGpu for Autodiff<B, C> {
    fn rms_norm(x: FloatTensor<Self>, weight: FloatTensor<Self>, epsilon: f64, dtype: DType) -> FloatTensor<Self> {
        match RmsNormBackward.prepare::<C>([x.node(), weight.node()]).compute_bound().stateful() {
            OpsKind::Tracked(mut prep) => {
                let kept = prep.checkpoint(&x);
                let weight = weight.into_primitive();
                let (y, scales) = B::rms_norm_forward(x.into_primitive(), weight.clone(), epsilon, dtype);
                prep.finish((kept, weight, scales), y)
            }
            OpsKind::UnTracked(prep) => {
                prep.finish(B::rms_norm_forward(x.into_primitive(), weight.into_primitive(), epsilon, dtype).0)
            }
        }
    }

    fn sum_norm(
        x: FloatTensor<Self>,
        branch: FloatTensor<Self>,
        weight: FloatTensor<Self>,
        epsilon: f64,
        dtype: DType,
    ) -> (FloatTensor<Self>, FloatTensor<Self>) {
        let nodes = [x.node(), branch.node(), weight.node()];
        let [x, branch, weight] = [x, branch, weight].map(|tensor| tensor.into_primitive());
        let branch_type = branch.dtype();
        let (sum, normed, scales) = B::sum_norm_forward(x, branch, weight.clone(), epsilon, dtype);
        let results = match SumNormBackward.prepare::<C>(nodes).compute_bound().stateful() {
            OpsKind::Tracked(prep) => {
                let results = Results::<B>::new();
                let state = SumNormState { sum: sum.clone(), weight, scales, branch_type, results: results.clone() };
                let node = prep.finish(state, stand_in::<B>(&sum));
                results.attach::<C>(node, vec![sum, normed])
            }
            OpsKind::UnTracked(_) => Results::<B>::untracked::<C>(vec![sum, normed]),
        };
        let [sum, normed] = results.try_into().unwrap_or_else(|_| unreachable!("as many results as went in"));
        (sum, normed)
    }
}

#[derive(Debug)]
struct RmsNormBackward;

impl<B: RmsNormKernels> Backward<B, 2> for RmsNormBackward {
    /// `x`, the weight, and each row's scale.
    type State = (NodeId, FloatTensor<B>, FloatTensor<B>);

    fn backward(self, ops: Ops<Self::State, 2>, grads: &mut Gradients, checkpointer: &mut Checkpointer) {
        let [x_node, weight_node] = ops.parents.map(|parent| parent.map(|node| node.id));
        let (x, weight, scales) = ops.state;
        let dy = grads.consume::<B>(&ops.node);
        let x = checkpointer.retrieve_node_output(x);
        let (dx, d_weight) = B::rms_norm_backward(x, weight, scales, dy);
        register::<B>(grads, x_node, dx);
        register::<B>(grads, weight_node, d_weight);
    }
}

#[derive(Debug)]
struct SumNormBackward;

/// What the norm of a sum keeps.
#[derive(Clone, Debug)]
struct SumNormState<B: Backend> {
    sum: FloatTensor<B>,
    weight: FloatTensor<B>,
    scales: FloatTensor<B>,
    branch_type: DType,
    results: Results<B>,
}

impl<B: RmsNormKernels> Backward<B, 3> for SumNormBackward {
    type State = SumNormState<B>;

    fn backward(self, ops: Ops<Self::State, 3>, grads: &mut Gradients, _: &mut Checkpointer) {
        let mut arrived = ops.state.results.gradients_in_order(grads, &ops, 2).into_iter();
        let (d_sum, dy) = (arrived.next().flatten(), arrived.next().flatten());
        let weight_is_leaf = ops.parents[2].as_ref().is_none_or(|node| node.parents.is_empty());
        let [x_node, branch_node, weight_node] = ops.parents.map(|parent| parent.map(|node| node.id));
        let SumNormState { sum, weight, scales, branch_type, .. } = ops.state;
        match dy {
            Some(dy) => {
                let d_sum = TensorList(d_sum.into_iter().collect());
                let (dx, d_branch, d_weight) = B::sum_norm_backward(sum, weight, scales, dy, d_sum, branch_type);
                register::<B>(grads, x_node, dx);
                register::<B>(grads, branch_node, d_branch);
                register::<B>(grads, weight_node, d_weight);
            }
            // Nobody used the normed rows.
            None => {
                let Some(d_sum) = d_sum else { return };
                register::<B>(grads, branch_node, B::float_cast(d_sum.clone(), branch_type.into()));
                register::<B>(grads, x_node, d_sum);
                register_none::<B>(grads, weight_node, weight_is_leaf, &weight);
            }
        }
    }
}
