//! What every learner shares, whatever it learns.
//!
//! | what | where |
//! |---|---|
//! | one step: compute, measure, update or skip, count | [`step`] |
//! | gradients: accumulation, norms, clipping | [`gradients`] |
//! | AdamW and Muon, schedules of its learning rate, its settings | [`optimizer`], [`learning_rate`], [`config`] |
//! | the moving average of the weights | [`ema`] |
//! | weights that stay as they are | [`freezing`] |
//! | steps whose numbers are not finite | [`skipped_steps`] |

pub mod config;
pub mod ema;
pub mod freezing;
pub mod gradients;
pub mod learning_rate;
pub mod optimizer;
pub mod skipped_steps;
pub mod step;
pub(crate) mod tape;

pub use config::{MatrixOptimizer, OptimizerConfig, PartOptimizerConfig};
pub use ema::Ema;
pub use freezing::freeze;
pub use gradients::FlatGradients;
pub use learning_rate::Schedule;
pub use optimizer::Optimizer;
pub use skipped_steps::SkippedSteps;
