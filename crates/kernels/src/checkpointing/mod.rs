//! Activation checkpointing (Chen et al., 1604.06174): of a stretch of the model the backward pass keeps what goes into it, and
//! computes all that lies between again when its gradient is asked for.
//!
//! A stretch is one node of the gradient tape, with any number of arguments and results. Reached in the backward pass, it runs
//! the stretch once more on a tape of its own, whose leaves are the arguments, and goes backward through that from the gradients
//! of the results. So whoever computes the model or goes backward through it need not know: `forward` is what it is, and the
//! trainer's backward pass is one call. The other way, a backward pass that the trainer leads from stretch to stretch, would
//! have cut the model into pieces for it, and all that goes around the stretches (a U-Net's upward path, conditions) with it.
//!
//! Values and gradients are those without it: the same operations run on the same numbers, and where gradients are added up,
//! they are so in the same order (`tape/arguments.rs`, and the results in the order in which the backward pass
//! came to them). Only an argument that three or more uses of *one* stretch share may have them added in another order, and one
//! of several stretches where their order of arguments is not that in which the backward pass would have come to its uses.
//!
//! The framework has a strategy of its own, `BalancedCheckpointing`, which computes elementwise operations again one by one. It
//! keeps every result of what it takes for heavy, as all operations of this crate are, so little is won by it here.

mod any_tensor;
mod node;

use std::cell::Cell;
use std::sync::Arc;

use burn::backend::Dispatch;

use self::node::{Again, Checkpointed};
use crate::place::{is_reference, with_reference_as};
use crate::precision::{current, with_precision};
use crate::tape::list::TensorList;

pub use self::any_tensor::AnyTensor;

thread_local! {
    static ASKED: Cell<bool> = const { Cell::new(false) };
}

/// Runs `f` on this thread with activation checkpointing, if `asked`: what it calls [`checkpointed`] keeps its arguments alone.
pub fn with_activation_checkpointing<T>(asked: bool, f: impl FnOnce() -> T) -> T {
    /// Puts things back even when `f` panics.
    struct Restore(bool);
    impl Drop for Restore {
        fn drop(&mut self) {
            ASKED.set(self.0);
        }
    }
    let _restore = Restore(ASKED.replace(asked));
    f()
}

/// Whether activation checkpointing is asked for on this thread.
pub fn checkpoints_activations() -> bool {
    ASKED.get()
}

/// What `compute` makes of `arguments`, of which the gradient tape keeps these alone: the tensors that may have a gradient, and
/// whatever else it gives, which has none. `compute` runs now and once more in the backward pass; it must do the same both times,
/// and all that it uses besides its arguments is a constant to the tape.
pub fn checkpointed<T>(
    arguments: Vec<AnyTensor>,
    compute: impl Fn(Vec<AnyTensor>) -> (Vec<AnyTensor>, T) + Send + Sync + 'static,
) -> (Vec<AnyTensor>, T) {
    let constants = arguments.iter().map(AnyTensor::as_constant).collect();
    let (results, rest) = with_activation_checkpointing(false, || compute(constants));
    let (precision, reference) = (current(), is_reference());
    let again = Again(Arc::new(move |arguments| {
        let run = || with_precision(precision, || with_reference_as(reference, || compute(arguments).0));
        with_activation_checkpointing(false, run)
    }));
    let list = |tensors: Vec<AnyTensor>| TensorList(tensors.into_iter().map(AnyTensor::into_dispatch).collect());
    let results = <Dispatch as Checkpointed>::checkpointed(list(arguments), list(results), again);
    (results.0.into_iter().map(AnyTensor::from_dispatch).collect(), rest)
}
