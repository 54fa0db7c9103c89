//! Step matching: with which fraction of the steps does one model reach the losses of another?
//!
//! That is the measure behind "matches the dense baseline with 55.8 % of the FLOPs" (Liang et al. 2024, arXiv 2411.04996,
//! section 3 and figure 6): for each step t of the reference, find the step s(t) at which the other model reaches the loss that
//! the reference has at t. The slope of s against t, by least squares through the origin, is the fraction:
//!
//! ```text
//! slope = Σ t s(t) / Σ t²
//! ```
//!
//! # How a loss becomes a step
//! Logged losses are noisy, so that a loss may be reached many times. A curve is therefore made strictly falling in three steps,
//! the same for both models, so that neither gains by its noise:
//! 1. a centered moving mean over `window` records, whose window shrinks symmetrically at the two ends: no lag, and a straight
//!    line stays as it is ([`Smoothing`]);
//! 2. isotonic regression, the falling curve nearest in squares (Barlow et al. 1972): each run of records that would rise
//!    becomes one block;
//! 3. each block is one knot, at its mean x and mean loss, and between knots the curve is linear. Knots fall strictly, so that
//!    every loss between the first and the last has exactly one x.
//!
//! The usual alternative, the first record at or below a loss, finds the luckiest record instead: it favors the noisier curve.
//!
//! Records of the reference whose loss the other model does not have on its curve are counted in [`Matching::beyond`] and
//! [`Matching::before`], and left out.
//!
//! The x of a curve may as well be FLOPs, seconds or tokens ([`Curve::rescaled`]); losses are lower-is-better.

mod curve;
mod intervals;
mod slope;

pub use curve::{Curve, Falling, Smoothing};
pub use intervals::{BlockBootstrap, SeedMatching, block_interval, match_seeds, mean_interval};
pub use slope::{MatchSettings, MatchedPoint, Matching, match_curves};
