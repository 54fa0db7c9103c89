//! The numbers of a comparison: how fast each group of runs reaches the reference's losses, and where all of them end.

use std::collections::BTreeSet;

use interfuse_scaling::Interval;
use interfuse_scaling::matching::{
    BlockBootstrap, Curve, MatchSettings, MatchedPoint, Matching, Smoothing, block_interval, match_curves,
    mean_interval,
};
use serde::Serialize;
use serde_json::Value;

use super::curves::{LossName, Part, RunCurves, cost_at};
use super::groups::Group;
use super::settings::ComparisonSettings;
use crate::error::{Context as _, Result};

/// Confidence of every interval.
pub(super) const LEVEL: f64 = 0.95;
/// Fewer records have no blocks to resample.
const LEAST_RECORDS: usize = 16;

/// One loss of one group beside that of the reference.
#[derive(Debug, Clone, Serialize)]
pub struct Matched {
    /// Which group.
    pub group: String,
    /// Which loss.
    pub loss: LossName,
    /// The fraction of the reference's steps (or FLOPs) with which the group reaches its losses; the mean over pairs of seeds.
    pub slope: f64,
    /// Between seeds, where there are two pairs or more.
    pub interval_of_seeds: Option<Interval>,
    /// By blocks of records of the first pair: it knows of noise within the runs alone.
    pub interval_of_blocks: Option<Interval>,
    /// The slope of each pair.
    pub pairs: Vec<f64>,
    /// √(Σ (s − slope t)² / Σ s²) of the first pair.
    pub relative_deviation: f64,
    /// Records of the reference that were matched, in the first pair.
    pub records: usize,
    /// Records of the reference lower than any loss of the other, in the first pair.
    pub beyond: usize,
    /// Cost to the lowest loss that both reach, in the first pair.
    pub to_equal_loss: EqualLoss,
    /// The matched records of the first pair.
    #[serde(skip)]
    pub points: Vec<MatchedPoint>,
}

impl Matched {
    /// That of seeds, or else that of blocks.
    pub fn interval(&self) -> Option<Interval> {
        self.interval_of_seeds.or(self.interval_of_blocks)
    }
}

/// What a loss cost: `[reference, other]`.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct EqualLoss {
    /// The lowest loss that both reach.
    pub loss: f64,
    /// Steps until then.
    pub steps: [f64; 2],
    /// FLOPs until then, where they are known.
    pub flops: Option<[f64; 2]>,
    /// Seconds of training until then, where they are known.
    pub seconds: Option<[f64; 2]>,
}

/// A number at the end of a group's runs.
#[derive(Debug, Clone, Serialize)]
pub struct Final {
    /// Which group.
    pub group: String,
    /// Which number.
    pub name: String,
    /// The mean over the group's runs.
    pub value: f64,
    /// Between seeds, or, of one run's fraction, of the samples that it was measured on.
    pub interval: Option<Interval>,
    /// Runs that have the number.
    pub runs: usize,
}

/// Losses that cannot be matched, and why.
#[derive(Debug, Clone, Serialize)]
pub struct Unmatched {
    /// Which group.
    pub group: String,
    /// Which loss.
    pub loss: LossName,
    /// Why.
    pub reason: String,
}

/// The losses that all of the runs have.
pub(super) fn common_losses(groups: &[Group]) -> Vec<LossName> {
    let mut names: Option<BTreeSet<LossName>> = None;
    for run in groups.iter().flat_map(|group| &group.runs) {
        let own: BTreeSet<LossName> = run.losses.keys().cloned().collect();
        names = Some(match names {
            Some(names) => names.intersection(&own).cloned().collect(),
            None => own,
        });
    }
    names.unwrap_or_default().into_iter().collect()
}

/// Matches one loss of a group to the reference's; or says why there is no match.
pub(super) fn matched(
    pairs: &[(&RunCurves, &RunCurves)],
    loss: &LossName,
    against_flops: bool,
    settings: &ComparisonSettings,
) -> Result<Matched, String> {
    let curves = pairs
        .iter()
        .map(|(reference, other)| Ok((reference.curve(loss, against_flops)?, other.curve(loss, against_flops)?)));
    let said = |error: &dyn std::error::Error| error.to_string();
    let curves: Vec<(Curve, Curve)> = curves.collect::<Result<_>>().map_err(|error| crate::error::sentence(&error))?;
    let Some((first, second)) = curves.first() else { return Err("there are no runs".to_string()) };
    let matching = MatchSettings { smoothing: smoothing(first, loss, settings), from: 0.0 };
    let found: Vec<Matching> = curves
        .iter()
        .map(|(reference, other)| match_curves(reference, other, matching))
        .collect::<Result<_, _>>()
        .map_err(|error| said(&error))?;
    let slopes: Vec<f64> = found.iter().map(|matching| matching.slope).collect();
    let between_seeds = mean_interval(&slopes, LEVEL).ok();
    let records = first.x().len().min(second.x().len());
    let bootstrap = BlockBootstrap {
        block: (records / 20).max(matching.smoothing.window).min(records / 2),
        resamples: settings.resamples,
        seed: settings.seed,
        level: LEVEL,
    };
    let blocks = (records >= LEAST_RECORDS).then(|| block_interval(first, second, matching, bootstrap).ok()).flatten();
    let to_equal_loss = equal_loss(pairs[0], loss, matching.smoothing)?;
    let one = found.into_iter().next().ok_or("there are no runs")?;
    Ok(Matched {
        group: pairs[0].1.name.clone(),
        loss: loss.clone(),
        slope: between_seeds.map_or(one.slope, |(mean, _)| mean),
        interval_of_seeds: between_seeds.map(|(_, interval)| interval),
        interval_of_blocks: blocks,
        pairs: slopes,
        relative_deviation: one.relative_deviation,
        records: one.points.len(),
        beyond: one.beyond,
        to_equal_loss,
        points: one.points,
    })
}

/// Training losses, which are noisy, take a moving mean over 2 % of the records unless settings say otherwise.
pub(super) fn smoothing(curve: &Curve, loss: &LossName, settings: &ComparisonSettings) -> Smoothing {
    let window = match (loss.part, settings.window) {
        (Part::HeldOut, _) => 1,
        (Part::Training, Some(window)) => window,
        (Part::Training, None) => (curve.x().len() / 50) | 1,
    };
    Smoothing { window }
}

/// What the lowest loss that both reach cost either.
fn equal_loss((a, b): (&RunCurves, &RunCurves), name: &LossName, smoothing: Smoothing) -> Result<EqualLoss, String> {
    let falling = |run: &RunCurves| {
        let curve = run.curve(name, false).map_err(|error| crate::error::sentence(&error))?;
        Ok::<_, String>(curve.smoothed(smoothing).falling())
    };
    let [x, y] = [falling(a)?, falling(b)?];
    let loss = x.losses().1.max(y.losses().1);
    let (Some(of_a), Some(of_b)) = (x.x_at(loss), y.x_at(loss)) else {
        return Err(format!("neither reaches a loss of the other: {loss}"));
    };
    let both = |cost: fn(&RunCurves) -> Option<&super::curves::Cost>| {
        Some([cost_at(cost(a)?, of_a)?, cost_at(cost(b)?, of_b)?])
    };
    let [flops, seconds] = [both(|run| run.flops.as_ref()), both(|run| run.seconds.as_ref())];
    Ok(EqualLoss { loss, steps: [of_a, of_b], flops, seconds })
}

/// Where a group's runs end: every loss, and every fraction of `evaluation.json`.
pub(super) fn finals(group: &Group, losses: &[LossName]) -> Result<Vec<Final>> {
    let mut finals = vec![];
    for loss in losses {
        let last = |run: &RunCurves| run.losses.get(loss).map(|records| last_loss(records, loss.part));
        let values: Vec<f64> = group.runs.iter().filter_map(last).collect();
        finals.extend(mean_of(group, loss.to_string() + " loss", &values, None)?);
    }
    let fractions: Vec<Vec<(String, [f64; 3])>> =
        group.runs.iter().filter_map(|run| run.evaluation.as_ref()).map(fractions).collect();
    for (name, [_, low, high]) in fractions.first().into_iter().flatten() {
        let of_run =
            |all: &Vec<(String, [f64; 3])>| all.iter().find(|(other, _)| other == name).map(|(_, [value, ..])| *value);
        let values: Vec<f64> = fractions.iter().filter_map(of_run).collect();
        let own = Interval { low: *low, high: *high, level: LEVEL };
        finals.extend(mean_of(group, name.clone(), &values, Some(own))?);
    }
    Ok(finals)
}

/// The last record, or, of a noisy training loss, the mean of the last tenth.
fn last_loss(records: &[[f64; 2]], part: Part) -> f64 {
    let count = if part == Part::Training { records.len().div_ceil(10) } else { 1 };
    let last = &records[records.len() - count..];
    last.iter().map(|record| record[1]).sum::<f64>() / count as f64
}

fn mean_of(group: &Group, name: String, values: &[f64], own: Option<Interval>) -> Result<Option<Final>> {
    let (value, interval) = match values {
        [] => return Ok(None),
        [value] => (*value, own),
        _ => {
            let (mean, interval) = mean_interval(values, LEVEL).context("final numbers")?;
            (mean, Some(interval))
        }
    };
    Ok(Some(Final { group: group.name.clone(), name, value, interval, runs: values.len() }))
}

/// Every fraction with an interval in a report, by its path.
fn fractions(report: &Value) -> Vec<(String, [f64; 3])> {
    fn walk(value: &Value, path: &str, found: &mut Vec<(String, [f64; 3])>) {
        let Some(map) = value.as_object() else { return };
        let [fraction, low, high] = ["fraction", "low", "high"].map(|key| map.get(key).and_then(Value::as_f64));
        if let (Some(fraction), Some(low), Some(high)) = (fraction, low, high) {
            found.push((path.to_string(), [fraction, low, high]));
            return;
        }
        for (key, value) in map {
            let path = if path.is_empty() { key.clone() } else { format!("{path}, {key}") };
            walk(value, &path.replace('_', " "), found);
        }
    }
    let mut found = vec![];
    walk(report, "", &mut found);
    found
}
