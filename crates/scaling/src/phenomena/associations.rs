//! What the paper says of the phenomena, as correlations over runs and pairs.

use serde::{Deserialize, Serialize};

use super::correlation::{Correlation, Kind, correlation};
use crate::uncertainty::BootstrapSettings;

/// What was measured of one run of a pair.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PairRun {
    /// The pair, such as `speech|text`.
    pub pair: String,
    /// N.
    pub params: f64,
    /// α of the pair's interaction.
    pub alpha: f64,
    /// β of the pair's interaction.
    pub beta: f64,
    /// [`Ascent::fraction`](super::Ascent::fraction).
    pub ascent: Option<f64>,
    /// Spikes of the gradient norm for each thousand records.
    pub spikes: Option<f64>,
    /// The best batch size in tokens, where a sweep over batches was made at this size.
    pub best_batch: Option<f64>,
}

/// One statement, and the correlation that speaks for or against it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Association {
    /// What was measured.
    pub measured: String,
    /// Against what.
    pub against: String,
    /// The paper's statement: 1 rises, −1 falls, 0 no correlation.
    pub paper: i8,
    /// The correlation of ranks; nothing where there are fewer than three runs, or one of the two is always the same.
    pub correlation: Option<Correlation>,
}

impl Association {
    /// `ln best batch against beta: 0.80 (p 0.100, 5 runs); the paper: rises`
    pub fn to_line(&self) -> String {
        let paper = match self.paper {
            0 => "no correlation",
            1.. => "rises",
            _ => "falls",
        };
        let found = self.correlation.map_or_else(
            || "too few runs, or one of the two is always the same".to_owned(),
            |found| format!("{:.2} (p {:.3}, {} runs)", found.value, found.p_value, found.count),
        );
        format!("{} against {}: {found}; the paper: {paper}", self.measured, self.against)
    }
}

/// Every statement of the paper about the phenomena, by Spearman's correlation over `runs`.
///
/// Runs of one pair share α and β, so that runs are not independent: p-values are of runs, and too small for statements about
/// pairs.
pub fn associations(runs: &[PairRun], settings: BootstrapSettings) -> Vec<Association> {
    type Number = fn(&PairRun) -> Option<f64>;
    let ascent: Number = |run| run.ascent;
    let spikes: Number = |run| run.spikes;
    let batch: Number = |run| run.best_batch.map(f64::ln);
    let statements: [(&str, Number, &str, Number, i8); 6] = [
        ("coordinate ascent", ascent, "ln N", |run| Some(run.params.ln()), -1),
        ("coordinate ascent", ascent, "alpha", |run| Some(run.alpha), 1),
        ("coordinate ascent", ascent, "beta", |run| Some(run.beta), 0),
        ("ln best batch", batch, "beta", |run| Some(run.beta), 1),
        ("ln best batch", batch, "alpha", |run| Some(run.alpha), 0),
        ("gradient spikes", spikes, "ln N / alpha", |run| Some(run.params.ln() / run.alpha), 1),
    ];
    let of = |(measured, y, against, x, paper): (&str, Number, &str, Number, i8)| {
        let (x, y): (Vec<f64>, Vec<f64>) = runs.iter().filter_map(|run| x(run).zip(y(run))).unzip();
        let correlation = correlation(Kind::Spearman, &x, &y, settings).ok();
        Association { measured: measured.to_owned(), against: against.to_owned(), paper, correlation }
    };
    statements.map(of).to_vec()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn runs_that_do_as_the_paper_says_are_seen_to() {
        let mut runs = vec![];
        for (pair, alpha, beta) in [("a|b", 0.2, 0.30), ("a|c", 0.3, 0.15), ("b|c", 0.4, 0.25)] {
            for params in [1e7, 1e8, 1e9] {
                runs.push(PairRun {
                    pair: pair.to_owned(),
                    params,
                    alpha,
                    beta,
                    ascent: Some(1.2 + alpha - 0.05 * f64::ln(params)),
                    spikes: Some(f64::ln(params) / alpha),
                    best_batch: (params == 1e8).then(|| 1e4 * f64::exp(10.0 * beta)),
                });
            }
        }
        let found = associations(&runs, BootstrapSettings::default());
        let value = |at: usize| found[at].correlation.unwrap().value;
        assert!(value(0) < -0.5 && value(1) > 0.5, "{found:?}");
        assert!((value(3) - 1.0).abs() < 1e-12 && (value(5) - 1.0).abs() < 1e-12, "{found:?}");
        assert_eq!(found[3].correlation.unwrap().count, 3);
        let none = associations(&runs[..2], BootstrapSettings::default());
        assert!(none.iter().all(|statement| statement.correlation.is_none()));
    }
}
