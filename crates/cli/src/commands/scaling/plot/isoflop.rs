//! IsoFLOP profiles of a table that has several sizes at a budget.

use interfuse_plots::{Axis, Color, Figure, Series};
use interfuse_scaling::law::isoflop::{Profile, isoflop};
use interfuse_scaling::table::{Run, Table};

use super::super::file::Single;
use super::{MOST_LINES, POINTS, spaced};

/// Runs whose FLOPs differ by less than this part are of one budget.
const TOLERANCE: f64 = 0.05;
/// The least factor between two budgets that are drawn.
const APART: f64 = 1.5;

/// A parabola for each budget, with its runs; nothing where no budget has one.
pub(super) fn figure(single: &Single, table: &Table) -> Option<Figure> {
    let found = isoflop(table, TOLERANCE).ok()?;
    let inside = apart(found.profiles.iter().filter(|profile| profile.inside).copied().collect());
    if inside.is_empty() {
        return None;
    }
    let centers: Vec<f64> =
        found.profiles.iter().map(|profile| profile.flops).chain(found.left_out.iter().copied()).collect();
    let title = format!("{}: loss at equal compute", single.modality);
    let mut figure = Figure::new(title, Axis::logarithmic("parameters"), Axis::linear("loss, nats a token"))
        .described("A parabola for each budget of FLOPs through its runs; the lowest points are the best sizes.");
    for profile in &inside {
        let runs: Vec<&Run> = table.runs().iter().filter(|run| nearest(&centers, run) == profile.flops).collect();
        let bounds = runs
            .iter()
            .fold((f64::INFINITY, 0.0f64), |(least, most), run| (least.min(run.params), most.max(run.params)));
        let name = format!("{:.1e} FLOPs", profile.flops);
        let parabola = |params: f64| profile.loss + profile.curvature * (params / profile.params).ln().powi(2);
        figure = figure
            .with(Series::line(
                name.clone(),
                spaced(bounds, POINTS).into_iter().map(|params| [params, parabola(params)]),
            ))
            .with(Series::points(name, runs.iter().map(|run| [run.params, run.loss])));
    }
    let lowest = inside.iter().map(|profile| [profile.params, profile.loss]);
    Some(figure.with(Series::line("lowest", lowest).color(Color::Ink).dashed()))
}

/// The budgets with the most runs that lie apart, in rising order: in a table of checkpoints many lie close to each other.
fn apart(mut profiles: Vec<Profile>) -> Vec<Profile> {
    profiles.sort_by_key(|profile| std::cmp::Reverse(profile.runs));
    let mut kept: Vec<Profile> = vec![];
    for profile in profiles {
        let is_apart = |other: &Profile| (profile.flops / other.flops).ln().abs() >= APART.ln();
        if kept.len() < MOST_LINES && kept.iter().all(is_apart) {
            kept.push(profile);
        }
    }
    kept.sort_by(|a, b| a.flops.total_cmp(&b.flops));
    kept
}

/// The budget to which a run belongs.
fn nearest(centers: &[f64], run: &Run) -> f64 {
    let distance = |center: &f64| (run.training_flops() / center).ln().abs();
    centers.iter().copied().min_by(|a, b| distance(a).total_cmp(&distance(b))).unwrap_or(f64::NAN)
}
