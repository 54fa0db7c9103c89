//! IsoFLOP profiles: which size has the least loss at a fixed budget? (Hoffmann et al. 2022, section 3.2)
//!
//! For each budget C, a parabola in ln N through the losses of the runs of that budget; its bottom is N_opt(C), and
//! D_opt = C / (6 N_opt). Over budgets, N_opt and D_opt are power laws of C.

use serde::{Deserialize, Serialize};

use super::power::PowerLaw;
use crate::error::ScalingError;
use crate::table::{Run, Table};

/// The parabola of one budget: `L = least + curvature (ln N − ln N_opt)²`.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Profile {
    /// C.
    pub flops: f64,
    /// N_opt.
    pub params: f64,
    /// D_opt = C / (6 N_opt).
    pub tokens: f64,
    /// The least loss.
    pub loss: f64,
    /// Above 0: what one e-fold of N away from the best costs.
    pub curvature: f64,
    /// Runs of the budget.
    pub runs: usize,
    /// Whether the bottom lies between the sizes of the budget; beyond them it is an extrapolation and in no power law.
    pub inside: bool,
}

/// The profiles of all budgets and their power laws.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct IsoFlop {
    /// In rising order of FLOPs.
    pub profiles: Vec<Profile>,
    /// Budgets without a parabola: fewer than three sizes, or no bottom.
    pub left_out: Vec<f64>,
    /// N_opt of C, where two profiles at least have their bottom inside.
    pub params: Option<PowerLaw>,
    /// D_opt of C, likewise.
    pub tokens: Option<PowerLaw>,
}

/// The profiles of a table whose runs lie on few budgets: runs whose FLOPs differ by no more than a factor `1 + tolerance` from
/// the least of their group are one budget.
///
/// # Errors
/// `tolerance` is not from 0 to 1, or no budget has a parabola.
pub fn isoflop(table: &Table, tolerance: f64) -> Result<IsoFlop, ScalingError> {
    if !(0.0..=1.0).contains(&tolerance) {
        return Err(ScalingError::value("tolerance", "from 0 to 1", tolerance));
    }
    let mut runs: Vec<&Run> = table.runs().iter().collect();
    runs.sort_by(|a, b| a.training_flops().total_cmp(&b.training_flops()));
    let (mut profiles, mut left_out) = (vec![], vec![]);
    while let Some(first) = runs.first() {
        let highest = first.training_flops() * (1.0 + tolerance);
        let rest = runs.split_off(runs.partition_point(|run| run.training_flops() <= highest));
        let flops = (runs.iter().map(|run| run.training_flops().ln()).sum::<f64>() / runs.len() as f64).exp();
        match profile(&runs, flops) {
            Some(profile) => profiles.push(profile),
            None => left_out.push(flops),
        }
        runs = rest;
    }
    if profiles.is_empty() {
        return Err(ScalingError::too_few("sizes at one budget of FLOPs, with the best of them inside", 3, 0));
    }
    let inside = |value: fn(&Profile) -> f64| {
        let points: Vec<_> = profiles.iter().filter(|p| p.inside).map(|p| (p.flops, value(p))).collect();
        PowerLaw::fit(&points).ok()
    };
    let (params, tokens) = (inside(|p| p.params), inside(|p| p.tokens));
    Ok(IsoFlop { profiles, left_out, params, tokens })
}

/// The parabola through the runs of one budget by least squares; nothing where it has no bottom.
fn profile(runs: &[&Run], flops: f64) -> Option<Profile> {
    let points: Vec<(f64, f64)> = runs.iter().map(|run| (run.params.ln(), run.loss)).collect();
    let count = points.len() as f64;
    let center = points.iter().map(|(x, _)| x).sum::<f64>() / count;
    let bounds =
        points.iter().fold((f64::INFINITY, f64::NEG_INFINITY), |(low, high), (x, _)| (low.min(*x), high.max(*x)));
    let (bottom, loss, curvature) = parabola(&points.iter().map(|(x, y)| (x - center, *y)).collect::<Vec<_>>())?;
    let (ln_params, params) = (bottom + center, (bottom + center).exp());
    let inside = (bounds.0..=bounds.1).contains(&ln_params);
    Some(Profile { flops, params, tokens: flops / (6.0 * params), loss, curvature, runs: runs.len(), inside })
}

/// `y = least + curvature (x − bottom)²` by least squares through points of centered x, as (bottom, least, curvature); nothing
/// where there are fewer than three different x, or the parabola has no bottom.
pub(crate) fn parabola(points: &[(f64, f64)]) -> Option<(f64, f64, f64)> {
    let count = points.len() as f64;
    let moment = |power: i32| points.iter().map(|(x, _)| x.powi(power)).sum::<f64>() / count;
    let product = |power: i32| points.iter().map(|(x, y)| x.powi(power) * y).sum::<f64>() / count;
    let (mean_x, mean_xx) = (moment(1), moment(2));
    // Polynomials that are orthogonal on the points: 1, p = x − mean, and q = p² − shift − tilt p.
    let spread = mean_xx - mean_x * mean_x;
    if spread.is_nan() || spread <= 0.0 {
        return None;
    }
    let p: Vec<f64> = points.iter().map(|(x, _)| x - mean_x).collect();
    let tilt = p.iter().map(|p| p.powi(3)).sum::<f64>() / count / spread;
    let q: Vec<f64> = p.iter().map(|p| p * p - spread - tilt * p).collect();
    let size = q.iter().map(|q| q * q).sum::<f64>() / count;
    if size <= 1e-12 * spread * spread {
        return None;
    }
    let mean_y = product(0);
    let linear = (product(1) - mean_x * mean_y) / spread;
    let square = q.iter().zip(points).map(|(q, (_, y))| q * y).sum::<f64>() / count / size;
    if square <= 0.0 {
        return None;
    }
    // y = mean_y + linear p + square (p² − shift − tilt p)
    let slope = linear - square * tilt;
    let bottom = -slope / (2.0 * square);
    let least = mean_y - square * spread - square * bottom * bottom;
    Some((bottom + mean_x, least, square))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::law::Law;

    #[test]
    fn a_parabola_is_found_as_it_is() {
        let points: Vec<_> = [-1.0, 0.5, 2.0, 2.5].map(|x: f64| (x, 3.0 + 0.2 * (x - 0.7).powi(2))).to_vec();
        let (bottom, least, curvature) = parabola(&points).unwrap();
        assert!((bottom - 0.7).abs() < 1e-12 && (least - 3.0).abs() < 1e-12 && (curvature - 0.2).abs() < 1e-12);
        assert!(parabola(&[(0.0, 1.0), (1.0, 0.0), (2.0, 1.0), (3.0, -4.0)]).is_none(), "opens downwards");
        assert!(parabola(&[(0.0, 1.0), (1.0, 0.0), (1.0, 0.5)]).is_none(), "two different x");
    }

    #[test]
    fn profiles_of_a_law_lie_near_its_optimum() {
        let law = Law { e: 1.7, a: 400.0, b: 400.0, alpha: 0.34, beta: 0.34 };
        let mut runs = vec![];
        for flops in [1e18, 1e19, 1e20, 1e21] {
            // With α = β and A = B the best has N = D.
            let best = (flops / 6.0f64).sqrt();
            runs.extend([0.25, 0.5, 1.0, 2.0, 4.0].map(|factor| {
                let (params, tokens) = (best * factor, best / factor);
                Run::new(params, tokens, law.loss(params, tokens))
            }));
        }
        runs.push(Run::new(1e6, 1e6, 9.0));
        let found = isoflop(&Table::new(runs).unwrap(), 0.01).unwrap();
        assert_eq!((found.profiles.len(), found.left_out.len()), (4, 1));
        for profile in &found.profiles {
            assert!(profile.inside && profile.runs == 5);
            assert!((profile.params / (profile.flops / 6.0).sqrt() - 1.0).abs() < 1e-9, "{profile:?}");
        }
        assert!((found.params.unwrap().exponent - 0.5).abs() < 1e-9);
        assert!((found.tokens.unwrap().exponent - 0.5).abs() < 1e-9);
    }
}
