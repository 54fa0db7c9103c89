//! The profile likelihood of one constant: it is held at a value, all others are fitted again, and the objective tells how much
//! worse the table is then explained.
//!
//! For Huber's loss the ratio that follows χ² of one degree of freedom (Ronchetti 1982; Heritier & Ronchetti 1994) is
//!
//! ```text
//! R(θ) = 2 (Σ ρ(θ) − Σ ρ(optimum)) E[ψ'] / E[ψ²],        ψ = ρ'
//! ```
//!
//! The expectations are those of normal residuals whose standard deviation is 1.4826 median|r| √(n / (n − p)) for n runs and p
//! constants, without the p smallest |r|. The threshold is that of F with 1 and n − p degrees, which is χ² for many runs.

use serde::{Deserialize, Serialize};
use statrs::distribution::{Continuous, ContinuousCDF, FisherSnedecor, Normal};

use crate::error::{ScalingError, check_level};
use crate::interval::median;
use crate::law::{Centered, ChinchillaRows, Huber, Law, LawFit, minimum_of};
use crate::optimize::Objective;
use crate::table::Table;

/// An interval that may be open.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ProfileInterval {
    /// Which constant, as in [`Law::NAMES`].
    pub constant: String,
    /// Its value in the fit.
    pub value: f64,
    /// Low end; nothing where the table rules out no small value.
    pub low: Option<f64>,
    /// High end; nothing where the table rules out no large value.
    pub high: Option<f64>,
    /// The confidence.
    pub level: f64,
}

/// The profile intervals of E, A, B, α and β; `table` is the one that was fitted.
///
/// # Errors
/// The level is not between 0 and 1, or there are no more runs than constants.
pub fn profile_likelihood(table: &Table, fit: &LawFit, level: f64) -> Result<Vec<ProfileInterval>, ScalingError> {
    check_level(level)?;
    let constants = Law::NAMES.len();
    let count = table.runs().len();
    if count <= constants {
        return Err(ScalingError::too_few("runs for a profile of five constants", constants + 1, count));
    }
    // Not centered, so that each constant is one number to be held.
    let rows = ChinchillaRows::new(table.runs(), Centered::default());
    let highest = allowed_rise(&fit.law.residuals(table.runs()), fit.delta, level)?;
    let optimum = Centered::default().at_law(&fit.law);
    let objective = Huber { residuals: &rows, weights: None, delta: fit.delta };
    let least = objective.evaluate(&optimum, &mut [0.0; 5]);
    // Places in [a, b, e, α, β] of E, A, B, α, β; the first three are logarithms.
    let profile = |(name, place): (&str, usize)| {
        let search = Search { objective: &objective, optimum: &optimum, place, highest: least + highest };
        let [low, high] = [-1.0, 1.0].map(|direction| search.end(direction));
        let shown = |at: f64| if place < 3 { at.exp() } else { at };
        ProfileInterval {
            constant: name.to_owned(),
            value: shown(optimum[place]),
            low: low.map(shown),
            high: high.map(shown),
            level,
        }
    };
    Ok(Law::NAMES.into_iter().zip([2, 0, 1, 3, 4]).map(profile).collect())
}

/// How much Σ ρ / δ may rise within the interval.
fn allowed_rise(residuals: &[f64], delta: f64, level: f64) -> Result<f64, ScalingError> {
    let (count, constants) = (residuals.len() as f64, Law::NAMES.len() as f64);
    let mut sizes: Vec<f64> = residuals.iter().map(|residual| residual.abs()).collect();
    sizes.sort_by(f64::total_cmp);
    // A fit of nearly absolute deviations goes through as many runs as it has constants, which say nothing of the scatter.
    // Rounding keeps residuals of an exact table from being 0.
    let spread = (1.4826 * median(&sizes[Law::NAMES.len()..]) * (count / (count - constants)).sqrt()).max(1e-15);
    let normal = Normal::standard();
    let ratio = delta / spread;
    let inside = 2.0 * normal.cdf(ratio) - 1.0;
    let mean_square = spread * spread * (inside - 2.0 * ratio * normal.pdf(ratio)) + delta * delta * (1.0 - inside);
    let f = FisherSnedecor::new(1.0, count - constants)
        .map_err(|error| ScalingError::value("degrees of freedom", "at least 1", error))?;
    Ok(f.inverse_cdf(level) * mean_square / (2.0 * inside * delta))
}

/// The objective with one constant held.
struct Held<'a, O> {
    objective: &'a O,
    place: usize,
    value: f64,
}

impl<O: Objective> Objective for Held<'_, O> {
    fn evaluate(&self, at: &[f64], gradient: &mut [f64]) -> f64 {
        let mut all = at.to_vec();
        all.insert(self.place, self.value);
        let mut slopes = vec![0.0; all.len()];
        let value = self.objective.evaluate(&all, &mut slopes);
        slopes.remove(self.place);
        gradient.copy_from_slice(&slopes);
        value
    }
}

/// The search for one end of an interval.
struct Search<'a, O> {
    objective: &'a O,
    optimum: &'a [f64],
    place: usize,
    highest: f64,
}

impl<O: Objective> Search<'_, O> {
    /// The value at which the profile rises above the allowed one; nothing where it never does.
    fn end(&self, direction: f64) -> Option<f64> {
        let start = self.optimum[self.place];
        let mut rest = self.optimum.to_vec();
        rest.remove(self.place);
        let (mut inside, mut step) = (0.0, 1e-3 * (1.0 + start.abs()));
        // 25 doublings reach a millionfold of any scale there is.
        for _ in 0..25 {
            let (value, at) = self.profile(start + direction * step, &rest)?;
            if value > self.highest {
                return Some(start + direction * self.bisect(start, direction, (inside, step), &rest));
            }
            (inside, rest) = (step, at);
            step *= 2.0;
        }
        None
    }

    fn bisect(&self, start: f64, direction: f64, (mut inside, mut outside): (f64, f64), rest: &[f64]) -> f64 {
        for _ in 0..20 {
            let middle = 0.5 * (inside + outside);
            match self.profile(start + direction * middle, rest) {
                Some((value, _)) if value <= self.highest => inside = middle,
                _ => outside = middle,
            }
        }
        0.5 * (inside + outside)
    }

    /// The least objective with the constant at `value`, and where.
    fn profile(&self, value: f64, rest: &[f64]) -> Option<(f64, Vec<f64>)> {
        let held = Held { objective: self.objective, place: self.place, value };
        let mut own = self.optimum.to_vec();
        own.remove(self.place);
        minimum_of(&held, [rest.to_vec(), own].into_iter()).map(|point| (point.value, point.at))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_allowed_rise_is_that_of_least_squares_for_a_wide_threshold() {
        // With δ far above the residuals, R is Δ Σ r² / σ², so that the rise of Σ r²/2 is F σ² / 2.
        let residuals: Vec<f64> = (0..41).map(|at| 1e-3 * (f64::from(at) - 20.0)).collect();
        let rise = allowed_rise(&residuals, 10.0, 0.95).unwrap();
        // The sizes are 0, 1, 1, 2, 2 … thousandths; without the five smallest, 3, 3 … 20, 20 have the median 11.5.
        let variance = (1.4826f64 * 11.5e-3).powi(2) * 41.0 / 36.0;
        // scipy.stats.f.ppf(.95, 1, 36) = 4.113165277
        assert!((rise * 10.0 / (4.113_165_277 * variance / 2.0) - 1.0).abs() < 1e-6, "{rise}");
    }
}
