//! The linear map on the CPU.

use burn::backend::autodiff::NodeId;
use burn::backend::autodiff::checkpoint::base::Checkpointer;
use burn::backend::autodiff::checkpoint::strategy::CheckpointStrategy;
use burn::backend::autodiff::grads::Gradients;
use burn::backend::autodiff::ops::{Backward, Ops, OpsKind};
use burn::backend::flex::FlexTensor;
use burn::backend::tensor::FloatTensor;
use burn::backend::{Autodiff, Backend, Flex, backend_extension};

use crate::cpu::array::{dense, shape, tensor, values};
use crate::cpu::matmul::{product, view};
use crate::cpu::tape::recall;

/// The operation on the CPU, on the gradient tape and off it. Every tensor is `f32`; [`crate::place`] sees to it.
#[backend_extension(Autodiff, Flex)]
pub(crate) trait LinearCpu: Backend {
    /// `x W`; `x`: `[rows, d_in]`, `weight`: `[d_in, d_out]`.
    fn linear(x: FloatTensor<Self>, weight: FloatTensor<Self>) -> FloatTensor<Self>;
}

impl LinearCpu for Flex {
    fn linear(x: FlexTensor, weight: FlexTensor) -> FlexTensor {
        linear_forward(&dense(x), &dense(weight))
    }
}

impl<C: CheckpointStrategy> LinearCpu for Autodiff<Flex, C> {
    fn linear(x: FloatTensor<Self>, weight: FloatTensor<Self>) -> FloatTensor<Self> {
        let (x_tracked, weight_tracked) = (x.is_tracked(), weight.is_tracked());
        match LinearBackward.prepare::<C>([x.node(), weight.node()]).compute_bound().stateful() {
            OpsKind::Tracked(mut prep) => {
                let kept_x = weight_tracked.then(|| prep.checkpoint(&x));
                let kept_weight = x_tracked.then(|| prep.checkpoint(&weight));
                let y = linear_forward(&dense(x.into_primitive()), &dense(weight.into_primitive()));
                prep.finish((kept_x, kept_weight), y)
            }
            OpsKind::UnTracked(prep) => prep.finish(Flex::linear(x.into_primitive(), weight.into_primitive())),
        }
    }
}

#[derive(Debug)]
struct LinearBackward;

impl Backward<Flex, 2> for LinearBackward {
    /// `x` if the weight needs a gradient, the weight if `x` does.
    type State = (Option<NodeId>, Option<NodeId>);

    fn backward(self, ops: Ops<Self::State, 2>, grads: &mut Gradients, checkpointer: &mut Checkpointer) {
        let [x_node, weight_node] = ops.parents.map(|parent| parent.map(|node| node.id));
        let (x, weight) = ops.state;
        let dy = dense(grads.consume::<Flex>(&ops.node));
        let dims = shape(&dy);
        let (rows, d_out) = (dims[0], dims[1]);
        let dy = view(values(&dy), rows, d_out, d_out);
        if let (Some(node), Some(weight)) = (x_node, weight) {
            let weight = recall(checkpointer, weight);
            let d_in = shape(&weight)[0];
            let weight = view(values(&weight), d_in, d_out, d_out);
            grads.register::<Flex>(node, tensor(product(dy, weight.transpose()), [rows, d_in]));
        }
        if let (Some(node), Some(x)) = (weight_node, x) {
            let x = recall(checkpointer, x);
            let d_in = shape(&x)[1];
            let x = view(values(&x), rows, d_in, d_in);
            grads.register::<Flex>(node, tensor(product(x.transpose(), dy), [d_in, d_out]));
        }
    }
}

fn linear_forward(x: &FlexTensor, weight: &FlexTensor) -> FlexTensor {
    let (x_shape, weight_shape) = (shape(x), shape(weight));
    let (rows, d_in, d_out) = (x_shape[0], x_shape[1], weight_shape[1]);
    let y = product(view(values(x), rows, d_in, d_in), view(values(weight), d_in, d_out, d_out));
    tensor(y, [rows, d_out])
}
