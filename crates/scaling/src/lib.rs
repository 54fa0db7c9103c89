//! Laws of scaling, step matching and training phenomena: numbers in, numbers out.
//!
//! - [`matching`]: with which fraction of the steps does one model reach the losses of another?
//! - [`law`]: laws of one modality, fitted and evaluated.
//! - [`mixed`]: the law of two modalities in one model, their interaction and its barrier.
//! - [`uncertainty`]: intervals, held-out errors and warnings of a fit.
//! - [`optimal`]: the best size for a budget, and predictions.
//! - [`phenomena`]: what two modalities do to each other in training, counted.
//! - [`table`]: runs from CSV, checked.
//! - [`interval`]: intervals of confidence.
//!
//! Nothing here prints, opens a run folder or knows a model, and nothing panics on what it is given: numbers that do not fit are
//! a [`ScalingError`].

mod error;
pub mod interval;
pub mod law;
pub mod matching;
pub mod mixed;
pub mod optimal;
mod optimize;
pub mod phenomena;
mod random;
pub mod table;
pub mod uncertainty;

pub use error::ScalingError;
pub use interval::Interval;
