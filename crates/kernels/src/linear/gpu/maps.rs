//! Several maps of the same rows on the gradient tape, as one operation: so the gradient of the rows is a sum of products, which
//! are added up where they are made.

use burn::backend::autodiff::checkpoint::base::Checkpointer;
use burn::backend::autodiff::checkpoint::strategy::CheckpointStrategy;
use burn::backend::autodiff::grads::Gradients;
use burn::backend::autodiff::ops::{Backward, Ops, OpsKind};
use burn::backend::tensor::FloatTensor;
use burn::backend::{Autodiff, Backend};
use burn::tensor::DType;

use super::LinearKernels;
use crate::gpu::tape::{register, register_none};
use crate::tape::list::TensorList;
use crate::tape::results::{Results, stand_in};

/// `x W` of each weight; `N` counts the rows and the weights.
pub(super) fn on_tape<B: LinearKernels, C: CheckpointStrategy, const N: usize>(
    x: FloatTensor<Autodiff<B, C>>,
    weights: Vec<FloatTensor<Autodiff<B, C>>>,
    compute: DType,
) -> TensorList<Autodiff<B, C>> {
    let nodes: [_; N] = std::array::from_fn(|index| if index == 0 { x.node() } else { weights[index - 1].node() });
    let is_learned = weights.iter().any(|weight| weight.is_tracked());
    let x = x.into_primitive();
    let weights: Vec<_> = weights.into_iter().map(|weight| weight.into_primitive()).collect();
    let products = B::products(x.clone(), TensorList(weights.clone()), compute).0;
    TensorList(match MapsBackward.prepare::<C>(nodes).compute_bound().stateful() {
        OpsKind::Tracked(prep) => {
            let results = Results::<B>::new();
            let node = stand_in::<B>(&x);
            let state = MapsState { x: is_learned.then_some(x), weights, compute, results: results.clone() };
            results.attach::<C>(prep.finish(state, node), products)
        }
        OpsKind::UnTracked(_) => Results::<B>::untracked::<C>(products),
    })
}

#[derive(Debug)]
struct MapsBackward;

/// What the maps keep.
#[derive(Clone, Debug)]
struct MapsState<B: Backend> {
    /// If any weight needs a gradient.
    x: Option<FloatTensor<B>>,
    weights: Vec<FloatTensor<B>>,
    compute: DType,
    results: Results<B>,
}

impl<B: LinearKernels, const N: usize> Backward<B, N> for MapsBackward {
    type State = MapsState<B>;

    fn backward(self, ops: Ops<Self::State, N>, grads: &mut Gradients, _: &mut Checkpointer) {
        let arrived = ops.state.results.gradients_in_order(grads, &ops, ops.state.weights.len());
        let mut parents = ops.parents.into_iter().map(|parent| match parent {
            Some(node) => (Some(node.id), node.parents.is_empty()),
            None => (None, true),
        });
        let MapsState { x, weights, compute, .. } = ops.state;
        let x_node = parents.next().and_then(|(node, _)| node);
        let (mut dys, mut met, mut learned) = (vec![], vec![], vec![]);
        for ((dy, weight), (node, is_leaf)) in arrived.into_iter().zip(weights).zip(parents) {
            // A result that nobody used says nothing of its weight.
            let Some(dy) = dy else {
                register_none::<B>(grads, node, is_leaf, &weight);
                continue;
            };
            if node.is_some() {
                learned.push((node, dy.clone()));
            }
            dys.push(dy);
            met.push(weight);
        }
        if let (Some(x), false) = (x, learned.is_empty()) {
            let (nodes, dys): (Vec<_>, Vec<_>) = learned.into_iter().unzip();
            let gradients = B::products_dw(x, TensorList(dys), compute).0;
            nodes.into_iter().zip(gradients).for_each(|(node, dw)| register::<B>(grads, node, dw));
        }
        if x_node.is_some() && !dys.is_empty() {
            register::<B>(grads, x_node, B::products_dx(TensorList(dys), TensorList(met), compute));
        }
    }
}
