//! The linear map on the CPU.

use burn::backend::autodiff::NodeId;
use burn::backend::autodiff::checkpoint::base::Checkpointer;
use burn::backend::autodiff::checkpoint::strategy::CheckpointStrategy;
use burn::backend::autodiff::grads::Gradients;
use burn::backend::autodiff::ops::{Backward, Ops, OpsKind};
use burn::backend::flex::FlexTensor;
use burn::backend::tensor::FloatTensor;
use burn::backend::{Autodiff, Backend, Flex, backend_extension};
use faer::MatRef;

use crate::cpu::array::{dense, shape, tensor, values};
use crate::cpu::matmul::{Arithmetic, product, view};
use crate::cpu::tape::recall;
use crate::timing::operation;

/// The operation on the CPU, on the gradient tape and off it. Every tensor is `f32`; [`crate::place`] sees to it.
#[backend_extension(Autodiff, Flex)]
pub(crate) trait LinearCpu: Backend {
    /// `x W`; `x`: `[rows, d_in]`, `weight`: as its layout says.
    fn linear(x: FloatTensor<Self>, weight: FloatTensor<Self>, form: Form) -> FloatTensor<Self>;
}

/// How the weight lies, and what its products are computed in.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Form {
    /// Whether the weight is kept row by row of the output, `[d_out, d_in]` instead of `[d_in, d_out]`.
    pub(crate) is_by_row: bool,
    pub(crate) arithmetic: Arithmetic,
}

impl Form {
    /// The weight as `[d_in, d_out]`.
    fn view<'a>(&self, weight: &'a FlexTensor) -> MatRef<'a, f32> {
        let dims = shape(weight);
        let stored = view(values(weight), dims[0], dims[1], dims[1]);
        if self.is_by_row { stored.transpose() } else { stored }
    }

    fn forward(&self, x: &FlexTensor, weight: &FlexTensor) -> FlexTensor {
        let _running = operation("linear map");
        let (x_shape, weight) = (shape(x), self.view(weight));
        let (rows, d_out) = (x_shape[0], weight.ncols());
        let y = product(self.arithmetic, view(values(x), rows, x_shape[1], x_shape[1]), weight);
        tensor(y, [rows, d_out])
    }
}

impl LinearCpu for Flex {
    fn linear(x: FlexTensor, weight: FlexTensor, form: Form) -> FlexTensor {
        form.forward(&dense(x), &dense(weight))
    }
}

impl<C: CheckpointStrategy> LinearCpu for Autodiff<Flex, C> {
    fn linear(x: FloatTensor<Self>, weight: FloatTensor<Self>, form: Form) -> FloatTensor<Self> {
        let (x_tracked, weight_tracked) = (x.is_tracked(), weight.is_tracked());
        match LinearBackward.prepare::<C>([x.node(), weight.node()]).compute_bound().stateful() {
            OpsKind::Tracked(mut prep) => {
                let kept_x = weight_tracked.then(|| prep.checkpoint(&x));
                let kept_weight = x_tracked.then(|| prep.checkpoint(&weight));
                let y = form.forward(&dense(x.into_primitive()), &dense(weight.into_primitive()));
                prep.finish((form, kept_x, kept_weight), y)
            }
            OpsKind::UnTracked(prep) => prep.finish(Flex::linear(x.into_primitive(), weight.into_primitive(), form)),
        }
    }
}

#[derive(Debug)]
struct LinearBackward;

impl Backward<Flex, 2> for LinearBackward {
    /// `x` if the weight needs a gradient, the weight if `x` does.
    type State = (Form, Option<NodeId>, Option<NodeId>);

    fn backward(self, ops: Ops<Self::State, 2>, grads: &mut Gradients, checkpointer: &mut Checkpointer) {
        let _running = operation("linear map");
        let [x_node, weight_node] = ops.parents.map(|parent| parent.map(|node| node.id));
        let (form, x, weight) = ops.state;
        let dy = dense(grads.consume::<Flex>(&ops.node));
        let dims = shape(&dy);
        let (rows, d_out) = (dims[0], dims[1]);
        let dy = view(values(&dy), rows, d_out, d_out);
        if let (Some(node), Some(weight)) = (x_node, weight) {
            let weight = recall(checkpointer, weight);
            let weight = form.view(&weight);
            let dx = product(form.arithmetic, dy, weight.transpose());
            grads.register::<Flex>(node, tensor(dx, [rows, weight.nrows()]));
        }
        if let (Some(node), Some(x)) = (weight_node, x) {
            let x = recall(checkpointer, x);
            let d_in = shape(&x)[1];
            let x = view(values(&x), rows, d_in, d_in);
            let d_weight = match form.is_by_row {
                true => tensor(product(form.arithmetic, dy.transpose(), x), [d_out, d_in]),
                false => tensor(product(form.arithmetic, x.transpose(), dy), [d_in, d_out]),
            };
            grads.register::<Flex>(node, d_weight);
        }
    }
}
