//! The competition barrier: where `A / N^α + B / D^β = C`, so that Δ = 0. Beyond it two modalities help each other.
//!
//! The least FLOPs on it follow from Lagrange: with x = A / N^α and y = B / D^β, `ln N + ln D` is least under x + y = C where
//! α x = β y, so x = C β / (α+β) and y = C α / (α+β).

use serde::{Deserialize, Serialize};

use super::law::Interaction;
use crate::error::ScalingError;

/// A place on the barrier.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct BarrierPoint {
    /// N.
    pub params: f64,
    /// D, the tokens of both modalities.
    pub tokens: f64,
    /// 6 N D.
    pub flops: f64,
}

/// The N from which the two help each other at `tokens` tokens in all; nothing where no size is enough.
///
/// # Errors
/// `tokens` is not finite and positive, or A or α is not above 0.
pub fn params_at(law: &Interaction, tokens: f64) -> Result<Option<f64>, ScalingError> {
    positive("tokens", tokens)?;
    power("A", "alpha", law.a, law.alpha)?;
    Ok(inverse(law.c - law.b * tokens.powf(-law.beta), law.a, law.alpha))
}

/// The D from which the two help each other at `params` parameters; nothing where no number of tokens is enough.
///
/// # Errors
/// `params` is not finite and positive, or B or β is not above 0.
pub fn tokens_at(law: &Interaction, params: f64) -> Result<Option<f64>, ScalingError> {
    positive("params", params)?;
    power("B", "beta", law.b, law.beta)?;
    Ok(inverse(law.c - law.a * params.powf(-law.alpha), law.b, law.beta))
}

/// The place on the barrier of least 6 N D; nothing where C is not above 0, so that there is no barrier.
///
/// # Errors
/// A, B, α or β is not above 0.
pub fn cheapest(law: &Interaction) -> Result<Option<BarrierPoint>, ScalingError> {
    power("A", "alpha", law.a, law.alpha)?;
    power("B", "beta", law.b, law.beta)?;
    let sum = law.alpha + law.beta;
    let params = inverse(law.c * law.beta / sum, law.a, law.alpha);
    let tokens = inverse(law.c * law.alpha / sum, law.b, law.beta);
    let point = |(params, tokens)| BarrierPoint { params, tokens, flops: 6.0 * params * tokens };
    Ok(params.zip(tokens).map(point))
}

/// The x with `coefficient / x^exponent = left`; nothing where `left` is not above 0 or x is beyond all numbers.
fn inverse(left: f64, coefficient: f64, exponent: f64) -> Option<f64> {
    let x = (coefficient / left).powf(1.0 / exponent);
    (left > 0.0 && x.is_finite() && x > 0.0).then_some(x)
}

fn positive(what: &str, value: f64) -> Result<(), ScalingError> {
    if value.is_finite() && value > 0.0 {
        return Ok(());
    }
    Err(ScalingError::value(what, "finite and above 0", value))
}

fn power(coefficient: &str, exponent: &str, a: f64, alpha: f64) -> Result<(), ScalingError> {
    positive(coefficient, a).and_then(|()| positive(exponent, alpha))
}

#[cfg(test)]
mod tests {
    use super::*;

    const TOY: Interaction = Interaction { c: 0.1, a: 20.0, b: 20.0, alpha: 0.34, beta: 0.28 };

    #[test]
    fn the_interaction_of_a_toy_to_six_digits() {
        let cases =
            [(8e6, 5e9, 0.028433), (1e9, 1e10, -0.050883), (28.35e9, 45.12e9, -0.073626), (30e9, 50e9, -0.074321)];
        for (params, tokens, expected) in cases {
            let delta = TOY.delta(params, tokens);
            assert!((delta - expected).abs() < 5e-7, "{params} {tokens}: {delta}");
        }
    }

    #[test]
    fn the_barrier_has_no_interaction() {
        let params = params_at(&TOY, 1e10).unwrap().unwrap();
        assert!(TOY.delta(params, 1e10).abs() < 1e-14);
        let tokens = tokens_at(&TOY, 1e9).unwrap().unwrap();
        assert!(TOY.delta(1e9, tokens).abs() < 1e-14);
        // At 8 million parameters competition for them is .0901, which leaves .0099 for tokens.
        assert!(tokens_at(&TOY, 1e6).unwrap().is_none(), "too small for any number of tokens");
        assert!(params_at(&TOY, 1e6).unwrap().is_none(), "too few tokens for any size");
        assert!(params_at(&TOY, f64::NAN).is_err());
        assert!(tokens_at(&Interaction { beta: 0.0, ..TOY }, 1e9).is_err());
    }

    #[test]
    fn no_place_on_the_barrier_is_cheaper() {
        let best = cheapest(&TOY).unwrap().unwrap();
        assert!(TOY.delta(best.params, best.tokens).abs() < 1e-14);
        for factor in [0.9, 0.99, 1.01, 1.1] {
            let params = best.params * factor;
            let tokens = tokens_at(&TOY, params).unwrap().unwrap();
            assert!(6.0 * params * tokens > best.flops, "{factor}");
        }
        assert!(cheapest(&Interaction { c: -0.1, ..TOY }).unwrap().is_none());
    }
}
