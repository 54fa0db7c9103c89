//! The figures of a comparison: curves with bands over seeds, matched steps with the fitted line, and slopes as bars.

use std::collections::BTreeMap;

use interfuse_plots::{Axis, Bar, Color, Figure, Series};

use super::curves::{LossName, Part};
use super::groups::Group;
use super::numbers::smoothing;
use super::{Comparison, Matched};
use crate::error::Result;

/// Every figure with the name of its file.
pub(super) fn all(comparison: &Comparison) -> Result<Vec<(String, Figure)>> {
    let mut figures = vec![];
    if !comparison.matched.is_empty() {
        figures.push(("slopes".to_string(), slopes(comparison)));
    }
    for loss in losses(comparison) {
        figures.push((file_name("curves", loss), curves(comparison, loss)?));
        figures.extend(matched(comparison, loss).map(|figure| (file_name("matched", loss), figure)));
    }
    Ok(figures)
}

/// The part of the steps in which losses fall first.
const FALL: f64 = 0.04;

/// The losses that are compared, each once, text and image before what is given something else.
pub(super) fn losses(comparison: &Comparison) -> Vec<&LossName> {
    let all = comparison.matched.iter().map(|matched| &matched.loss);
    let mut losses: Vec<&LossName> = all.chain(comparison.unmatched.iter().map(|unmatched| &unmatched.loss)).collect();
    losses.sort();
    losses.dedup();
    losses
}

fn file_name(kind: &str, loss: &LossName) -> String {
    let part = if loss.part == Part::Training { "training" } else { "held_out" };
    // Names of foreign columns may hold what a file's name may not.
    let modality: String =
        loss.modality.chars().map(|c| if c.is_alphanumeric() || c == '_' { c } else { '-' }).collect();
    format!("{kind}_{modality}_{part}")
}

/// The fraction of the reference's steps of each loss, beside the paper's.
pub(super) fn slopes(comparison: &Comparison) -> Figure {
    let losses = losses(comparison);
    let unit = comparison.unit;
    let reference = &comparison.reference().name;
    let mut figure = Figure::new(
        format!("Fraction of {reference}'s {unit} to equal loss"),
        Axis::categories("", losses.iter().map(ToString::to_string)),
        Axis::linear(format!("fraction of {unit}")),
    )
    .described("Below 1 a run reaches the reference's losses sooner; bars of error are intervals of 95 %.")
    .sized(900.0, 360.0);
    for group in &comparison.groups[1..] {
        let bar = |loss: &&LossName| {
            let found = comparison.matched.iter().find(|matched| matched.group == group.name && matched.loss == **loss);
            let value = found.map_or(f64::NAN, |matched| matched.slope);
            Bar { value, interval: found.and_then(Matched::interval).map(|interval| [interval.low, interval.high]) }
        };
        figure = figure.with(Series::bars(&group.name, losses.iter().map(bar)));
    }
    if let Some(paper) = comparison.settings.paper {
        let slopes = losses.iter().map(|loss| paper.slope(loss).unwrap_or(f64::NAN));
        figure = figure.with(Series::bars(format!("the paper's mot, {}", paper.name), slopes).color(Color::Sky));
    }
    figure.with(Series::horizontal("equal", 1.0))
}

/// A loss of every group against steps: the mean over seeds, and from the lowest to the highest of them.
pub(super) fn curves(comparison: &Comparison, loss: &LossName) -> Result<Figure> {
    let groups = comparison.groups.iter().map(|group| Ok((group, over_seeds(comparison, group, loss)?)));
    let groups: Vec<(&Group, OverSeeds)> = groups.collect::<Result<_>>()?;
    let means = groups.iter().flat_map(|(_, seeds)| &seeds.mean);
    let mut figure = Figure::new(loss.to_string(), Axis::linear("step"), after_the_fall(means));
    for (group, OverSeeds { mean, band }) in groups {
        if group.runs.len() > 1 {
            figure = figure.with(Series::band(&group.name, band));
        }
        figure = figure.with(Series::line(&group.name, mean));
    }
    Ok(figure)
}

/// The axis of a loss, on which its first fall, which is many times as high as all that follows, goes beyond the edge.
fn after_the_fall<'a>(means: impl Iterator<Item = &'a [f64; 2]> + Clone) -> Axis {
    let axis = Axis::linear("loss");
    let end = means.clone().map(|[step, _]| *step).fold(0.0, f64::max);
    let extent = |from: f64| {
        let later = means.clone().filter(move |[step, _]| *step >= from).map(|[_, loss]| *loss);
        later.fold([f64::INFINITY, f64::NEG_INFINITY], |[low, high], loss| [low.min(loss), high.max(loss)])
    };
    let ([low, high], [_, first]) = (extent(FALL * end), extent(0.0));
    let room = (high - low) * 0.06;
    if room > 0.0 && first > high { axis.within(low - room, high + room) } else { axis }
}

/// A group's losses: `[step, mean]` and `[step, lowest, highest]`.
struct OverSeeds {
    mean: Vec<[f64; 2]>,
    band: Vec<[f64; 3]>,
}

/// Mean, and lowest and highest, of the smoothed losses at the steps that all seeds have.
fn over_seeds(comparison: &Comparison, group: &Group, loss: &LossName) -> Result<OverSeeds> {
    let mut at: BTreeMap<u64, Vec<f64>> = BTreeMap::new();
    for run in &group.runs {
        let curve = run.curve(loss, false)?;
        let curve = curve.smoothed(smoothing(&curve, loss, &comparison.settings));
        for (step, loss) in curve.x().iter().zip(curve.loss()) {
            at.entry(step.to_bits()).or_default().push(*loss);
        }
    }
    // Steps are not negative, so that their bits are in their order.
    let whole = at.into_iter().filter(|(_, losses)| losses.len() == group.runs.len());
    let mut over_seeds = OverSeeds { mean: vec![], band: vec![] };
    for (step, losses) in whole {
        let step = f64::from_bits(step);
        over_seeds.mean.push([step, losses.iter().sum::<f64>() / losses.len() as f64]);
        let ends = losses.iter().fold([f64::INFINITY, f64::NEG_INFINITY], |[low, high], &x| [low.min(x), high.max(x)]);
        over_seeds.band.push([step, ends[0], ends[1]]);
    }
    Ok(over_seeds)
}

/// Points that a figure of matched steps shows.
const POINTS: usize = 120;

/// For each step of the reference the other's step to the same loss, and the line through the origin; of the first pair.
pub(super) fn matched(comparison: &Comparison, loss: &LossName) -> Option<Figure> {
    let unit = comparison.unit;
    let axis = |name: &str| Axis::linear(format!("{unit} of {name}"));
    let found: Vec<&Matched> = comparison.matched.iter().filter(|matched| matched.loss == *loss).collect();
    let other = if let [one] = found[..] { one.group.as_str() } else { "the other" };
    let mut figure =
        Figure::new(format!("{loss}: {unit} to equal loss"), axis(&comparison.reference().name), axis(other));
    let mut end = 0.0f64;
    for matched in &found {
        let name = format!("{}: slope {:.3}", matched.group, matched.pairs.first().copied().unwrap_or(matched.slope));
        let stride = matched.points.len().div_ceil(POINTS).max(1);
        let points = matched.points.iter().step_by(stride).map(|point| [point.reference, point.other]);
        let last = matched.points.last().map_or(0.0, |point| point.reference);
        let slope = matched.pairs.first().copied().unwrap_or(matched.slope);
        figure = figure
            .with(Series::points(name.clone(), points))
            .with(Series::line(name, [[0.0, 0.0], [last, last * slope]]));
        end = end.max(last);
    }
    (!found.is_empty()).then(|| figure.with(Series::line("equal", [[0.0, 0.0], [end, end]]).color(Color::Ink).dashed()))
}
