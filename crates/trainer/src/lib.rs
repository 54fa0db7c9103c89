//! From data to checkpoints.
//!
//! | what | where |
//! |---|---|
//! | one optimiser step | [`trainer`] |
//! | the loop, and what is due when | [`schedule`] |
//! | AdamW, the learning rate | [`adamw`], [`learning_rate`] |
//! | gradients: accumulation, norms, clipping | [`gradients`] |
//! | the moving average of the weights | [`ema`] |
//! | an autoencoder instead of a hybrid model | [`autoencoder`] |
//! | held-out losses | [`held_out`] |
//! | saving and resuming | [`checkpoint`] |
//! | folders that are whole or not there | [`durable`] |

pub mod adamw;
pub mod autoencoder;
pub mod checkpoint;
pub mod config;
pub mod durable;
pub mod ema;
pub mod error;
pub mod gradients;
pub mod held_out;
pub mod learning_rate;
pub mod schedule;
pub mod skipped_steps;
mod tape;
pub mod trainer;

pub use config::{HeldOutConfig, IntervalConfig, OptimizerConfig, TrainConfig, TrainPrecision};
pub use error::TrainError;
pub use held_out::{HeldOut, HeldOutReport};
pub use schedule::{Due, Learner, Observer, Outcome, run};
pub use trainer::{ModalityReport, Setup, StepReport, Trainer};
