//! Figures of the law of one modality.

use interfuse_plots::{Axis, Color, Figure, Series};
use interfuse_scaling::law::Law;
use interfuse_scaling::optimal::{compute_optimal, params_exponent};
use interfuse_scaling::table::{Run, Table};

use super::super::file::Single;
use super::super::short;
use super::{MOST_LINES, POINTS, Section, constants_table, is_near, isoflop, some_values, spaced};

/// Everything of one modality.
pub(super) fn section(single: &Single, table: &Table) -> Section {
    let Single { modality, fit, bootstrap, .. } = single;
    let constants = Law::NAMES
        .iter()
        .enumerate()
        .map(|(place, name)| (*name, fit.law.constants()[place], bootstrap.interval(|law| law.constants()[place])));
    let exponent = ("β/(α+β), exponent of N_opt in C", params_exponent(&fit.law), bootstrap.interval(params_exponent));
    let mut words = vec![format!(
        "L = E + A / N^α + B / D^β over {} runs: the objective is {:.6e} (the sum of Huber's loss of log loss, δ = {}), its \
         gradient {:.1e}; {} of {} starts reached it.",
        fit.rows, fit.objective, fit.delta, fit.gradient_norm, fit.reached, fit.starts
    )];
    if let Some(held_out) = single.held_out {
        words.push(format!(
            "Fitted without the largest size, the law predicts its {} runs to {:.2} % on average and {:.2} % at worst.",
            held_out.runs,
            100.0 * held_out.mean_error,
            100.0 * held_out.worst_error
        ));
    }
    let drawn = some_values(table, |run| run.params).len();
    if drawn == MOST_LINES {
        words.push(format!(
            "Curves are those of {drawn} sizes from the smallest to the largest; residuals are of all runs."
        ));
    }
    let name = |figure: &str| format!("{}-{figure}", file_name(modality));
    let mut figures = vec![
        (name("tokens"), curves(single, table, &ByTokens)),
        (name("compute"), curves(single, table, &ByCompute)),
        (name("residuals"), residuals(single, table)),
    ];
    figures.extend(isoflop::figure(single, table).map(|figure| (name("isoflop"), figure)));
    Section {
        heading: format!("Law of {modality}"),
        words,
        constants: constants_table(constants.chain([exponent])),
        warnings: single.warnings.iter().map(ToString::to_string).collect(),
        figures,
    }
}

/// A modality's name as the beginning of a file's.
pub(super) fn file_name(modality: &str) -> String {
    modality.chars().map(|letter| if letter.is_alphanumeric() { letter } else { '-' }).collect()
}

/// What stands on the axis of curves of equal size.
trait Across {
    const TITLE: &'static str;
    const LABEL: &'static str;
    fn of_run(run: &Run) -> f64;
    fn of_place(params: f64, tokens: f64) -> f64;
}

struct ByTokens;

impl Across for ByTokens {
    const TITLE: &'static str = "loss against tokens";
    const LABEL: &'static str = "tokens";

    fn of_run(run: &Run) -> f64 {
        run.tokens
    }

    fn of_place(_: f64, tokens: f64) -> f64 {
        tokens
    }
}

struct ByCompute;

impl Across for ByCompute {
    const TITLE: &'static str = "loss against compute";
    const LABEL: &'static str = "training FLOPs";

    fn of_run(run: &Run) -> f64 {
        run.training_flops()
    }

    fn of_place(params: f64, tokens: f64) -> f64 {
        6.0 * params * tokens
    }
}

/// One curve for each size, with its runs and the interval of the law.
fn curves<A: Across>(single: &Single, table: &Table, _: &A) -> Figure {
    let title = format!("{}: {}", single.modality, A::TITLE);
    let mut figure = Figure::new(title, Axis::logarithmic(A::LABEL), Axis::logarithmic("loss, nats a token"))
        .described("A falling curve of the law for each size, the band of its resampled fits, and the runs as points.");
    for size in some_values(table, |run| run.params) {
        let runs = || table.runs().iter().filter(|run| is_near(run.params, size));
        let bounds =
            runs().fold((f64::INFINITY, 0.0f64), |(least, most), run| (least.min(run.tokens), most.max(run.tokens)));
        let name = short(size);
        // A little beyond the runs, so that a single one has a curve too.
        let tokens = spaced((bounds.0 / 1.3, bounds.1 * 1.3), POINTS);
        let band = tokens.iter().map(|&tokens| {
            let interval = single.bootstrap.interval(|law| law.loss(size, tokens));
            [A::of_place(size, tokens), interval.low, interval.high]
        });
        let line = tokens.iter().map(|&tokens| [A::of_place(size, tokens), single.fit.law.loss(size, tokens)]);
        figure = figure
            .with(Series::band(name.clone(), band))
            .with(Series::line(name.clone(), line))
            .with(Series::points(name, runs().map(|run| [A::of_run(run), run.loss])));
    }
    match A::LABEL == ByCompute::LABEL {
        true => frontier(figure, single, table),
        false => figure,
    }
}

/// Adds the least loss at each budget by the law.
fn frontier(figure: Figure, single: &Single, table: &Table) -> Figure {
    let bounds = table
        .runs()
        .iter()
        .map(Run::training_flops)
        .fold((f64::INFINITY, 0.0f64), |(least, most), flops| (least.min(flops), most.max(flops)));
    let best = spaced(bounds, POINTS)
        .into_iter()
        .filter_map(|flops| Some([flops, compute_optimal(&single.fit.law, flops).ok()?.loss]));
    figure.with(Series::line("best size", best.collect::<Vec<_>>()).color(Color::Ink).dashed())
}

/// How far runs lie from the law.
fn residuals(single: &Single, table: &Table) -> Figure {
    let residuals = single.fit.law.residuals(table.runs());
    let points = table.runs().iter().zip(residuals).map(|(run, residual)| [run.training_flops(), -100.0 * residual]);
    let title = format!("{}: runs against the law", single.modality);
    Figure::new(title, Axis::logarithmic("training FLOPs"), Axis::linear("loss above the law, %"))
        .described("A point for each run: by how much its loss lies above or below the law.")
        .with(Series::points("", points))
        .with(Series::horizontal("", 0.0))
}
