//! Fits of resampled tables (Efron 1979).
//!
//! Rows are taken with replacement until there are as many as before, and the law is fitted again from the optimum of the whole
//! table and from its other minima. A and B are strongly correlated with α and β, so their own intervals are wide where the law
//! is well known: look at intervals of predictions and of β/(α+β) first.

use rayon::prelude::*;
use serde::{Deserialize, Serialize};

use crate::error::{ScalingError, check_level};
use crate::interval::Interval;
use crate::law::{Centered, ChinchillaRows, Law, LawFit, refit};
use crate::random::{generator, multiplicities};
use crate::table::Table;

/// How a table is resampled.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct BootstrapSettings {
    /// Resampled tables, at least 2; 200 for a look, 1,000 for a report.
    pub resamples: usize,
    /// Of all randomness.
    pub seed: u64,
    /// The confidence of intervals, such as 0.95.
    pub level: f64,
}

impl Default for BootstrapSettings {
    /// 200 tables, 95 %.
    fn default() -> Self {
        Self { resamples: 200, seed: 0, level: 0.95 }
    }
}

impl BootstrapSettings {
    /// # Errors
    /// There are fewer than two resamples, or the level is not between 0 and 1.
    pub fn validate(&self) -> Result<(), ScalingError> {
        if self.resamples < 2 {
            return Err(ScalingError::too_few("resamples", 2, self.resamples));
        }
        check_level(self.level)
    }
}

/// A law fitted to each resampled table.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Bootstrap<L> {
    /// One law for each resampled table.
    pub laws: Vec<L>,
    /// How they were resampled.
    pub settings: BootstrapSettings,
}

impl<L> Bootstrap<L> {
    /// The percentile interval of any number that follows from a law, such as `|law| law.loss(30e9, 50e9)`; what is not finite,
    /// as a barrier that does not exist, is left out.
    pub fn interval(&self, number: impl Fn(&L) -> f64) -> Interval {
        let numbers: Vec<f64> = self.laws.iter().map(number).filter(|number| number.is_finite()).collect();
        Interval::of_samples(&numbers, self.settings.level)
    }

    /// The fraction of laws for which something holds.
    pub fn fraction(&self, holds: impl Fn(&L) -> bool) -> f64 {
        self.laws.iter().filter(|law| holds(law)).count() as f64 / self.laws.len() as f64
    }
}

/// Fits the law of `fit` to resampled tables; `table` is the one that it was fitted to.
///
/// # Errors
/// A setting is out of its range, or no resampled table could be fitted.
pub fn bootstrap_law(table: &Table, fit: &LawFit, settings: BootstrapSettings) -> Result<Bootstrap<Law>, ScalingError> {
    let rows = ChinchillaRows::new(table.runs(), Centered::at_means(table.runs()));
    let starts: Vec<Law> = std::iter::once(fit.law).chain(fit.others.iter().copied()).collect();
    resampled(&[table.runs().len()], settings, |weights| refit(&rows, Some(&weights[0]), fit.delta, &starts))
}

/// Fits resampled tables of `counts` rows; each table is resampled by itself, and `fit` gets how often each row counts.
pub(crate) fn resampled<L: Send>(
    counts: &[usize],
    settings: BootstrapSettings,
    fit: impl Fn(&[Vec<f64>]) -> Option<L> + Sync,
) -> Result<Bootstrap<L>, ScalingError> {
    settings.validate()?;
    let laws: Vec<L> = (0..settings.resamples as u64)
        .into_par_iter()
        .filter_map(|draw| {
            let mut rng = generator(settings.seed, draw);
            fit(&counts.iter().map(|&count| multiplicities(&mut rng, count)).collect::<Vec<_>>())
        })
        .collect();
    if laws.len() < 2 {
        return Err(ScalingError::too_few("resampled tables that can be fitted", 2, laws.len()));
    }
    Ok(Bootstrap { laws, settings })
}
