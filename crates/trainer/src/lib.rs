//! From data to checkpoints.
//!
//! | what | where |
//! |---|---|
//! | a hybrid model and its data, step by step | [`trainer`] |
//! | what a step reports | [`step_report`] |
//! | the loop, and what is due when | [`training_loop`] |
//! | what both share: a step, gradients, AdamW and Muon, the moving average | [`optimization`] |
//! | an autoencoder instead of a hybrid model | [`autoencoder`] |
//! | several processes that train one model | [`parallel`] |
//! | held-out losses | [`validation`] |
//! | between what latents lie | [`latent_range`] |
//! | saving and resuming | [`checkpoint`] |

pub mod autoencoder;
pub mod checkpoint;
pub mod config;
pub mod error;
pub mod latent_range;
pub mod optimization;
pub mod parallel;
mod router_loads;
pub mod step_report;
pub mod trainer;
pub mod training_loop;
pub mod validation;

pub use config::{IntervalConfig, TrainConfig, TrainPrecision, ValidationConfig};
pub use error::TrainError;
pub use optimization::{MatrixOptimizer, OptimizerConfig, PartOptimizerConfig, Schedule, freeze};
pub use parallel::{Collective, ParallelError, Ranks};
pub use step_report::{ModalityReport, RouterReport, RoutingReport, StepReport};
pub use trainer::{Setup, Trainer};
pub use training_loop::{Due, Learner, Observer, Outcome, run};
pub use validation::{HeldOutDocuments, TextLoss, Validation, ValidationReport, lay_out};
