//! The model (towers on the backbone) and the hybrid objective. Open this crate first.
//!
//! | what | where |
//! |---|---|
//! | the model: embed, backbone, heads | [`model`] |
//! | the loss: next token + λ · denoising | [`objective`] |
//! | the losses of routers | [`routing`] |
//! | settings of both | [`config`] |
//! | which part or tower owns a weight | [`ownership`] |
//! | exact counts of parameters and FLOPs | [`counts`] |
//! | the memory of a training step | [`memory`] |
//! | the models of the papers | [`sizes`] |

pub mod config;
pub mod counts;
pub mod input;
pub mod memory;
pub mod model;
pub mod objective;
pub mod ownership;
pub mod routing;
pub mod sizes;

pub use config::{ConfigError, ModalityConfig, ModelConfig};
pub use counts::{FlopsPerToken, ParameterCounts};
pub use input::{LaneInput, ModelInput, TrainBatch};
pub use memory::{Kept, StepMemory, StepSettings};
pub use model::{LanePrediction, Predictions, Tower, Transfusion};
pub use objective::{HybridLoss, ImageAveraging, ModalityLoss, Normalizer, ObjectiveConfig, hybrid_loss};
pub use routing::{RouterLoads, RouterLoss, RouterSums, router_loss};
