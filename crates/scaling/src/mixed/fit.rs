//! Fits of the mixed law, in two steps or jointly, by Huber's loss of log losses as the laws of one modality.
//!
//! In two steps the modalities are fitted by themselves and the interaction to the mixed runs with both laws fixed. A joint fit
//! moves all fifteen constants, so that mixed runs also say something of the modalities.

use serde::{Deserialize, Serialize};

use super::law::{Interaction, MixedLaw};
use super::rows::{InteractionRows, Joint, split_tokens};
use crate::error::ScalingError;
use crate::law::{Centered, ChinchillaRows, FitSettings, Huber, Law, LawFit, fit_law, huber_sum, minimum_of, refit};
use crate::optimize;
use crate::table::{Run, Table};
use crate::uncertainty::{Bootstrap, BootstrapSettings, resampled};

/// The runs of two modalities and of their pair.
#[derive(Debug, Clone, Copy)]
pub struct MixedTables<'a> {
    /// Of the first modality by itself.
    pub first: &'a Table,
    /// Of the second.
    pub second: &'a Table,
    /// Of both in one model; `tokens` are those of both, `first_share` the first one's part.
    pub mixed: &'a Table,
}

/// Which constants a fit of mixed runs moves.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Steps {
    /// Those of the interaction, with the laws of the modalities fixed.
    Two,
    /// All, from the result of two steps.
    Joint,
}

/// How a mixed law is fitted.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct MixedSettings {
    /// δ, tolerance and starts of the modalities; δ and tolerance serve the interaction too.
    pub fit: FitSettings,
    /// Which constants move.
    pub steps: Steps,
}

/// A fitted mixed law.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct MixedFit {
    /// The constants.
    pub law: MixedLaw,
    /// Which constants moved.
    pub steps: Steps,
    /// The fit of the first modality by itself.
    pub first: LawFit,
    /// The fit of the second.
    pub second: LawFit,
    /// Σ ρ(r) over the mixed runs.
    pub objective: f64,
    /// The norm of the gradient that was reached, over the constants that moved.
    pub gradient_norm: f64,
    /// Whether that is as small as was asked for.
    pub converged: bool,
    /// Mixed runs.
    pub rows: usize,
    /// Starts of the interaction.
    pub starts: usize,
    /// Starts that came within one millionth of the optimum by themselves.
    pub reached: usize,
}

/// Resampled mixed laws.
pub type MixedBootstrap = Bootstrap<MixedLaw>;

/// Fits a mixed law.
///
/// # Errors
/// A modality cannot be fitted ([`fit_law`]), or there are fewer than five mixed runs, two sizes or two budgets.
pub fn fit_mixed(tables: MixedTables<'_>, settings: &MixedSettings) -> Result<MixedFit, ScalingError> {
    let first = fit_law(tables.first, &settings.fit)?;
    let second = fit_law(tables.second, &settings.fit)?;
    tables.mixed.check_fit(Interaction::NAMES.len())?;
    let FitSettings { delta, gradient_norm: tolerance, .. } = settings.fit;
    let rows = InteractionRows::new(tables.mixed.runs(), &first.law, &second.law);
    let starts = starts();
    let objective = Huber { residuals: &rows, weights: None, delta };
    let found = optimize::from_starts(&objective, &starts, tolerance)
        .ok_or_else(|| ScalingError::value("objective", "finite at some start", "infinity at all"))?;
    let mut law = MixedLaw { first: first.law, second: second.law, interaction: rows.interaction(&found.best.at) };
    let mut gradient_norm = found.best.gradient_norm();
    if settings.steps == Steps::Joint {
        let joint = Joint::new(tables, None, delta);
        let point = optimize::from_start(&joint, joint.constants(&law), tolerance);
        (law, gradient_norm) = (joint.law(&point.at), point.gradient_norm());
    }
    Ok(MixedFit {
        objective: huber_sum(&residuals(&law, tables.mixed), delta),
        law,
        steps: settings.steps,
        first,
        second,
        gradient_norm,
        converged: gradient_norm <= tolerance,
        rows: tables.mixed.runs().len(),
        starts: starts.len(),
        reached: found.reached,
    })
}

/// Fits the mixed law of `fit` to resampled tables; each of the three is resampled by itself.
///
/// # Errors
/// A setting is out of its range, or no resampled tables could be fitted.
pub fn bootstrap_mixed(
    tables: MixedTables<'_>,
    fit: &MixedFit,
    settings: BootstrapSettings,
) -> Result<MixedBootstrap, ScalingError> {
    let delta = fit.first.delta;
    let modality = |table: &Table| ChinchillaRows::new(table.runs(), Centered::at_means(table.runs()));
    let (first, second) = (modality(tables.first), modality(tables.second));
    let counts = [tables.first, tables.second, tables.mixed].map(|table| table.runs().len());
    let starts = |fit: &LawFit| std::iter::once(fit.law).chain(fit.others.iter().copied()).collect::<Vec<Law>>();
    let (first_starts, second_starts) = (starts(&fit.first), starts(&fit.second));
    resampled(&counts, settings, |weights| {
        let first = refit(&first, Some(&weights[0]), delta, &first_starts)?;
        let second = refit(&second, Some(&weights[1]), delta, &second_starts)?;
        let rows = InteractionRows::new(tables.mixed.runs(), &first, &second);
        let objective = Huber { residuals: &rows, weights: Some(&weights[2]), delta };
        let own = rows.constants(&fit.law.interaction);
        // Without noise of the modalities the interaction may lie elsewhere: a few starts beside its own.
        let interaction = minimum_of(&objective, std::iter::once(own).chain(few_starts()))?;
        let law = MixedLaw { first, second, interaction: rows.interaction(&interaction.at) };
        if fit.steps == Steps::Two {
            return Some(law);
        }
        let joint = Joint::new(tables, Some(weights), delta);
        let point = minimum_of(&joint, [joint.constants(&law), joint.constants(&fit.law)].into_iter())?;
        Some(joint.law(&point.at))
    })
}

/// `ln L̂ − ln L` of each mixed run.
fn residuals(law: &MixedLaw, mixed: &Table) -> Vec<f64> {
    let residual = |run: &Run| {
        let (first, second) = split_tokens(run);
        (law.loss(run.params, first, second) / run.loss).ln()
    };
    mixed.runs().iter().map(residual).collect()
}

/// Starts of `[C, a', b', α, β]`: since a' and b' are logarithms of nats at the middle of the table, they need no scale.
fn starts() -> Vec<Vec<f64>> {
    let mut starts = vec![];
    for c in [0.0, 0.1, 0.4, 1.0] {
        for a in [-5.0, -3.0, -1.0] {
            for b in [-5.0, -3.0, -1.0] {
                for alpha in [0.1, 0.3, 0.6, 1.0] {
                    starts.extend([0.1, 0.3, 0.6, 1.0].map(|beta| vec![c, a, b, alpha, beta]));
                }
            }
        }
    }
    starts
}

/// Starts beside a known optimum.
fn few_starts() -> impl Iterator<Item = Vec<f64>> {
    [vec![0.1, -3.0, -3.0, 0.3, 0.3], vec![0.4, -1.0, -1.0, 0.3, 0.3]].into_iter()
}
