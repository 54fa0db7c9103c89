//! The curves of a run, twice: as JSON lines for programs, and as TensorBoard's event files for eyes.

mod curves;
mod jsonl;
mod tensorboard;

pub use curves::Curves;
pub use jsonl::JsonLines;
pub use tensorboard::{EventFile, Image};
