//! The curves of a run, twice: as JSON lines for programs, and as TensorBoard's event files for eyes.

mod jsonl;
mod tensorboard;

pub(crate) use jsonl::JsonLines;
pub(crate) use tensorboard::{EventFile, Image};
