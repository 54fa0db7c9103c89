//! Fits of a pair: both modalities by themselves, and what they do to each other in one model.

use anyhow::ensure;
use interfuse_scaling::Interval;
use interfuse_scaling::mixed::{
    Interaction, MixedBootstrap, MixedFit, MixedLaw, MixedSettings, MixedTables, Steps, barrier, bootstrap_mixed,
    fit_mixed, measured_interactions,
};
use interfuse_scaling::table::Table;

use super::file::{HeldOutError, Mixed, Range, finite_mixed};
use super::fit::{Settings, chosen, is_finite, say_constant, say_held_out, say_range, with_uncertainty};
use crate::print::say;

/// The runs of two modalities and of their pair.
pub(super) struct PairTables {
    pub(super) first: Table,
    pub(super) second: Table,
    pub(super) mixed: Table,
}

impl PairTables {
    /// Out of one table; `pair` may name the two in either order.
    pub(super) fn of(table: &Table, pair: &str) -> anyhow::Result<Self> {
        let Some((first, second)) = pair.split_once('|') else {
            anyhow::bail!("--pair: expected two modalities with | between, such as 'speech|text', found `{pair}`");
        };
        let reversed = format!("{second}|{first}");
        let known = table.modalities();
        let (name, first, second) = match known.contains(reversed.as_str()) && !known.contains(pair) {
            true => (reversed.as_str(), second, first),
            false => (pair, first, second),
        };
        Ok(Self {
            first: chosen(table, Some(first))?,
            second: chosen(table, Some(second))?,
            mixed: chosen(table, Some(name))?,
        })
    }

    /// The three for a fit.
    pub(super) fn all(&self) -> MixedTables<'_> {
        MixedTables { first: &self.first, second: &self.second, mixed: &self.mixed }
    }

    /// Those of which `keep` says so of N.
    fn of_sizes(&self, keep: impl Fn(f64) -> bool) -> Self {
        let of = |table: &Table| table.filtered(|run| keep(run.params));
        Self { first: of(&self.first), second: of(&self.second), mixed: of(&self.mixed) }
    }
}

/// Fits a pair.
pub(super) fn fit(table: &Table, pair: &str, joint: bool, settings: &Settings) -> anyhow::Result<Mixed> {
    let tables = PairTables::of(table, pair)?;
    let steps = if joint { Steps::Joint } else { Steps::Two };
    let mixed_settings = MixedSettings { fit: settings.fit.clone(), steps };
    let mut fit = fit_mixed(tables.all(), &mixed_settings)?;
    let constants = fit.law.interaction.constants();
    ensure!(
        constants.iter().all(|constant| constant.is_finite()),
        "the best interaction has constants beyond all numbers"
    );
    let bootstrap = finite_mixed(bootstrap_mixed(tables.all(), &fit, settings.bootstrap)?)?;
    for single in [&mut fit.first, &mut fit.second] {
        single.others.retain(is_finite);
    }
    Ok(Mixed {
        first: with_uncertainty(&tables.first, fit.first.clone(), settings)?,
        second: with_uncertainty(&tables.second, fit.second.clone(), settings)?,
        residuals: residuals(&tables, &fit.law),
        range: Range::of(&tables.mixed),
        held_out: held_out(&tables, &mixed_settings),
        warnings: warnings(&fit, &bootstrap),
        fit,
        bootstrap,
    })
}

/// `ln L̂ − ln L` of each mixed run.
fn residuals(tables: &PairTables, law: &MixedLaw) -> Vec<f64> {
    measured_interactions(tables.all(), law)
        .iter()
        .map(|run| ((run.average + law.interaction.delta(run.params, run.tokens)) / run.loss).ln())
        .collect()
}

/// Predicts the largest mixed runs from all runs of smaller sizes.
fn held_out(tables: &PairTables, settings: &MixedSettings) -> Option<HeldOutError> {
    let params = Range::of(&tables.mixed).params.1;
    let MixedFit { law, converged, .. } = fit_mixed(tables.of_sizes(|size| size < params).all(), settings).ok()?;
    let errors: Vec<f64> = residuals(&tables.of_sizes(|size| size >= params), &law)
        .iter()
        .map(|residual| residual.exp_m1().abs())
        .collect();
    let mean_error = errors.iter().sum::<f64>() / errors.len() as f64;
    let worst_error = errors.iter().copied().fold(0.0, f64::max);
    HeldOutError { params, runs: errors.len(), mean_error, worst_error, converged }.finite()
}

/// What speaks against an interaction.
fn warnings(fit: &MixedFit, bootstrap: &MixedBootstrap) -> Vec<String> {
    let mut warnings = vec![];
    if !fit.converged {
        warnings.push(format!("the fit of the pair did not converge: its gradient is still {:.1e}", fit.gradient_norm));
    }
    if fit.rows < 3 * Interaction::NAMES.len() {
        warnings.push(format!(
            "{} mixed runs for five constants fit anything: judge the law by its held-out error",
            fit.rows
        ));
    }
    for (place, name) in Interaction::NAMES.iter().enumerate() {
        let interval = bootstrap.interval(|law| law.interaction.constants()[place]);
        // C has a sign, the other constants are above 0.
        if *name == "C" {
            if interval.contains(0.0) {
                warnings.push(format!(
                    "the table does not determine the sign of C ({:.4} to {:.4}), so neither whether there is a barrier",
                    interval.low, interval.high
                ));
            }
        } else if !is_identified(&interval) {
            warnings.push(format!(
                "the table hardly determines {name} of the interaction: {:.3e} to {:.3e}; rely on predictions, not on it",
                interval.low, interval.high
            ));
        }
    }
    warnings
}

/// Whether a constant above 0 is known to a factor of ten.
pub(super) fn is_identified(interval: &Interval) -> bool {
    interval.low > 0.0 && interval.high <= 10.0 * interval.low
}

/// Says everything of the interaction.
pub(super) fn say_mixed(mixed: &Mixed) {
    let Mixed { fit, bootstrap, range, .. } = mixed;
    say!("");
    say!("law of {}: L = [L_1 + L_2] / 2 - C + A / N^alpha + B / D^beta, from {} mixed runs", mixed.pair(), fit.rows);
    say_range(range, "D of both");
    for (place, name) in Interaction::NAMES.iter().enumerate() {
        let interval = bootstrap.interval(|law| law.interaction.constants()[place]);
        say_constant(name, fit.law.interaction.constants()[place], &interval);
    }
    if fit.steps == Steps::Joint {
        say!("  fitted jointly: the modalities' own constants in this law are");
        for (single, law) in [(&mixed.first, fit.law.first), (&mixed.second, fit.law.second)] {
            let [e, a, b, alpha, beta] = law.constants().map(super::constant);
            say!("    {}: E {e}, A {a}, B {b}, alpha {alpha}, beta {beta}", single.modality);
        }
    }
    say!("  objective {:.10e} over the mixed runs", fit.objective);
    say!(
        "  gradient norm {:.1e}, {}; {} of {} starts reached it",
        fit.gradient_norm,
        if fit.converged { "converged" } else { "not converged" },
        fit.reached,
        fit.starts
    );
    say_held_out(mixed.held_out.as_ref());
    let barriers = 100.0 * bootstrap.fraction(|law| matches!(barrier::cheapest(&law.interaction), Ok(Some(_))));
    say!("  a barrier exists in {barriers:.0} % of resampled laws");
    mixed.warnings.iter().for_each(|warning| say!("warning: {warning}"));
}
