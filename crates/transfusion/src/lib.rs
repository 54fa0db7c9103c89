//! The model (towers on the trunk) and the hybrid objective. Open this crate first.
//!
//! | what | where |
//! |---|---|
//! | the model: embed, trunk, heads | [`model`] |
//! | the loss: next token + λ · denoising | [`objective`] |
//! | settings of both | [`config`] |
//! | which weights decay, which expert owns them | [`parameters`] |
//! | exact counts of parameters and FLOPs | [`counts`] |
//! | weights in a file | [`weights`] |

pub mod config;
pub mod counts;
pub mod input;
pub mod model;
pub mod objective;
pub mod parameters;
pub mod weights;

pub use config::{ConfigError, ModelConfig, TowerConfig};
pub use counts::{FlopsPerToken, ParameterCounts};
pub use input::{LaneInput, ModelInput, TrainBatch};
pub use model::{LanePrediction, Predictions, Tower, Transfusion};
pub use objective::{HybridLoss, ImageAveraging, ModalityLoss, Normaliser, ObjectiveConfig, hybrid_loss};
pub use weights::{WeightsError, load_weights, save_weights};
