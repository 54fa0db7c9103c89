//! The Inception score (Salimans et al., 1606.03498): `exp(mean KL(p(y|x) ‖ p(y)))` over parts of a set.

use ndarray::{Array1, Array2, ArrayView2, Axis};
use rand::seq::SliceRandom;
use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::SeedableRng;

use crate::error::EvaluationError;

/// The score over the parts of a set.
#[derive(Debug, Clone, Copy, PartialEq, serde::Serialize)]
pub struct InceptionScore {
    /// Over the parts.
    pub mean: f64,
    /// Over the parts, divided by their number as in numpy.
    pub std: f64,
    /// Parts.
    pub splits: usize,
}

/// Parts, as in torch-fidelity.
pub const SPLITS: usize = 10;

/// The score of logits `[count, classes]`, which are parted in a random order from `seed`, or as they come without one.
///
/// # Errors
/// When there are fewer logits than parts.
pub fn inception_score(
    logits: ArrayView2<'_, f32>,
    splits: usize,
    seed: Option<u64>,
) -> Result<InceptionScore, EvaluationError> {
    let count = logits.nrows();
    if splits == 0 || count < splits {
        return Err(EvaluationError::TooFew {
            what: "images of the Inception score",
            least: splits.max(1),
            found: count,
        });
    }
    let mut order: Vec<usize> = (0..count).collect();
    if let Some(seed) = seed {
        order.shuffle(&mut ChaCha8Rng::seed_from_u64(seed));
    }
    let log_probabilities = log_softmax(logits.select(Axis(0), &order).mapv(f64::from));
    let scores: Vec<f64> = (0..splits)
        .map(|part| {
            let (from, until) = (part * count / splits, (part + 1) * count / splits);
            score(log_probabilities.slice(ndarray::s![from..until, ..]))
        })
        .collect();
    let mean = scores.iter().sum::<f64>() / splits as f64;
    let variance = scores.iter().map(|score| (score - mean).powi(2)).sum::<f64>() / splits as f64;
    Ok(InceptionScore { mean, std: variance.sqrt(), splits })
}

fn log_softmax(mut logits: Array2<f64>) -> Array2<f64> {
    for mut row in logits.rows_mut() {
        let most = row.iter().copied().fold(f64::NEG_INFINITY, f64::max);
        let sum: f64 = row.iter().map(|x| (x - most).exp()).sum();
        row.mapv_inplace(|x| x - most - sum.ln());
    }
    logits
}

fn score(log_probabilities: ArrayView2<'_, f64>) -> f64 {
    let fractions = log_probabilities.mapv(f64::exp);
    let marginal: Array1<f64> = fractions.mean_axis(Axis(0)).unwrap_or_default();
    let log_marginal = marginal.mapv(f64::ln);
    let divergences =
        fractions.rows().into_iter().zip(log_probabilities.rows()).map(|(fractions, log_probabilities)| {
            let terms = fractions.iter().zip(log_probabilities).zip(&log_marginal);
            // A class that no image has adds nothing.
            terms
                .filter(|((fraction, _), _)| **fraction > 0.0)
                .map(|((fraction, log), marginal)| fraction * (log - marginal))
                .sum::<f64>()
        });
    let divergences: Vec<f64> = divergences.collect();
    (divergences.iter().sum::<f64>() / divergences.len() as f64).exp()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::distribution_fixture::{expected, features};

    #[test]
    fn the_score_is_that_of_torch_fidelity() {
        let logits = features(60, 8, 0, 3.0);
        let found = inception_score(logits.view(), 7, None).unwrap();
        let expected = expected();
        assert!((found.mean - expected["inception_score"]).abs() < 1e-6, "{found:?}");
        assert!((found.std - expected["inception_score_deviation"]).abs() < 1e-6, "{found:?}");
        assert!(inception_score(logits.view(), 61, None).is_err());
    }

    #[test]
    fn sure_and_even_answers_score_as_many_as_there_are_classes() {
        let sure = Array2::from_shape_fn((40, 4), |(row, class)| if row % 4 == class { 50.0 } else { 0.0 });
        assert!((inception_score(sure.view(), 1, Some(0)).unwrap().mean - 4.0).abs() < 1e-9);
        let unsure = Array2::zeros((40, 4));
        assert!((inception_score(unsure.view(), 1, None).unwrap().mean - 1.0).abs() < 1e-9);
    }
}
