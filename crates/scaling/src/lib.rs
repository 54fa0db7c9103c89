//! Laws of scaling, step matching and training phenomena: numbers in, numbers out.
//!
//! - [`matching`]: with which fraction of the steps does one model reach the losses of another?
//! - [`law`]: laws of one modality, fitted and evaluated.
//! - [`table`]: runs from CSV, checked.
//! - [`interval`]: intervals of confidence.
//!
//! Nothing here prints, opens a run folder or knows a model, and nothing panics on what it is given: numbers that do not fit are
//! a [`ScalingError`].

mod error;
pub mod interval;
pub mod law;
pub mod matching;
mod optimize;
mod random;
pub mod table;

pub use error::ScalingError;
pub use interval::Interval;
