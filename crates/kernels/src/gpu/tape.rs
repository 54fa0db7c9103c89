//! What the nodes of the gradient tape share.

use std::sync::{Arc, Mutex, PoisonError};

use burn::backend::autodiff::NodeId;
use burn::backend::autodiff::checkpoint::base::Checkpointer;
use burn::backend::autodiff::checkpoint::strategy::CheckpointStrategy;
use burn::backend::autodiff::grads::Gradients;
use burn::backend::autodiff::ops::{Backward, Ops, OpsKind};
use burn::backend::tensor::FloatTensor;
use burn::backend::{Autodiff, AutodiffBackend, Backend, TensorMetadata};
use burn::tensor::FloatDType;

/// Registers the gradient of a parent that asks for one.
pub(crate) fn register<B: Backend>(grads: &mut Gradients, node: Option<NodeId>, gradient: FloatTensor<B>) {
    if let Some(id) = node {
        grads.register::<B>(id, gradient);
    }
}

/// Registers zeros for a parent that no result of an operation sends anything back to: the tape asks every parent that is a
/// result itself for its gradient. A weight, which is a leaf of the tape, is left without one.
pub(crate) fn register_none<B: Backend>(
    grads: &mut Gradients,
    node: Option<NodeId>,
    is_leaf: bool,
    of: &FloatTensor<B>,
) {
    if !is_leaf {
        register::<B>(grads, node, B::float_zeros(of.shape(), &of.device(), of.dtype().into()));
    }
}

/// An operation with several results, which the tape does not know: its node stands for all of them and is an element that
/// nobody reads, behind it comes a node for each result, and the gradients of those wait here until its turn has come.
#[derive(Clone, Debug)]
pub(crate) struct Results<B: Backend>(Arc<Mutex<Vec<Option<FloatTensor<B>>>>>);

impl<B: Backend> Results<B> {
    /// Of an operation with `count` results.
    pub(crate) fn new(count: usize) -> Self {
        Self(Arc::new(Mutex::new(vec![None; count])))
    }

    /// What the operation's node stands for on the tape, on the device of `like`.
    pub(crate) fn stand_in(like: &FloatTensor<B>) -> FloatTensor<B> {
        B::float_empty([1].into(), &like.device(), FloatDType::F32)
    }

    /// The results as nodes behind the operation's.
    pub(crate) fn attach<C: CheckpointStrategy>(
        &self,
        node: FloatTensor<Autodiff<B, C>>,
        results: Vec<FloatTensor<B>>,
    ) -> Vec<FloatTensor<Autodiff<B, C>>> {
        let attach = |(index, result)| match ResultBackward.prepare::<C>([node.node()]).compute_bound().stateful() {
            OpsKind::Tracked(prep) => prep.finish((self.clone(), index), result),
            OpsKind::UnTracked(prep) => prep.finish(result),
        };
        results.into_iter().enumerate().map(attach).collect()
    }

    /// Results of an operation that nobody asks a gradient of.
    pub(crate) fn untracked<C: CheckpointStrategy>(results: Vec<FloatTensor<B>>) -> Vec<FloatTensor<Autodiff<B, C>>> {
        results.into_iter().map(<Autodiff<B, C> as AutodiffBackend>::from_inner).collect()
    }

    /// The gradients of the results, to be called when the operation's node is reached; `None` of a result that nobody used.
    pub(crate) fn gradients<S, const N: usize>(
        &self,
        grads: &mut Gradients,
        ops: &Ops<S, N>,
    ) -> Vec<Option<FloatTensor<B>>> {
        drop(grads.consume::<B>(&ops.node));
        self.0.lock().unwrap_or_else(PoisonError::into_inner).iter_mut().map(Option::take).collect()
    }
}

#[derive(Debug)]
struct ResultBackward;

impl<B: Backend> Backward<B, 1> for ResultBackward {
    /// Where the gradient is to wait, and which one it is.
    type State = (Results<B>, usize);

    fn backward(self, ops: Ops<Self::State, 1>, grads: &mut Gradients, _: &mut Checkpointer) {
        let [node] = ops.parents.map(|parent| parent.map(|node| node.id));
        let (Results(waiting), index) = ops.state;
        let dy = grads.consume::<B>(&ops.node);
        let mut waiting = waiting.lock().unwrap_or_else(PoisonError::into_inner);
        // The node is reached because something was registered for it, once.
        if waiting.iter().all(Option::is_none) {
            register::<B>(grads, node, Results::<B>::stand_in(&dy));
        }
        waiting[index] = Some(dy);
    }
}
