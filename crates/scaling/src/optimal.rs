//! Where a budget of FLOPs is best spent: the least `L(N, D)` with `6 N D = C` (Hoffmann et al. 2022, equation 4).
//!
//! ```text
//! N_opt = G (C/6)^(β/(α+β)),    D_opt = (C/6)^(α/(α+β)) / G,    G = (α A / (β B))^(1/(α+β))
//! ```

use serde::{Deserialize, Serialize};

use crate::error::ScalingError;
use crate::interval::Interval;
use crate::law::Law;
use crate::uncertainty::Bootstrap;

/// The best size for a budget.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Allocation {
    /// C.
    pub flops: f64,
    /// N_opt.
    pub params: f64,
    /// D_opt.
    pub tokens: f64,
    /// L there.
    pub loss: f64,
}

/// The best size for `flops` FLOPs.
///
/// # Errors
/// `flops` is not finite and positive, or an exponent of the law is not above 0, so that no size is best.
pub fn compute_optimal(law: &Law, flops: f64) -> Result<Allocation, ScalingError> {
    if !(flops.is_finite() && flops > 0.0) {
        return Err(ScalingError::value("flops", "finite and above 0", flops));
    }
    let Law { a, b, alpha, beta, .. } = *law;
    for (what, value) in [("A", a), ("B", b), ("alpha", alpha), ("beta", beta)] {
        if !(value.is_finite() && value > 0.0) {
            return Err(ScalingError::value(what, "finite and above 0 for a best size to exist", value));
        }
    }
    let sum = alpha + beta;
    let g = (alpha * a / (beta * b)).powf(1.0 / sum);
    let params = g * (flops / 6.0).powf(beta / sum);
    let tokens = flops / 6.0 / params;
    Ok(Allocation { flops, params, tokens, loss: law.loss(params, tokens) })
}

/// The exponent of N_opt in C, β/(α+β).
pub fn params_exponent(law: &Law) -> f64 {
    law.beta / (law.alpha + law.beta)
}

/// The best size for a budget with its intervals.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AllocationInterval {
    /// By the law itself.
    pub allocation: Allocation,
    /// Of N_opt.
    pub params: Interval,
    /// Of D_opt.
    pub tokens: Interval,
    /// Of the loss there.
    pub loss: Interval,
    /// Of β/(α+β).
    pub exponent: Interval,
}

/// The best size for `flops` FLOPs, with intervals from resampled fits.
///
/// # Errors
/// As [`compute_optimal`].
pub fn compute_optimal_interval(
    law: &Law,
    bootstrap: &Bootstrap<Law>,
    flops: f64,
) -> Result<AllocationInterval, ScalingError> {
    let allocation = compute_optimal(law, flops)?;
    // A resampled law without a best size is left out of the interval.
    let of = |number: fn(&Allocation) -> f64| {
        bootstrap.interval(|law| compute_optimal(law, flops).map_or(f64::NAN, |allocation| number(&allocation)))
    };
    let (params, tokens, loss) = (of(|a| a.params), of(|a| a.tokens), of(|a| a.loss));
    Ok(AllocationInterval { allocation, params, tokens, loss, exponent: bootstrap.interval(params_exponent) })
}

/// A predicted loss.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Prediction {
    /// N.
    pub params: f64,
    /// D.
    pub tokens: f64,
    /// L(N, D).
    pub loss: f64,
    /// Of the law: where the mean of many such runs would lie.
    pub law: Interval,
    /// Of one run: the law's uncertainty and the scatter of the runs that it was fitted to.
    pub run: Interval,
}

/// The loss at `params` and `tokens`; `residuals` are those of the fit, `ln L̂ − ln L`, from which the scatter of one run is
/// taken.
///
/// # Errors
/// N or D is not finite and positive.
pub fn predict(
    law: &Law,
    bootstrap: &Bootstrap<Law>,
    residuals: &[f64],
    (params, tokens): (f64, f64),
) -> Result<Prediction, ScalingError> {
    for (what, value) in [("params", params), ("tokens", tokens)] {
        if !(value.is_finite() && value > 0.0) {
            return Err(ScalingError::value(what, "finite and above 0", value));
        }
    }
    let losses: Vec<f64> = bootstrap.laws.iter().map(|law| law.loss(params, tokens)).collect();
    let level = bootstrap.settings.level;
    // A run lies below its law by the residual: L = L̂ exp(−residual).
    let runs: Vec<f64> =
        losses.iter().flat_map(|loss| residuals.iter().map(move |residual| loss * (-residual).exp())).collect();
    let law_interval = Interval::of_samples(&losses, level);
    let run = if runs.is_empty() { law_interval } else { Interval::of_samples(&runs, level) };
    Ok(Prediction { params, tokens, loss: law.loss(params, tokens), law: law_interval, run })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::uncertainty::BootstrapSettings;

    #[test]
    fn the_best_size_is_best() {
        let law = Law::HOFFMANN;
        let best = compute_optimal(&law, 5.76e23).unwrap();
        assert!((6.0 * best.params * best.tokens / 5.76e23 - 1.0).abs() < 1e-12);
        for factor in [0.99, 1.01] {
            assert!(law.loss(best.params * factor, best.tokens / factor) > best.loss);
        }
        assert!((params_exponent(&law) - 0.28 / 0.62).abs() < 1e-15);
        assert!(compute_optimal(&law, -1.0).is_err());
        assert!(compute_optimal(&Law { beta: 0.0, ..law }, 1e20).is_err());
    }

    #[test]
    fn intervals_hold_what_their_laws_say() {
        let laws: Vec<Law> = (0..101).map(|at| Law { e: 1.5 + 0.004 * f64::from(at), ..Law::HOFFMANN }).collect();
        let settings = BootstrapSettings { resamples: 101, seed: 0, level: 0.9 };
        let bootstrap = Bootstrap { laws, settings };
        let prediction = predict(&Law::HOFFMANN, &bootstrap, &[-0.02, 0.0, 0.02], (1e9, 2e10)).unwrap();
        assert!((prediction.law.width() - 0.36).abs() < 1e-9, "{:?}", prediction.law);
        assert!(prediction.run.low < prediction.law.low && prediction.run.high > prediction.law.high);
        assert!(predict(&Law::HOFFMANN, &bootstrap, &[], (0.0, 1.0)).is_err());
        let allocation = compute_optimal_interval(&Law::HOFFMANN, &bootstrap, 1e21).unwrap();
        assert!(allocation.params.width() < 1e-3 * allocation.allocation.params, "E does not move the best size");
    }
}
