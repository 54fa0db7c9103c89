//! Operations with any number of arguments.

use std::sync::{Arc, Mutex, PoisonError};

use burn::backend::autodiff::checkpoint::base::Checkpointer;
use burn::backend::autodiff::checkpoint::strategy::CheckpointStrategy;
use burn::backend::autodiff::grads::Gradients;
use burn::backend::autodiff::ops::{Backward, Ops, OpsKind};
use burn::backend::tensor::FloatTensor;
use burn::backend::{Autodiff, Backend, TensorMetadata};

use super::results::stand_in;

/// The gradients of an operation's arguments, of which the tape knows only a fixed number: each argument gets a node of its own
/// behind it, these are joined two by two, and the last of them is the only parent of the operation's node. What the operation
/// finds waits here until the node of its argument is reached.
///
/// An argument's node lies right behind the argument, as that of an operation which used it would. So where something is the
/// argument of many operations, their gradients are added up in the order of the operations, as if each had used it by itself.
#[derive(Clone, Debug)]
pub(crate) struct Arguments<B: Backend>(Arc<Mutex<Vec<Option<FloatTensor<B>>>>>);

impl<B: Backend> Arguments<B> {
    /// With gradients that are known already, or not yet.
    pub(crate) fn new(gradients: Vec<Option<FloatTensor<B>>>) -> Self {
        Self(Arc::new(Mutex::new(gradients)))
    }

    /// The node behind all arguments, as many as there are gradients; the backward pass comes to the last of them first. `None`
    /// if none of them is on the tape.
    pub(crate) fn join<C: CheckpointStrategy>(
        &self,
        arguments: &[FloatTensor<Autodiff<B, C>>],
    ) -> Option<FloatTensor<Autodiff<B, C>>> {
        let tracked = arguments.iter().enumerate().filter(|(_, argument)| argument.is_tracked());
        let nodes = tracked.map(|(index, argument)| self.behind::<C>(index, argument));
        nodes.reduce(|joined, node| {
            let out = stand_in::<B>(node.primitive());
            JoinBackward.prepare::<C>([joined.node(), node.node()]).compute_bound().stateless(out)
        })
    }

    /// Puts the gradient of an argument there.
    pub(crate) fn put(&self, index: usize, gradient: FloatTensor<B>) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)[index] = Some(gradient);
    }

    fn behind<C: CheckpointStrategy>(
        &self,
        index: usize,
        argument: &FloatTensor<Autodiff<B, C>>,
    ) -> FloatTensor<Autodiff<B, C>> {
        let value = argument.primitive();
        let out = stand_in::<B>(value);
        match ArgumentBackward.prepare::<C>([argument.node()]).compute_bound().stateful() {
            OpsKind::Tracked(prep) => prep.finish((self.clone(), index, value.clone()), out),
            OpsKind::UnTracked(prep) => prep.finish(out),
        }
    }
}

#[derive(Debug)]
struct ArgumentBackward;

impl<B: Backend> Backward<B, 1> for ArgumentBackward {
    /// Where the gradient waits, which one it is, and the argument.
    type State = (Arguments<B>, usize, FloatTensor<B>);

    fn backward(self, ops: Ops<Self::State, 1>, grads: &mut Gradients, _: &mut Checkpointer) {
        drop(grads.consume::<B>(&ops.node));
        let [node] = ops.parents;
        let (Arguments(waiting), index, argument) = ops.state;
        let gradient = waiting.lock().unwrap_or_else(PoisonError::into_inner)[index].take();
        let Some(node) = node else { return };
        match gradient {
            Some(gradient) => grads.register::<B>(node.id, gradient),
            // What is no leaf of the tape is asked for its gradient, which must be there then.
            None if !node.parents.is_empty() => {
                let zeros = B::float_zeros(argument.shape(), &argument.device(), argument.dtype().into());
                grads.register::<B>(node.id, zeros);
            }
            None => {}
        }
    }
}

#[derive(Debug)]
struct JoinBackward;

impl<B: Backend> Backward<B, 2> for JoinBackward {
    type State = ();

    fn backward(self, ops: Ops<Self::State, 2>, grads: &mut Gradients, _: &mut Checkpointer) {
        let reached = grads.consume::<B>(&ops.node);
        for node in ops.parents.into_iter().flatten() {
            grads.register::<B>(node.id, reached.clone());
        }
    }
}
