//! Runs beside one another, as the paper of the Mixture-of-Transformers compares them (Liang et al. 2024, arXiv 2411.04996):
//! with which fraction of the steps of the first does each other run reach the same losses?
//!
//! Runs are read from their folders or from tables of other trainers ([`RunCurves`]); those that differ in their seed alone
//! are one [`Group`]. The first group is the reference. Where a step costs the groups different FLOPs, FLOPs take the place of
//! steps.

mod curves;
mod figures;
mod foreign;
mod groups;
mod identity;
mod names;
mod numbers;
mod page;
mod published;
mod settings;
#[cfg(test)]
mod tests;

use std::path::{Path, PathBuf};

use interfuse_parameters::durable::{create_folder, write_file};
use serde::Serialize;

pub use curves::{LossName, Part, RunCurves};
pub use groups::Group;
pub use numbers::{EqualLoss, Final, Matched, Unmatched};
pub use published::Paper;
pub use settings::ComparisonSettings;

use crate::error::{Context as _, Result, require};

/// FLOPs of a step that differ by less than this fraction are equal.
const EQUAL_FLOPS: f64 = 1e-3;

/// What a comparison found.
#[derive(Debug, Clone, Serialize)]
pub struct Comparison {
    /// The reference first.
    pub groups: Vec<Group>,
    /// `steps` or `FLOPs`: what slopes are fractions of.
    pub unit: &'static str,
    /// Every loss of every other group that could be matched.
    pub matched: Vec<Matched>,
    /// Those that could not.
    pub unmatched: Vec<Unmatched>,
    /// Where the runs end.
    pub finals: Vec<Final>,
    /// What a reader should know.
    pub notes: Vec<String>,
    /// What was asked for.
    pub settings: ComparisonSettings,
}

/// Compares runs: folders of ours, and `metrics.csv` of other trainers. The first is the reference.
///
/// # Errors
/// There are fewer than two groups, a path is no run, a run has no held-out losses, runs were trained on different data or with
/// different tokenizers, or there is no loss that all of them have.
pub fn compare(paths: &[PathBuf], settings: ComparisonSettings) -> Result<Comparison> {
    settings.validate()?;
    let runs: Vec<RunCurves> = paths.iter().map(|path| RunCurves::open(path)).collect::<Result<_>>()?;
    let mut notes: Vec<String> = runs.iter().flat_map(|run| run.notes.clone()).collect();
    for run in runs.iter().filter(|run| !run.has_held_out() && !settings.training_only) {
        require!(false, "{}", without_held_out(run));
    }
    notes.extend(identity::check_data(&runs, settings.different_data)?);
    let groups = groups::grouped(runs)?;
    require!(
        groups.len() >= 2,
        "expected runs of two names at least, found {} of the name {}: runs that differ in their seed alone are one",
        paths.len(),
        groups.first().map_or("", |group| group.name.as_str())
    );
    let losses: Vec<LossName> = numbers::common_losses(&groups)
        .into_iter()
        .filter(|loss| !settings.training_only || loss.part == Part::Training)
        .collect();
    require!(!losses.is_empty(), "there is no loss that all of the runs have");
    let (against_flops, said) = against_flops(&groups);
    notes.extend(said);
    let (mut matched, mut unmatched, mut finals) = (vec![], vec![], vec![]);
    for group in &groups {
        finals.extend(numbers::finals(group, &losses)?);
    }
    for group in &groups[1..] {
        let pairs = groups[0].paired(group);
        for loss in &losses {
            match numbers::matched(&pairs, loss, against_flops, &settings) {
                Ok(found) => matched.push(found),
                Err(reason) => unmatched.push(Unmatched { group: group.name.clone(), loss: loss.clone(), reason }),
            }
        }
    }
    let unit = if against_flops { "FLOPs" } else { "steps" };
    Ok(Comparison { groups, unit, matched, unmatched, finals, notes, settings })
}

fn without_held_out(run: &RunCurves) -> String {
    format!(
        "{} has no held-out losses: expected `held_out/…_loss` among its metrics, which a run records when data.source holds \
         something out and intervals.validation is above 0; --training-only compares the losses of training, which a model \
         may have learned by heart",
        run.path.display()
    )
}

/// Whether slopes are fractions of FLOPs, and what is to be said of it.
fn against_flops(groups: &[Group]) -> (bool, Option<String>) {
    let flops: Option<Vec<f64>> = groups.iter().map(|group| group.flops_per_step).collect();
    let Some(flops) = flops else {
        return (false, Some("FLOPs of a step are not known of all runs; slopes are fractions of steps.".to_string()));
    };
    let unequal = flops.iter().any(|other| (other / flops[0] - 1.0).abs() > EQUAL_FLOPS);
    let listed = || {
        let each = groups.iter().zip(&flops).map(|(group, flops)| format!("{} {flops:.4e}", group.name));
        each.collect::<Vec<_>>().join(", ")
    };
    let said =
        unequal.then(|| format!("A step costs different FLOPs ({}), so slopes are fractions of FLOPs.", listed()));
    (unequal, said)
}

impl Comparison {
    /// The group that the others are held against.
    pub fn reference(&self) -> &Group {
        &self.groups[0]
    }

    /// Writes `comparison.json`, `comparison.html`, and each figure as SVG and PNG, into a folder, and says where the page is.
    ///
    /// # Errors
    /// A figure cannot be drawn, or a file cannot be written.
    pub fn save(&self, folder: &Path) -> Result<PathBuf> {
        create_folder(folder)?;
        let mut json = serde_json::to_vec_pretty(self)?;
        json.push(b'\n');
        write_file(&folder.join("comparison.json"), &json)?;
        for (name, figure) in figures::all(self)? {
            let drawn = || format!("figure {name}");
            write_file(&folder.join(format!("{name}.svg")), figure.to_svg().with_context(drawn)?.as_bytes())?;
            write_file(&folder.join(format!("{name}.png")), &figure.to_png(2.0).with_context(drawn)?)?;
        }
        let path = folder.join("comparison.html");
        write_file(&path, page::html(self)?.as_bytes())?;
        Ok(path)
    }
}
