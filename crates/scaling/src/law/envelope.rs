//! The envelope of minima: at each budget of FLOPs, which size has the least loss so far? (Hoffmann et al. 2022, section 3.1)
//!
//! Each size is one curve of loss against FLOPs, linear in logarithms between its runs (or checkpoints, where the learning rate
//! does not fall, so that a checkpoint is a run of its length). Over logarithmically spaced budgets, the size with the least loss
//! gives N_opt(C), and D_opt = C / (6 N_opt).

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::power::PowerLaw;
use crate::error::ScalingError;
use crate::table::{Run, Table};

/// The best size at one budget.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct EnvelopePoint {
    /// C.
    pub flops: f64,
    /// N_opt.
    pub params: f64,
    /// C / (6 N_opt).
    pub tokens: f64,
    /// The least loss.
    pub loss: f64,
    /// Whether a smaller and a larger size also have a curve at this budget; otherwise the best one may be missing.
    pub inside: bool,
}

/// The envelope over all budgets, and the power laws of its inner points.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Envelope {
    /// In rising order of FLOPs.
    pub points: Vec<EnvelopePoint>,
    /// N_opt of C over points that are inside; nothing where they are all of one budget.
    pub params: Option<PowerLaw>,
    /// D_opt of C, likewise.
    pub tokens: Option<PowerLaw>,
    /// The least loss of C, without an irreducible term, over all points.
    pub loss: Option<PowerLaw>,
}

/// The envelope at `budgets` logarithmically spaced budgets from the least to the most FLOPs; Hoffmann et al. take 1,500.
///
/// # Errors
/// There are fewer than two budgets, or fewer than two sizes with two runs.
pub fn envelope(table: &Table, budgets: usize) -> Result<Envelope, ScalingError> {
    if budgets < 2 {
        return Err(ScalingError::too_few("budgets of the envelope", 2, budgets));
    }
    let mut sizes: BTreeMap<u64, Vec<(f64, f64)>> = BTreeMap::new();
    // Bits of positive numbers are in the order of the numbers.
    let mut add =
        |run: &Run| sizes.entry(run.params.to_bits()).or_default().push((run.training_flops().ln(), run.loss.ln()));
    table.runs().iter().for_each(&mut add);
    let curves: Vec<(f64, Vec<(f64, f64)>)> = sizes
        .into_iter()
        .filter(|(_, points)| points.len() > 1)
        .map(|(params, mut points)| {
            points.sort_by(|a, b| a.0.total_cmp(&b.0));
            (f64::from_bits(params), points)
        })
        .collect();
    if curves.len() < 2 {
        return Err(ScalingError::too_few("sizes with two runs or more", 2, curves.len()));
    }
    let all = || curves.iter().flat_map(|(_, points)| points.iter().map(|point| point.0));
    let (first, last) = (all().fold(f64::INFINITY, f64::min), all().fold(f64::NEG_INFINITY, f64::max));
    let at = |index: usize| first + (last - first) * index as f64 / (budgets - 1) as f64;
    let points: Vec<EnvelopePoint> = (0..budgets).filter_map(|index| best(&curves, at(index))).collect();
    let law = |only_inside: bool, value: fn(&EnvelopePoint) -> f64| {
        let kept = points.iter().filter(|point| point.inside || !only_inside);
        PowerLaw::fit(&kept.map(|point| (point.flops, value(point))).collect::<Vec<_>>()).ok()
    };
    let (params, tokens, loss) = (law(true, |p| p.params), law(true, |p| p.tokens), law(false, |p| p.loss));
    Ok(Envelope { points, params, tokens, loss })
}

/// The size of least loss at `ln_flops`, among curves that reach there; curves are in rising order of size.
fn best(curves: &[(f64, Vec<(f64, f64)>)], ln_flops: f64) -> Option<EnvelopePoint> {
    let there: Vec<(f64, f64)> =
        curves.iter().filter_map(|(params, points)| Some((*params, interpolated(points, ln_flops)?))).collect();
    let (place, &(params, ln_loss)) = there.iter().enumerate().min_by(|a, b| a.1.1.total_cmp(&b.1.1))?;
    let flops = ln_flops.exp();
    let inside = place > 0 && place + 1 < there.len();
    Some(EnvelopePoint { flops, params, tokens: flops / (6.0 * params), loss: ln_loss.exp(), inside })
}

/// Linear between points of rising x; nothing outside.
fn interpolated(points: &[(f64, f64)], x: f64) -> Option<f64> {
    let after = points.partition_point(|point| point.0 < x);
    let high = points.get(after)?;
    if high.0 == x {
        return Some(high.1);
    }
    let low = points.get(after.checked_sub(1)?)?;
    Some(low.1 + (high.1 - low.1) * (x - low.0) / (high.0 - low.0))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::law::Law;

    #[test]
    fn the_envelope_of_a_law_has_its_exponents() {
        let law = Law { e: 1.7, a: 400.0, b: 400.0, alpha: 0.34, beta: 0.34 };
        let mut runs = vec![];
        for size in 0..25 {
            let params = 1e7 * 1.3f64.powi(size);
            runs.extend((0..60).map(|at| {
                let tokens = 1e7 * 1.2f64.powi(at);
                Run::new(params, tokens, law.loss(params, tokens))
            }));
        }
        let found = envelope(&Table::new(runs).unwrap(), 300).unwrap();
        let inner = found.points.iter().filter(|point| point.inside).count();
        assert!(inner > 100, "{inner}");
        // Sizes are a grid of factor 1.3, so that the exponent is right to the grid only.
        let exponent = found.params.unwrap().exponent;
        assert!((exponent - 0.5).abs() < 0.02, "{exponent}");
        assert!(found.loss.unwrap().exponent < 0.0);
    }

    #[test]
    fn one_size_has_no_envelope() {
        let runs = vec![Run::new(1e7, 1e9, 3.0), Run::new(1e7, 2e9, 2.9)];
        let error = envelope(&Table::new(runs).unwrap(), 10).unwrap_err().to_string();
        assert_eq!(error, "sizes with two runs or more: at least 2 needed, found 1");
    }
}
