//! Rotary embedding on GPUs: what it is to Burn's backend and to the gradient tape; [`kernel`] has the kernels.

#![allow(unsafe_code)] // Launches; see [`crate::gpu`].

mod kernel;

use burn::backend::autodiff::NodeId;
use burn::backend::autodiff::checkpoint::base::Checkpointer;
use burn::backend::autodiff::checkpoint::strategy::CheckpointStrategy;
use burn::backend::autodiff::grads::Gradients;
use burn::backend::autodiff::ops::{Backward, Ops, OpsKind};
use burn::backend::tensor::FloatTensor;
use burn::backend::{Autodiff, Backend, Cube, backend_extension};
use burn_cubecl::CubeBackend;
use burn_cubecl::tensor::CubeTensor;

use self::kernel::{Angles, HeadNorm};
use crate::gpu::tape::register;

/// The passes on GPUs, off the gradient tape.
#[backend_extension(Cube, Fusion: cfg(feature = "fusion"))]
pub(crate) trait RopeKernels: Backend {
    /// Heads rotated by their rows' angles, or back for a direction of −1.
    #[fusion(dtype = x, shape = x)]
    fn rotate_by(
        x: FloatTensor<Self>,
        cos: FloatTensor<Self>,
        sin: FloatTensor<Self>,
        direction: f32,
    ) -> FloatTensor<Self>;
    /// Heads normed, then rotated.
    #[fusion(dtype = x, shape = x)]
    fn norm_rotate_forward(
        x: FloatTensor<Self>,
        weight: FloatTensor<Self>,
        cos: FloatTensor<Self>,
        sin: FloatTensor<Self>,
        epsilon: f64,
    ) -> FloatTensor<Self>;
    /// Gradients of heads and weight.
    #[fusion(meta = |x, weight, _cos, _sin, _dy, _epsilon| (x.clone(), weight.clone()))]
    fn norm_rotate_backward(
        x: FloatTensor<Self>,
        weight: FloatTensor<Self>,
        cos: FloatTensor<Self>,
        sin: FloatTensor<Self>,
        dy: FloatTensor<Self>,
        epsilon: f64,
    ) -> (FloatTensor<Self>, FloatTensor<Self>);
}

impl RopeKernels for CubeBackend {
    fn rotate_by(x: CubeTensor, cos: CubeTensor, sin: CubeTensor, direction: f32) -> CubeTensor {
        kernel::forward(x, None, Angles { cos, sin }, direction)
    }

    fn norm_rotate_forward(
        x: CubeTensor,
        weight: CubeTensor,
        cos: CubeTensor,
        sin: CubeTensor,
        epsilon: f64,
    ) -> CubeTensor {
        kernel::forward(x, Some(HeadNorm { weight, epsilon }), Angles { cos, sin }, 1.0)
    }

    fn norm_rotate_backward(
        x: CubeTensor,
        weight: CubeTensor,
        cos: CubeTensor,
        sin: CubeTensor,
        dy: CubeTensor,
        epsilon: f64,
    ) -> (CubeTensor, CubeTensor) {
        kernel::backward(x, HeadNorm { weight, epsilon }, Angles { cos, sin }, dy)
    }
}

/// The operation on GPUs, on the gradient tape and off it.
#[backend_extension(Autodiff, Cube)]
pub(crate) trait RopeGpu: Backend {
    /// See [`crate::rotate`]; `cos`, `sin`: `[B, S, 1, Dh/2]`.
    fn rotate(x: FloatTensor<Self>, cos: FloatTensor<Self>, sin: FloatTensor<Self>) -> FloatTensor<Self>;
    /// See [`crate::norm_rotate`].
    fn norm_rotate(
        x: FloatTensor<Self>,
        weight: FloatTensor<Self>,
        cos: FloatTensor<Self>,
        sin: FloatTensor<Self>,
        epsilon: f64,
    ) -> FloatTensor<Self>;
}

impl RopeGpu for Cube {
    fn rotate(x: FloatTensor<Self>, cos: FloatTensor<Self>, sin: FloatTensor<Self>) -> FloatTensor<Self> {
        Self::rotate_by(x, cos, sin, 1.0)
    }

    fn norm_rotate(
        x: FloatTensor<Self>,
        weight: FloatTensor<Self>,
        cos: FloatTensor<Self>,
        sin: FloatTensor<Self>,
        epsilon: f64,
    ) -> FloatTensor<Self> {
        Self::norm_rotate_forward(x, weight, cos, sin, epsilon)
    }
}

impl<B: RopeKernels, C: CheckpointStrategy> RopeGpu for Autodiff<B, C> {
    fn rotate(x: FloatTensor<Self>, cos: FloatTensor<Self>, sin: FloatTensor<Self>) -> FloatTensor<Self> {
        let (cos, sin) = (cos.into_primitive(), sin.into_primitive());
        match RotateBackward.prepare::<C>([x.node()]).compute_bound().stateful() {
            OpsKind::Tracked(prep) => {
                let y = B::rotate_by(x.into_primitive(), cos.clone(), sin.clone(), 1.0);
                prep.finish((cos, sin), y)
            }
            OpsKind::UnTracked(prep) => prep.finish(B::rotate_by(x.into_primitive(), cos, sin, 1.0)),
        }
    }

    fn norm_rotate(
        x: FloatTensor<Self>,
        weight: FloatTensor<Self>,
        cos: FloatTensor<Self>,
        sin: FloatTensor<Self>,
        epsilon: f64,
    ) -> FloatTensor<Self> {
        let [cos, sin] = [cos, sin].map(|x| x.into_primitive());
        match NormRotateBackward.prepare::<C>([x.node(), weight.node()]).compute_bound().stateful() {
            OpsKind::Tracked(mut prep) => {
                let kept = prep.checkpoint(&x);
                let weight = weight.into_primitive();
                let y = B::norm_rotate_forward(x.into_primitive(), weight.clone(), cos.clone(), sin.clone(), epsilon);
                prep.finish(NormRotateState::<B> { x: kept, weight, cos, sin, epsilon }, y)
            }
            OpsKind::UnTracked(prep) => {
                prep.finish(B::norm_rotate_forward(x.into_primitive(), weight.into_primitive(), cos, sin, epsilon))
            }
        }
    }
}

#[derive(Debug)]
struct RotateBackward;

impl<B: RopeKernels> Backward<B, 1> for RotateBackward {
    /// Cosines and sines.
    type State = (FloatTensor<B>, FloatTensor<B>);

    fn backward(self, ops: Ops<Self::State, 1>, grads: &mut Gradients, _: &mut Checkpointer) {
        let [node] = ops.parents.map(|parent| parent.map(|node| node.id));
        let (cos, sin) = ops.state;
        let dy = grads.consume::<B>(&ops.node);
        register::<B>(grads, node, B::rotate_by(dy, cos, sin, -1.0));
    }
}

#[derive(Debug)]
struct NormRotateBackward;

/// What a normed rotation keeps.
#[derive(Clone, Debug)]
struct NormRotateState<B: Backend> {
    x: NodeId,
    weight: FloatTensor<B>,
    cos: FloatTensor<B>,
    sin: FloatTensor<B>,
    epsilon: f64,
}

impl<B: RopeKernels> Backward<B, 2> for NormRotateBackward {
    type State = NormRotateState<B>;

    fn backward(self, ops: Ops<Self::State, 2>, grads: &mut Gradients, checkpointer: &mut Checkpointer) {
        let [x_node, weight_node] = ops.parents.map(|parent| parent.map(|node| node.id));
        let NormRotateState { x, weight, cos, sin, epsilon } = ops.state;
        let dy = grads.consume::<B>(&ops.node);
        let x = checkpointer.retrieve_node_output(x);
        let (dx, d_weight) = B::norm_rotate_backward(x, weight, cos, sin, dy, epsilon);
        register::<B>(grads, x_node, dx);
        register::<B>(grads, weight_node, d_weight);
    }
}
