//! Two modalities in one model: do they help or hinder each other? (Aghajanyan et al. 2023, arXiv 2301.03728, section 4)
//!
//! ```text
//! L(N, D_i, D_j) = [L(N, D_i) + L(N, D_j)] / 2 + Δ(N, |D_i| + |D_j|)
//! Δ(N, D) = −C + A / N^α + B / D^β
//! ```
//!
//! Δ is the *interaction*: below 0 the mixed model is better than the average of two models of one modality (synergy), above 0 it
//! is worse (competition). C is the most synergy that there can be, A / N^α the competition for parameters, B / D^β that in
//! optimization. The *barrier* is where Δ = 0 ([`barrier`]).
//!
//! The paper's figure 5 plots the ratio of the average to the mixed loss, and what is said of it has the ratio the wrong way
//! round; here the sign of Δ decides.

pub mod barrier;
mod fit;
mod interaction;
mod law;
mod rows;

pub use fit::{MixedBootstrap, MixedFit, MixedSettings, MixedTables, Steps, bootstrap_mixed, fit_mixed};
pub use interaction::{MeasuredInteraction, measured_interactions};
pub use law::{Interaction, MixedLaw};
