//! How far a fit can be trusted.
//!
//! - [`bootstrap_law`]: resampled fits, and from them the interval of anything that follows from a law;
//! - [`profile_likelihood()`]: the interval of one constant with all others fitted again;
//! - [`leave_largest_out()`]: the error of predicting the largest runs from the smaller ones;
//! - [`sensitivity()`]: the same fit with other choices;
//! - [`fit_warnings`]: what the above say against a fit, in words.

mod bootstrap;
mod held_out;
mod profile;
mod sensitivity;
mod warnings;

pub(crate) use bootstrap::resampled;
pub use bootstrap::{Bootstrap, BootstrapSettings, bootstrap_law};
pub use held_out::{HeldOut, HeldOutRun, leave_largest_out};
pub use profile::{ProfileInterval, profile_likelihood};
pub use sensitivity::{Alternative, Sensitivity, sensitivity};
pub use warnings::{FitWarning, fit_warnings, published_above_optimum};
