//! From data to checkpoints.
//!
//! | what | where |
//! |---|---|
//! | one optimizer step | [`trainer`] |
//! | the loop, and what is due when | [`training_loop`] |
//! | AdamW, the learning rate | [`adamw`], [`learning_rate`] |
//! | gradients: accumulation, norms, clipping | [`gradients`] |
//! | the moving average of the weights | [`ema`] |
//! | an autoencoder instead of a hybrid model | [`autoencoder`] |
//! | held-out losses | [`validation`] |
//! | saving and resuming | [`checkpoint`] |

pub mod adamw;
pub mod autoencoder;
pub mod checkpoint;
pub mod config;
pub mod ema;
pub mod error;
pub mod gradients;
pub mod learning_rate;
pub mod skipped_steps;
mod tape;
pub mod trainer;
pub mod training_loop;
pub mod validation;

pub use config::{IntervalConfig, OptimizerConfig, TrainConfig, TrainPrecision, ValidationConfig};
pub use error::TrainError;
pub use trainer::{ModalityReport, Setup, StepReport, Trainer};
pub use training_loop::{Due, Learner, Observer, Outcome, run};
pub use validation::{Validation, ValidationReport};
