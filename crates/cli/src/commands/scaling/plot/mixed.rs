//! Figures of a pair: the interaction against size and tokens, and the map of the barrier.

use interfuse_plots::{Axis, Color, ColorMap, Figure, HeatMap, Series};
use interfuse_scaling::mixed::{Interaction, MeasuredInteraction, barrier, measured_interactions};
use interfuse_scaling::table::Table;

use super::super::file::{Mixed, Range};
use super::super::mixed::PairTables;
use super::super::short;
use super::{POINTS, Section, constants_table, is_near, law, some_values, spaced};

/// Cells along one side of a map.
const CELLS: usize = 60;
/// The factor by which a map goes beyond the largest size and tokens of the table.
const BEYOND: f64 = 30.0;

/// Both modalities and the pair.
pub(super) fn sections(mixed: &Mixed, tables: &PairTables) -> Vec<Section> {
    vec![pair(mixed, tables), law::section(&mixed.first, &tables.first), law::section(&mixed.second, &tables.second)]
}

fn pair(mixed: &Mixed, tables: &PairTables) -> Section {
    let Mixed { fit, bootstrap, range, .. } = mixed;
    let constants = Interaction::NAMES.iter().enumerate().map(|(place, name)| {
        let interval = bootstrap.interval(|law| law.interaction.constants()[place]);
        (*name, fit.law.interaction.constants()[place], interval)
    });
    let measured = measured_interactions(tables.all(), &fit.law);
    let name = |figure: &str| format!("{}-{figure}", law::file_name(&mixed.pair()));
    let figures = vec![
        (name("interaction-tokens"), against_tokens(mixed, &tables.mixed, &measured)),
        (name("interaction-params"), against_params(mixed, &tables.mixed, &measured)),
        (name("barrier"), barrier_map(mixed, &tables.mixed)),
        (name("synergy"), synergy_map(mixed, range)),
    ];
    let words = format!(
        "The loss of {} mixed runs is the average of both modalities' laws and the interaction −C + A / N^α + B / D^β, D being \
         the tokens of both: below 0 the two help each other (synergy), above it they hinder each other (competition).",
        fit.rows
    );
    Section {
        heading: format!("Interaction of {}", mixed.pair()),
        words: vec![words, barrier_words(mixed)],
        constants: constants_table(constants),
        warnings: mixed.warnings.clone(),
        figures,
    }
}

fn barrier_words(mixed: &Mixed) -> String {
    let exist = 100.0 * mixed.bootstrap.fraction(|law| law.interaction.c > 0.0);
    match barrier::cheapest(&mixed.fit.law.interaction) {
        Ok(Some(point)) => format!(
            "The barrier, where the interaction is 0, is passed with the least FLOPs at N {} and D {}: {:.2e} FLOPs. It exists \
             in {exist:.0} % of resampled laws.",
            short(point.params),
            short(point.tokens),
            point.flops
        ),
        _ => format!(
            "By this law there is no barrier: the two never help each other. One exists in {exist:.0} % of resampled laws."
        ),
    }
}

fn against_tokens(mixed: &Mixed, table: &Table, measured: &[MeasuredInteraction]) -> Figure {
    let mut figure = empty(mixed, "against tokens", Axis::logarithmic("tokens of both"));
    for size in some_values(table, |run| run.params) {
        let curve = spaced(mixed.range.tokens, POINTS).into_iter().map(|tokens| (tokens, (size, tokens)));
        let points = measured.iter().filter(|run| is_near(run.params, size)).map(|run| [run.tokens, run.delta]);
        figure = with_curve(figure, mixed, &format!("N {}", short(size)), curve.collect(), points.collect());
    }
    figure
}

fn against_params(mixed: &Mixed, table: &Table, measured: &[MeasuredInteraction]) -> Figure {
    let mut figure = empty(mixed, "against size", Axis::logarithmic("parameters"));
    for tokens in some_values(table, |run| run.tokens) {
        let curve = spaced(mixed.range.params, POINTS).into_iter().map(|params| (params, (params, tokens)));
        let points = measured.iter().filter(|run| is_near(run.tokens, tokens)).map(|run| [run.params, run.delta]);
        figure = with_curve(figure, mixed, &format!("D {}", short(tokens)), curve.collect(), points.collect());
    }
    figure
}

fn empty(mixed: &Mixed, against: &str, x: Axis) -> Figure {
    let title = format!("{}: interaction {against}", mixed.pair());
    Figure::new(title, x, Axis::linear("interaction, nats a token"))
        .described("Curves of the law with the bands of resampled laws, and mixed runs as points; below 0 is synergy.")
        .with(Series::horizontal("", 0.0))
}

/// Adds a curve over `(x, (N, D))` with its band, and points.
fn with_curve(
    figure: Figure,
    mixed: &Mixed,
    name: &str,
    curve: Vec<(f64, (f64, f64))>,
    points: Vec<[f64; 2]>,
) -> Figure {
    let band = curve.iter().map(|&(x, (params, tokens))| {
        let interval = mixed.bootstrap.interval(|law| law.interaction.delta(params, tokens));
        [x, interval.low, interval.high]
    });
    let line = curve.iter().map(|&(x, (params, tokens))| [x, mixed.fit.law.interaction.delta(params, tokens)]);
    figure.with(Series::band(name, band)).with(Series::line(name, line)).with(Series::points(name, points))
}

/// Sizes and tokens of a map.
fn grid(range: &Range) -> (Vec<f64>, Vec<f64>) {
    let beyond = |(low, high): (f64, f64)| spaced((low / 2.0, high * BEYOND), CELLS);
    (beyond(range.params), beyond(range.tokens))
}

fn map(range: &Range, colors: ColorMap, value: impl Fn(f64, f64) -> f64) -> HeatMap {
    let (sizes, tokens) = grid(range);
    let values = tokens.iter().map(|tokens| sizes.iter().map(|params| value(*params, *tokens)).collect()).collect();
    HeatMap::new(sizes, tokens, values, colors)
}

/// The interaction over sizes and tokens, its zero the barrier.
fn barrier_map(mixed: &Mixed, table: &Table) -> Figure {
    let law = &mixed.fit.law.interaction;
    let map = map(&mixed.range, ColorMap::Diverging, |params, tokens| law.delta(params, tokens)).contours([0.0]);
    let title = format!("{}: competition and synergy", mixed.pair());
    let figure = Figure::new(title, Axis::logarithmic("parameters"), Axis::logarithmic("tokens of both"))
        .described("The interaction by size and tokens; the line where it is 0 is the barrier. Points are mixed runs.")
        .with(Series::heat_map("interaction, nats a token", map))
        .with(Series::points("mixed runs", table.runs().iter().map(|run| [run.params, run.tokens])).color(Color::Ink));
    let (sizes, tokens) = grid(&mixed.range);
    let within =
        |values: &[f64], value: f64| values.first().zip(values.last()).is_some_and(|(a, b)| (*a..=*b).contains(&value));
    match barrier::cheapest(law) {
        Ok(Some(point)) if within(&sizes, point.params) && within(&tokens, point.tokens) => {
            figure.with(Series::points("least FLOPs", [[point.params, point.tokens]]).color(Color::Orange))
        }
        _ => figure,
    }
}

/// In which part of the resampled laws the two help each other.
fn synergy_map(mixed: &Mixed, range: &Range) -> Figure {
    let map = map(range, ColorMap::Sequential, |params, tokens| {
        100.0 * mixed.bootstrap.fraction(|law| law.interaction.delta(params, tokens) < 0.0)
    })
    .within(0.0, 100.0)
    .contours([2.5, 97.5]);
    let title = format!("{}: how sure is synergy?", mixed.pair());
    Figure::new(title, Axis::logarithmic("parameters"), Axis::logarithmic("tokens of both"))
        .described("The percentage of resampled laws with synergy by size and tokens.")
        .with(Series::heat_map("resampled laws with synergy, %", map))
}
