//! Laws of the loss of one modality against parameters N and tokens D.
//!
//! - [`Law`]: `L(N, D) = E + A / N^α + B / D^β` (Hoffmann et al. 2022, equation 2), fitted by their third approach ([`fit_law`]);
//! - [`isoflop`]: their second approach, a parabola for each budget of FLOPs;
//! - [`envelope`]: their first approach, the least loss over sizes at each budget;
//! - [`overtraining`]: the law of Gadre et al. 2024 for runs far beyond compute-optimal;
//! - [`repeated`]: the law of Muennighoff et al. 2023 for tokens seen more than once.

mod chinchilla;
pub mod envelope;
mod fit;
mod huber;
pub mod isoflop;
pub mod overtraining;
mod power;
pub mod repeated;

pub use chinchilla::Law;
pub(crate) use chinchilla::{Centered, ChinchillaRows, log_loss};
pub use fit::{FitSettings, Grid, LawFit, fit_law};
pub(crate) use fit::{minimum_of, refit};
pub(crate) use huber::{Huber, Residuals, huber_sum};
pub use power::PowerLaw;
