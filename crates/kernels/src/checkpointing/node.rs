//! A stretch of the model as a node of the gradient tape.

use std::fmt;
use std::sync::Arc;

use burn::backend::autodiff::checkpoint::base::Checkpointer;
use burn::backend::autodiff::checkpoint::strategy::{CheckpointStrategy, NoCheckpointing};
use burn::backend::autodiff::grads::Gradients;
use burn::backend::autodiff::ops::{Backward, Ops, OpsKind};
use burn::backend::tensor::FloatTensor;
use burn::backend::{
    Autodiff, AutodiffBackend, Backend, BackendTensor, DispatchAutodiffContext, DispatchTensor, DispatchTensorKind,
    Flex, backend_extension,
};

use super::AnyTensor;
use crate::tape::arguments::Arguments;
use crate::tape::list::TensorList;
use crate::tape::results::{Results, stand_in};

/// Computes the results of a stretch once more, from its arguments.
#[derive(Clone)]
pub(crate) struct Again(pub(super) Arc<dyn Fn(Vec<AnyTensor>) -> Vec<AnyTensor> + Send + Sync>);

impl fmt::Debug for Again {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Again")
    }
}

/// A stretch that keeps its arguments alone.
#[backend_extension(Autodiff, Flex, Cube: cfg(feature = "gpu"))]
pub(crate) trait Checkpointed: Backend {
    /// `results`, which are off the tape, as what `again` computes of `arguments`.
    fn checkpointed(
        #[extension_type] arguments: TensorList<Self>,
        #[extension_type] results: TensorList<Self>,
        again: Again,
    ) -> TensorList<Self>;
}

impl Checkpointed for Flex {
    fn checkpointed(_: TensorList<Self>, results: TensorList<Self>, _: Again) -> TensorList<Self> {
        results
    }
}

#[cfg(feature = "gpu")]
impl Checkpointed for burn::backend::Cube {
    fn checkpointed(_: TensorList<Self>, results: TensorList<Self>, _: Again) -> TensorList<Self> {
        results
    }
}

/// A backend whose tensors can be handed to what computes on any of them.
pub(crate) trait Dispatched: Backend {
    /// As a tensor of this backend among those of all.
    fn wrap(tensor: BackendTensor<Self>) -> DispatchTensorKind;
    /// The inverse; `None` for one of another backend.
    fn unwrap(tensor: DispatchTensorKind) -> Option<BackendTensor<Self>>;
}

impl Dispatched for Flex {
    fn wrap(tensor: BackendTensor<Self>) -> DispatchTensorKind {
        DispatchTensorKind::Flex(tensor)
    }

    fn unwrap(tensor: DispatchTensorKind) -> Option<BackendTensor<Self>> {
        match tensor {
            DispatchTensorKind::Flex(tensor) => Some(tensor),
            _ => None,
        }
    }
}

#[cfg(feature = "gpu")]
impl Dispatched for burn::backend::Cube {
    fn wrap(tensor: BackendTensor<Self>) -> DispatchTensorKind {
        DispatchTensorKind::Cube(tensor)
    }

    fn unwrap(tensor: DispatchTensorKind) -> Option<BackendTensor<Self>> {
        match tensor {
            DispatchTensorKind::Cube(tensor) => Some(tensor),
            _ => None,
        }
    }
}

impl<B: Dispatched, C: CheckpointStrategy> Checkpointed for Autodiff<B, C> {
    fn checkpointed(arguments: TensorList<Self>, results: TensorList<Self>, again: Again) -> TensorList<Self> {
        let results: Vec<_> = results.0.into_iter().map(|result| result.into_primitive()).collect();
        let waiting = Arguments::new(vec![None; arguments.0.len()]);
        let Some(joined) = waiting.join::<C>(&arguments.0) else {
            return TensorList(Results::<B>::untracked::<C>(results));
        };
        let out = stand_in::<B>(joined.primitive());
        TensorList(match CheckpointedBackward.prepare::<C>([joined.node()]).compute_bound().stateful() {
            OpsKind::Tracked(prep) => {
                let behind = Results::<B>::new();
                let kept = arguments.0.into_iter().map(|argument| (argument.is_tracked(), argument.into_primitive()));
                let state = Kept { arguments: kept.collect(), again, waiting, results: behind.clone() };
                behind.attach::<C>(prep.finish(state, out), results)
            }
            OpsKind::UnTracked(_) => Results::<B>::untracked::<C>(results),
        })
    }
}

#[derive(Debug)]
struct CheckpointedBackward;

/// What is kept of a stretch.
#[derive(Clone, Debug)]
struct Kept<B: Backend> {
    /// And whether a gradient is asked for.
    arguments: Vec<(bool, FloatTensor<B>)>,
    again: Again,
    waiting: Arguments<B>,
    results: Results<B>,
}

impl<B: Dispatched> Backward<B, 1> for CheckpointedBackward {
    type State = Kept<B>;

    fn backward(self, ops: Ops<Self::State, 1>, grads: &mut Gradients, _: &mut Checkpointer) {
        let mut arrived = ops.state.results.gradients(grads, &ops);
        // The tape comes to the last node of a list first.
        arrived.reverse();
        let [node] = ops.parents;
        let Kept { arguments, again, waiting, .. } = ops.state;
        let leaf = |(is_tracked, value)| {
            let leaf = <Autodiff<B> as AutodiffBackend>::from_inner(value);
            if is_tracked { leaf.require_grad() } else { leaf }
        };
        let leaves: Vec<FloatTensor<Autodiff<B>>> = arguments.into_iter().map(leaf).collect();
        let results: Vec<_> = again.0(leaves.iter().cloned().map(on_tape::<B>).collect());
        let (reached, gradients): (Vec<_>, Vec<_>) =
            arrived.into_iter().map(|(index, gradient)| (off_dispatch::<B>(&results[index]), Some(gradient))).unzip();
        drop(results);
        let root = Arguments::new(gradients).join::<NoCheckpointing>(&reached);
        drop(reached);
        if let (Some(node), Some(leaf)) = (node, leaves.first()) {
            grads.register::<B>(node.id, stand_in::<B>(leaf.primitive()));
        }
        if let Some(root) = root {
            let mut found = <Autodiff<B> as AutodiffBackend>::backward(root);
            for (index, leaf) in leaves.iter().enumerate() {
                if let Some(gradient) = leaf.grad_remove(&mut found) {
                    waiting.put(index, gradient);
                }
            }
        }
    }
}

fn on_tape<B: Dispatched>(tensor: FloatTensor<Autodiff<B>>) -> AnyTensor {
    let kind = DispatchTensorKind::Autodiff(Box::new(B::wrap(BackendTensor::Autodiff(tensor))));
    AnyTensor::from_dispatch(DispatchTensor { kind, autodiff: DispatchAutodiffContext::Enabled(Default::default()) })
}

fn off_dispatch<B: Dispatched>(tensor: &AnyTensor) -> FloatTensor<Autodiff<B>> {
    match tensor.clone().into_dispatch().kind {
        DispatchTensorKind::Autodiff(kind) => match B::unwrap(*kind) {
            Some(tensor) => tensor.autodiff(),
            None => unreachable!("a stretch computes on the device of its arguments"),
        },
        _ => unreachable!("what is computed of tensors on the tape is on it"),
    }
}
