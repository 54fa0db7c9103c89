//! Linear maps of groups of rows on the CPU: a matrix product for each group, and nothing for one without rows.

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
use crate::cpu::matmul::{Arithmetic, products, view};
use crate::cpu::tape::recall;
use crate::timing::operation;

/// The operation on the CPU, on the gradient tape and off it. Every tensor is `f32`; [`crate::place`] sees to it.
#[backend_extension(Autodiff, Flex)]
pub(crate) trait GroupedLinearCpu: Backend {
    /// `x`: `[N, d_in]`, `weight`: `[G, d_in, d_out]`.
    fn grouped_linear(x: FloatTensor<Self>, weight: FloatTensor<Self>, form: GroupedForm) -> FloatTensor<Self>;
}

/// Where the groups are, and what their products are computed in.
#[derive(Clone, Debug)]
pub(crate) struct GroupedForm {
    /// One past the last row of each group.
    pub(crate) ends: Vec<usize>,
    pub(crate) arithmetic: Arithmetic,
}

impl GroupedForm {
    /// Calls `f` with the number, the first row and the number of rows of each group.
    fn groups<T>(&self, mut f: impl FnMut(usize, usize, usize) -> T) -> Vec<T> {
        let starts = [0].into_iter().chain(self.ends.iter().copied());
        starts.zip(&self.ends).enumerate().map(|(group, (start, &end))| f(group, start, end - start)).collect()
    }

    fn forward(&self, x: &FlexTensor, weight: &FlexTensor) -> FlexTensor {
        let _running = operation("linear maps of groups");
        let (rows, [_, _, d_out]) = (shape(x)[0], sizes(weight));
        let pairs = self.groups(|group, start, count| (rows_of(x, start, count), matrix(weight, group)));
        tensor(products(self.arithmetic, [rows, d_out], &pairs), [rows, d_out])
    }

    /// `∂x = ∂y Wᵀ`, group by group.
    fn rows_backward(&self, dy: &FlexTensor, weight: &FlexTensor) -> FlexTensor {
        let (rows, [_, d_in, _]) = (shape(dy)[0], sizes(weight));
        let pairs = self.groups(|group, start, count| (rows_of(dy, start, count), matrix(weight, group).transpose()));
        tensor(products(self.arithmetic, [rows, d_in], &pairs), [rows, d_in])
    }

    /// `∂W = xᵀ ∂y`, group by group; zero for a group without rows.
    fn weight_backward(&self, x: &FlexTensor, dy: &FlexTensor) -> FlexTensor {
        let (groups, d_in, d_out) = (self.ends.len(), shape(x)[1], shape(dy)[1]);
        let pairs = self.groups(|_, start, count| (rows_of(x, start, count).transpose(), rows_of(dy, start, count)));
        tensor(products(self.arithmetic, [groups * d_in, d_out], &pairs), [groups, d_in, d_out])
    }
}

fn sizes(weight: &FlexTensor) -> [usize; 3] {
    let dims = shape(weight);
    [dims[0], dims[1], dims[2]]
}

/// `count` rows from `start`.
fn rows_of(x: &FlexTensor, start: usize, count: usize) -> MatRef<'_, f32> {
    let width = shape(x)[1];
    view(&values(x)[start * width..(start + count) * width], count, width, width)
}

/// The matrix of a group.
fn matrix(weight: &FlexTensor, group: usize) -> MatRef<'_, f32> {
    let [_, d_in, d_out] = sizes(weight);
    view(&values(weight)[group * d_in * d_out..(group + 1) * d_in * d_out], d_in, d_out, d_out)
}

impl GroupedLinearCpu for Flex {
    fn grouped_linear(x: FlexTensor, weight: FlexTensor, form: GroupedForm) -> FlexTensor {
        form.forward(&dense(x), &dense(weight))
    }
}

impl<C: CheckpointStrategy> GroupedLinearCpu for Autodiff<Flex, C> {
    fn grouped_linear(x: FloatTensor<Self>, weight: FloatTensor<Self>, form: GroupedForm) -> FloatTensor<Self> {
        let (x_tracked, weight_tracked) = (x.is_tracked(), weight.is_tracked());
        match GroupedLinearBackward.prepare::<C>([x.node(), weight.node()]).compute_bound().stateful() {
            OpsKind::Tracked(mut prep) => {
                let kept_x = weight_tracked.then(|| prep.checkpoint(&x));
                let kept_weight = x_tracked.then(|| prep.checkpoint(&weight));
                let y = form.forward(&dense(x.into_primitive()), &dense(weight.into_primitive()));
                prep.finish((form, kept_x, kept_weight), y)
            }
            OpsKind::UnTracked(prep) => {
                prep.finish(Flex::grouped_linear(x.into_primitive(), weight.into_primitive(), form))
            }
        }
    }
}

#[derive(Debug)]
struct GroupedLinearBackward;

impl Backward<Flex, 2> for GroupedLinearBackward {
    /// `x` if the weight needs a gradient, the weight if `x` does.
    type State = (GroupedForm, Option<NodeId>, Option<NodeId>);

    fn backward(self, ops: Ops<Self::State, 2>, grads: &mut Gradients, checkpointer: &mut Checkpointer) {
        let _running = operation("linear maps of groups");
        let [x_node, weight_node] = ops.parents.map(|parent| parent.map(|node| node.id));
        let (form, x, weight) = ops.state;
        let dy = dense(grads.consume::<Flex>(&ops.node));
        if let (Some(node), Some(weight)) = (x_node, weight) {
            grads.register::<Flex>(node, form.rows_backward(&dy, &recall(checkpointer, weight)));
        }
        if let (Some(node), Some(x)) = (weight_node, x) {
            grads.register::<Flex>(node, form.weight_backward(&recall(checkpointer, x), &dy));
        }
    }
}
