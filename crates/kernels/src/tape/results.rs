//! Operations with several results.

use std::sync::{Arc, Mutex, PoisonError};

use burn::backend::autodiff::checkpoint::base::Checkpointer;
use burn::backend::autodiff::checkpoint::strategy::CheckpointStrategy;
use burn::backend::autodiff::grads::Gradients;
use burn::backend::autodiff::ops::{Backward, Ops, OpsKind};
use burn::backend::tensor::FloatTensor;
use burn::backend::{Autodiff, AutodiffBackend, Backend, TensorMetadata};
use burn::tensor::FloatDType;

/// What the node of an operation stands for on the tape which has several arguments or results: an element that nobody reads, on
/// the device of `like`.
pub(crate) fn stand_in<B: Backend>(like: &FloatTensor<B>) -> FloatTensor<B> {
    B::float_empty([1].into(), &like.device(), FloatDType::F32)
}

/// An operation with several results, which the tape does not know: its node stands for all of them ([`stand_in`]), behind it
/// comes a node for each result, and the gradients of those wait here until its turn has come.
#[derive(Clone, Debug)]
pub(crate) struct Results<B: Backend>(Arc<Mutex<Arrived<B>>>);

/// Gradients, each with the place of its result.
type Arrived<B> = Vec<(usize, FloatTensor<B>)>;

impl<B: Backend> Results<B> {
    /// Of an operation that has just run.
    pub(crate) fn new() -> Self {
        Self(Arc::default())
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

    /// The gradients of the results with their places, in the order in which the backward pass came to them, to be called when
    /// the operation's node is reached; without those of results that nobody used.
    pub(crate) fn gradients<S, const N: usize>(&self, grads: &mut Gradients, ops: &Ops<S, N>) -> Arrived<B> {
        drop(grads.consume::<B>(&ops.node));
        std::mem::take(&mut *self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// [`Self::gradients`] of each of `count` results, in the results' order.
    #[cfg(feature = "gpu")]
    pub(crate) fn gradients_in_order<S, const N: usize>(
        &self,
        grads: &mut Gradients,
        ops: &Ops<S, N>,
        count: usize,
    ) -> Vec<Option<FloatTensor<B>>> {
        let mut in_order = vec![None; count];
        self.gradients(grads, ops).into_iter().for_each(|(index, gradient)| in_order[index] = Some(gradient));
        in_order
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
        if let (true, Some(node)) = (waiting.is_empty(), node) {
            grads.register::<B>(node, stand_in::<B>(&dy));
        }
        waiting.push((index, dy));
    }
}
