//! What counts as a modality: the cross-perplexity test of 2301.03728 (section 2).
//!
//! Models are trained on one data set each and measured on all of them. Two data sets are of different modalities when each
//! model's perplexity on the other's data is more than σ = 3 times that on its own:
//!
//! ```text
//! PPL_i(j) / PPL_i(i) > σ   and   PPL_j(i) / PPL_j(j) > σ,      PPL = exp(loss)
//! ```
//!
//! Accounts of the paper differ in whether the threshold is σ or σ². A pair between the two is called uncertain here, and the
//! ratios are given, so that neither reading is hidden. Losses must be in nats a token of one tokenizer.

use std::fmt::Write as _;

use serde::{Deserialize, Serialize};

use crate::error::{Result, SweepError};

/// σ of the paper.
pub const SIGMA: f64 = 3.0;

/// Held-out losses of models on data sets.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CrossLosses {
    /// The data sets, at least two.
    pub names: Vec<String>,
    /// Row i: the losses of the model trained on data set i, on each of them, nats a token, above 0.
    pub losses: Vec<Vec<f64>>,
}

/// Whether two data sets are of one modality.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Verdict {
    /// Both ratios are above σ².
    Different,
    /// Both are above σ, but not both above σ²: the reading decides.
    Uncertain,
    /// A ratio is not above σ.
    Same,
}

/// A pair and its verdict.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Comparison {
    /// One data set.
    pub first: String,
    /// The other.
    pub second: String,
    /// PPL of the first's model on the second's data, over that on its own.
    pub first_ratio: f64,
    /// The same of the second's model.
    pub second_ratio: f64,
    /// What follows.
    pub verdict: Verdict,
}

/// The test on every pair.
///
/// # Errors
/// There are fewer than two data sets, the matrix has another shape, or a loss is not finite and above 0; names its place.
pub fn cross_perplexity(matrix: &CrossLosses, sigma: f64) -> Result<Vec<Comparison>> {
    matrix.validate()?;
    if !(sigma.is_finite() && sigma > 1.0) {
        return Err(SweepError::value("sigma", "finite and above 1", sigma));
    }
    let ratio = |of: usize, on: usize| (matrix.losses[of][on] - matrix.losses[of][of]).exp();
    let mut found = vec![];
    for second in 1..matrix.names.len() {
        for first in 0..second {
            let (first_ratio, second_ratio) = (ratio(first, second), ratio(second, first));
            let verdict = match first_ratio.min(second_ratio) {
                least if least > sigma * sigma => Verdict::Different,
                least if least > sigma => Verdict::Uncertain,
                _ => Verdict::Same,
            };
            let [first, second] = [first, second].map(|at| matrix.names[at].clone());
            found.push(Comparison { first, second, first_ratio, second_ratio, verdict });
        }
    }
    Ok(found)
}

impl CrossLosses {
    fn validate(&self) -> Result<()> {
        let count = self.names.len();
        if count < 2 {
            return Err(SweepError::value("names", "at least two data sets", count));
        }
        if self.losses.len() != count {
            return Err(SweepError::value("losses", format!("{count} rows, one for each model"), self.losses.len()));
        }
        for (name, row) in self.names.iter().zip(&self.losses) {
            if row.len() != count {
                return Err(SweepError::value(format!("losses of {name}"), format!("{count} numbers"), row.len()));
            }
            if let Some(at) = row.iter().position(|loss| !(loss.is_finite() && *loss > 0.0)) {
                let place = format!("loss of {name} on {}", self.names[at]);
                return Err(SweepError::value(place, "a finite number above 0", row[at]));
            }
        }
        Ok(())
    }
}

/// The verdicts, a line each.
pub fn to_text(found: &[Comparison], sigma: f64) -> String {
    let mut text =
        format!("perplexity on the other's data over that on its own; sigma {sigma}, sigma² {}\n", sigma * sigma);
    for pair in found {
        let verdict = match pair.verdict {
            Verdict::Different => "two modalities",
            Verdict::Uncertain => "two modalities by sigma, one by sigma²",
            Verdict::Same => "one modality",
        };
        // Writing to a string cannot fail.
        let _ = writeln!(
            text,
            "{} and {}: {:.2} and {:.2}: {verdict}",
            pair.first, pair.second, pair.first_ratio, pair.second_ratio
        );
    }
    text
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn matrix(losses: &[&[f64]]) -> CrossLosses {
        let names = (0..losses.len()).map(|at| format!("set{at}")).collect();
        CrossLosses { names, losses: losses.iter().map(|row| row.to_vec()).collect() }
    }

    #[test]
    fn perplexities_decide() {
        // Own loss 2; ln 3 = 1.0986 and ln 9 = 2.1972 above it are the thresholds.
        let found = cross_perplexity(&matrix(&[&[2.0, 4.3, 3.2], &[4.2, 2.0, 2.1], &[3.4, 5.0, 2.0]]), SIGMA).unwrap();
        let verdicts: Vec<Verdict> = found.iter().map(|pair| pair.verdict).collect();
        assert_eq!(verdicts, [Verdict::Different, Verdict::Uncertain, Verdict::Same]);
        assert!((found[0].first_ratio - f64::exp(2.3)).abs() < 1e-9);
        let text = to_text(&found, SIGMA);
        assert!(text.contains("set0 and set1: 9.97 and 9.03: two modalities\n"), "{text}");
        assert!(text.contains("set1 and set2: 1.11 and 20.09: one modality"), "{text}");
    }

    #[test]
    fn what_is_no_matrix_is_refused() {
        let message = |matrix: &CrossLosses| cross_perplexity(matrix, SIGMA).unwrap_err().to_string();
        assert!(message(&matrix(&[&[1.0]])).contains("at least two"));
        assert!(message(&matrix(&[&[1.0, 2.0], &[1.0]])).contains("losses of set1"));
        assert!(message(&matrix(&[&[1.0, f64::NAN], &[1.0, 1.0]])).contains("loss of set0 on set1"));
        let mut short = matrix(&[&[1.0, 2.0], &[1.0, 2.0]]);
        short.losses.pop();
        assert!(message(&short).contains("2 rows"));
        assert!(cross_perplexity(&matrix(&[&[1.0, 2.0], &[1.0, 2.0]]), 0.5).is_err());
    }

    proptest! {
        #[test]
        fn the_order_of_two_sets_does_not_matter(a in 0.1f64..9.0, b in 0.1f64..9.0, c in 0.1f64..9.0, d in 0.1f64..9.0) {
            let one = cross_perplexity(&matrix(&[&[a, b], &[c, d]]), SIGMA).unwrap();
            let other = cross_perplexity(&matrix(&[&[d, c], &[b, a]]), SIGMA).unwrap();
            prop_assert_eq!(one[0].verdict, other[0].verdict);
        }
    }
}
