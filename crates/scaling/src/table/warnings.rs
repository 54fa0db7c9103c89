//! What looks wrong in a table without being an error.

use serde::{Deserialize, Serialize};

use super::{Run, Table};
use crate::interval::median;

/// A likely mistake in a table.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
#[non_exhaustive]
pub enum TableWarning {
    /// The largest model is smaller than any transformer: the parameters are probably in thousands, millions or billions.
    ParamsNotInOnes {
        /// Of the largest model.
        largest: f64,
    },
    /// The longest run is shorter than any training: the tokens are probably in thousands, millions or billions.
    TokensNotInOnes {
        /// Of the longest run.
        largest: f64,
    },
    /// Tokens a parameter are out of all proportion: one of the two is probably not in ones.
    TokensPerParam {
        /// Median over the runs; 20 is Chinchilla's.
        median: f64,
    },
    /// The FLOPs that are said are not 6 N D to within a factor of 3.
    FlopsNotSixParamsTokens {
        /// How many runs.
        runs: usize,
        /// Median of flops / (6 N D) over all that say FLOPs.
        median_ratio: f64,
    },
    /// Several runs have one cell (modality, N, D, U), such as other learning rates or seeds.
    ManyRunsOfOneCell {
        /// How many runs would be left out if the best of each cell were kept.
        merged: usize,
    },
    /// Runs that saw far fewer tokens than they have parameters: a law of final losses does not hold there, and such runs have
    /// carried whole fits.
    FewTokensPerParam {
        /// How many runs have D / N below [`FEW_TOKENS`].
        runs: usize,
    },
}

/// D / N below which a run counts as one with few tokens.
pub const FEW_TOKENS: f64 = 0.5;

/// The smallest count of parameters that the largest model of a sweep may have.
const SMALLEST_MODEL: f64 = 5e3;
/// The fewest tokens that the longest run of a sweep may have.
const SHORTEST_RUN: f64 = 2e4;
/// Median tokens a parameter that are still in proportion.
const PROPORTION: std::ops::RangeInclusive<f64> = 1e-2..=1e5;

/// The warnings of a table.
pub(super) fn of(table: &Table) -> Vec<TableWarning> {
    let largest = |value: fn(&Run) -> f64| table.runs().iter().map(value).fold(0.0, f64::max);
    let values = |value: fn(&Run) -> Option<f64>| table.runs().iter().filter_map(value).collect::<Vec<f64>>();
    let mut warnings = vec![];
    let (params, tokens) = (largest(|run| run.params), largest(|run| run.tokens));
    if params < SMALLEST_MODEL {
        warnings.push(TableWarning::ParamsNotInOnes { largest: params });
    }
    if tokens < SHORTEST_RUN {
        warnings.push(TableWarning::TokensNotInOnes { largest: tokens });
    }
    let per_param = values(|run| Some(run.tokens / run.params));
    let middle = median(&per_param);
    if !PROPORTION.contains(&middle) {
        warnings.push(TableWarning::TokensPerParam { median: middle });
    }
    let few = per_param.iter().filter(|ratio| **ratio < FEW_TOKENS).count();
    if few > 0 {
        warnings.push(TableWarning::FewTokensPerParam { runs: few });
    }
    let ratios = values(|run| run.flops.map(|flops| flops / (6.0 * run.params * run.tokens)));
    let off = ratios.iter().filter(|ratio| !(1.0 / 3.0..=3.0).contains(*ratio)).count();
    if off > 0 {
        warnings.push(TableWarning::FlopsNotSixParamsTokens { runs: off, median_ratio: median(&ratios) });
    }
    let merged = table.best_of_cells().1;
    if merged > 0 {
        warnings.push(TableWarning::ManyRunsOfOneCell { merged });
    }
    warnings
}

impl std::fmt::Display for TableWarning {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::ParamsNotInOnes { largest } => {
                write!(f, "the largest model has {largest} parameters: are they in millions? They must be in ones")
            }
            Self::TokensNotInOnes { largest } => {
                write!(f, "the longest run has {largest} tokens: are they in millions? They must be in ones")
            }
            Self::TokensPerParam { median } => {
                write!(f, "the median run has {median:.3e} tokens a parameter: are both in ones?")
            }
            Self::FlopsNotSixParamsTokens { runs, median_ratio } => write!(
                f,
                "the FLOPs of {runs} runs are not 6 N D to within a factor of 3 (median ratio {median_ratio:.3}): do N, D and \
                 FLOPs have the same units?"
            ),
            Self::ManyRunsOfOneCell { merged } => write!(
                f,
                "{merged} runs have the size and tokens of a better one: keep the best of each cell where they differ in a \
                 setting, all where they differ in their seed"
            ),
            Self::FewTokensPerParam { runs } => write!(
                f,
                "{runs} runs saw fewer than {FEW_TOKENS} tokens a parameter: fit without them too, and report both"
            ),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn warnings(rows: &[(f64, f64)]) -> Vec<TableWarning> {
        let run = |(at, &(params, tokens)): (usize, &(f64, f64))| Run::new(params, tokens, 3.0 - 0.01 * at as f64);
        Table::new(rows.iter().enumerate().map(run).collect()).unwrap().warnings()
    }

    #[test]
    fn units_of_millions_are_noticed() {
        assert_eq!(warnings(&[(8e6, 5e9), (6.7e9, 1e11)]), []);
        // The smallest sweep of a laptop.
        assert_eq!(warnings(&[(8e3, 1e5), (6e4, 1e6)]), []);
        // Both in millions.
        let both = warnings(&[(8.0, 5e3), (125.0, 1e4)]);
        assert!(both.contains(&TableWarning::ParamsNotInOnes { largest: 125.0 }), "{both:?}");
        assert!(both.contains(&TableWarning::TokensNotInOnes { largest: 1e4 }), "{both:?}");
        // Large models in millions beside tokens in ones.
        let params = warnings(&[(8.0, 5e9), (6700.0, 1e11)]);
        assert!(matches!(params[..], [TableWarning::TokensPerParam { .. }]), "{params:?}");
        // Parameters in ones beside tokens in millions.
        let tokens = warnings(&[(8e8, 5e3), (6.7e9, 1e5)]);
        assert!(tokens.iter().any(|warning| matches!(warning, TableWarning::TokensPerParam { .. })), "{tokens:?}");
        assert!(both[0].to_string().contains("in millions?"));
    }

    #[test]
    fn other_doubts() {
        let cell = warnings(&[(1e6, 1e9), (1e6, 1e9), (2e6, 1e9)]);
        assert_eq!(cell, [TableWarning::ManyRunsOfOneCell { merged: 1 }]);
        assert_eq!(warnings(&[(1e9, 1e8), (1e9, 2e10), (1e8, 2e10)]), [TableWarning::FewTokensPerParam { runs: 1 }]);
        let run = Run { flops: Some(6e12), ..Run::new(1e6, 1e9, 3.0) };
        let flops = Table::new(vec![run]).unwrap().warnings();
        assert!(matches!(flops[..], [TableWarning::FlopsNotSixParamsTokens { runs: 1, .. }]), "{flops:?}");
    }
}
