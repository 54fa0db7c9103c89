//! Runs that differ in their seed alone, as one group.

use serde::Serialize;

use super::curves::RunCurves;
use super::identity::check_seeds_only;
use crate::error::Result;

/// Runs of one name.
#[derive(Debug, Clone, Serialize)]
pub struct Group {
    /// Of the folders, without seeds.
    pub name: String,
    /// FLOPs of a step, where they are known.
    pub flops_per_step: Option<f64>,
    /// By seed.
    #[serde(serialize_with = "paths")]
    pub runs: Vec<RunCurves>,
}

/// Of each run its path and seed.
fn paths<S: serde::Serializer>(runs: &[RunCurves], serializer: S) -> Result<S::Ok, S::Error> {
    #[derive(Serialize)]
    struct Run<'a> {
        path: &'a std::path::Path,
        seed: Option<u64>,
    }
    serializer.collect_seq(runs.iter().map(|run| Run { path: &run.path, seed: run.seed }))
}

/// Groups runs by name, in the order in which names first occur.
///
/// # Errors
/// Two runs of one name have the same seed, or differ in more than that.
pub(super) fn grouped(runs: Vec<RunCurves>) -> Result<Vec<Group>> {
    let mut groups: Vec<Group> = vec![];
    for run in runs {
        match groups.iter_mut().find(|group| group.name == run.name) {
            Some(group) => {
                for other in &group.runs {
                    check_seeds_only(other, &run)?;
                }
                group.runs.push(run);
            }
            None => {
                let flops_per_step = run.flops_per_step();
                groups.push(Group { name: run.name.clone(), flops_per_step, runs: vec![run] });
            }
        }
    }
    for group in &mut groups {
        group.runs.sort_by_key(|run| run.seed);
    }
    Ok(groups)
}

impl Group {
    /// Runs of this group beside runs of the other: of the same seeds, or, where there are none, in the order of their seeds.
    pub(super) fn paired<'a>(&'a self, other: &'a Self) -> Vec<(&'a RunCurves, &'a RunCurves)> {
        let partner = |run: &RunCurves| other.runs.iter().find(|candidate| candidate.seed == run.seed);
        let by_seed: Vec<_> = self.runs.iter().filter_map(|run| Some((run, partner(run)?))).collect();
        if by_seed.is_empty() { self.runs.iter().zip(&other.runs).collect() } else { by_seed }
    }
}
