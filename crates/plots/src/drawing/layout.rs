//! Where everything lies: margins as wide as the labels in them, and the colour of every series.

use crate::axis::Frame;
use crate::color::Color;
use crate::error::Result;
use crate::figure::Figure;
use crate::heat_map::HeatMap;
use crate::series::{Marks, Series};
use crate::text::{self, Weight};
use crate::ticks::Ticks;

use super::{LABEL, LEGEND_ROW, SMALL, TITLE};

/// Free paper around everything.
pub(super) const EDGE: f64 = 12.0;
/// Length of an entry's sign in the legend.
pub(super) const SIGN: f64 = 22.0;
/// Room beside a heat map for the bar of its colours, without its labels.
pub(super) const COLOR_BAR: f64 = 34.0;

/// How a series looks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Look {
    pub(super) color: Color,
    /// Number of the shape of its points.
    pub(super) shape: usize,
}

/// A name of the legend and where its sign begins.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Entry {
    /// The name, cut to the room there is.
    pub(super) shown: String,
    pub(super) name: String,
    pub(super) at: [f64; 2],
}

/// Where everything lies.
#[derive(Debug)]
pub(super) struct Layout {
    pub(super) x: Frame,
    pub(super) y: Frame,
    pub(super) x_ticks: Ticks,
    pub(super) y_ticks: Ticks,
    /// Labels of the x axis, broken into lines where they are categories.
    pub(super) x_labels: Vec<Vec<String>>,
    pub(super) entries: Vec<Entry>,
    looks: Vec<Look>,
    /// Left, top, right and bottom of the data.
    edges: [f64; 4],
    /// Whether no series has a value.
    empty: bool,
}

impl Layout {
    pub(super) fn of(figure: &Figure) -> Result<Self> {
        let extents = [0, 1].map(|axis| extent(figure, axis));
        let categories = figure.x.is_categories();
        let entries = entries(figure);
        let rows = entries.last().map_or(0.0, |entry| entry.at[1] + 1.0);
        let title = if figure.title.is_empty() { 0.0 } else { TITLE + 10.0 };
        let top = EDGE + title + rows * LEGEND_ROW + if rows > 0.0 { 6.0 } else { 0.0 };
        let has_map = figure.series.iter().any(|series| matches!(series.marks, Marks::HeatMap(_)));
        // A heat map fills its axes to the edge.
        let [room_x, room_y] = if has_map { [[0.0; 2]; 2] } else { [[0.02; 2], [0.05; 2]] };
        // Bars stand on the axis, not above it, and bear their values.
        let stands = extents[1].is_some_and(|[low, _]| low == 0.0) && figure.series.iter().any(is_bars);
        let room_y = if stands { [0.0, 0.1] } else { room_y };
        let bottom_at = |lines: f64| figure.height - EDGE - LABEL - 8.0 - lines * (SMALL + 3.0) - 6.0;
        let bottom = bottom_at(1.0);
        // Marks of y decide the left margin, and that the room for marks of x.
        let y = figure.y.laid(extents[1], room_y, [bottom, top])?;
        let y_ticks = figure.y.ticks(&y, marks_along(bottom - top, 36.0));
        let widest =
            y_ticks.major.iter().map(|tick| text::width(&tick.label, SMALL, Weight::Regular)).fold(0.0, f64::max);
        let left = EDGE + LABEL + 10.0 + widest + 8.0;
        let right = figure.width - EDGE - if has_map { COLOR_BAR + color_labels(figure) } else { 6.0 };
        let right = right.max(left + 40.0);
        let x = figure.x.laid(extents[0], room_x, [left, right])?;
        let x_ticks = figure.x.ticks(&x, marks_along(right - left, 70.0));
        let room = if categories { (right - left) / x_ticks.major.len().max(1) as f64 - 6.0 } else { f64::INFINITY };
        let x_labels: Vec<Vec<String>> =
            x_ticks.major.iter().map(|tick| broken(&tick.label, room, categories)).collect();
        let lines = x_labels.iter().map(Vec::len).max().unwrap_or(1).max(1);
        let bottom = bottom_at(lines as f64).max(top + 40.0);
        let y = figure.y.laid(extents[1], room_y, [bottom, top])?;
        let entries = placed(entries, EDGE + title);
        let edges = [left, top, right, bottom];
        let empty =
            figure.series.iter().all(|series| series.extents().iter().flatten().all(|value| !value.is_finite()));
        Ok(Self { x, y, x_ticks, y_ticks, x_labels, entries, looks: looks(figure), edges, empty })
    }

    /// How the series of that number looks.
    pub(super) fn look(&self, series: usize) -> Look {
        self.looks[series]
    }

    /// Left and top of the data.
    pub(super) fn corner(&self) -> [f64; 2] {
        [self.edges[0], self.edges[1]]
    }

    /// Right and bottom of the data.
    pub(super) fn far_corner(&self) -> [f64; 2] {
        [self.edges[2], self.edges[3]]
    }

    /// Width and height of the data.
    pub(super) fn extent(&self) -> [f64; 2] {
        [self.edges[2] - self.edges[0], self.edges[3] - self.edges[1]]
    }

    /// Whether there is nothing to draw.
    pub(super) fn is_empty(&self) -> bool {
        self.empty
    }

    /// Where a point lies on the paper, or nothing where it is not finite.
    pub(super) fn place(&self, x: f64, y: f64) -> Option<[f64; 2]> {
        (x.is_finite() && y.is_finite()).then(|| [self.x.place(x), self.y.place(y)])
    }

    /// The first heat map and what it is called.
    pub(super) fn heat_map<'a>(&self, figure: &'a Figure) -> Option<(&'a str, &'a HeatMap)> {
        figure.series.iter().find_map(named_map)
    }
}

fn is_bars(series: &Series) -> bool {
    matches!(series.marks, Marks::Bars(_))
}

fn named_map(series: &Series) -> Option<(&str, &HeatMap)> {
    match &series.marks {
        Marks::HeatMap(map) => Some((series.name.as_str(), map)),
        _ => None,
    }
}

/// How many marks go along a length when each takes `room`.
fn marks_along(length: f64, room: f64) -> usize {
    ((length / room) as usize).clamp(2, 9)
}

/// A label as lines: categories break at spaces.
fn broken(label: &str, room: f64, categories: bool) -> Vec<String> {
    if categories { text::lines(label, SMALL, Weight::Regular, room.max(12.0)) } else { vec![label.to_string()] }
}

/// Width of the widest label of the bar of colours.
fn color_labels(figure: &Figure) -> f64 {
    let ticks = figure.series.iter().filter_map(named_map).map(|(_, map)| super::color_bar::ticks(map));
    let labels = ticks.flat_map(|ticks| ticks.major);
    labels.map(|tick| text::width(&tick.label, SMALL, Weight::Regular)).fold(0.0, f64::max) + LABEL + 10.0
}

/// The least and the largest value of all series along an axis; a bar begins at zero, a heat map's cells reach beyond their
/// centres.
fn extent(figure: &Figure, axis: usize) -> Option<[f64; 2]> {
    let logarithmic = [&figure.x, &figure.y][axis].is_logarithmic();
    let mut values: Vec<f64> = vec![];
    for series in &figure.series {
        match &series.marks {
            Marks::HeatMap(map) => {
                let edges = super::heat::edges([&map.x, &map.y][axis], logarithmic);
                values.extend(edges.first().iter().chain(&edges.last()).copied());
            }
            Marks::Bars(_) if axis == 1 && !logarithmic => values.push(0.0),
            _ => {}
        }
        values.extend(&series.extents()[axis]);
    }
    let finite = values.into_iter().filter(|value| value.is_finite());
    finite.fold(None, |extent: Option<[f64; 2]>, value| {
        let [low, high] = extent.unwrap_or([value, value]);
        Some([low.min(value), high.max(value)])
    })
}

/// Every name takes the cycle's next colour, unless one of its series has its own.
fn looks(figure: &Figure) -> Vec<Look> {
    let mut cycle = Color::CYCLE.iter().cycle();
    let mut known: Vec<(&str, Look)> = vec![];
    for series in &figure.series {
        if known.iter().any(|(name, _)| *name == series.name) || matches!(series.marks, Marks::HeatMap(_)) {
            continue;
        }
        let own = figure.series.iter().filter(|other| other.name == series.name).find_map(|other| other.color);
        let color = own.or_else(|| cycle.next().copied()).unwrap_or(Color::Ink);
        known.push((&series.name, Look { color, shape: known.len() }));
    }
    let of = |series: &Series| {
        let look = known.iter().find(|(name, _)| *name == series.name).map(|(_, look)| *look);
        let look = look.unwrap_or(Look { color: Color::Ink, shape: 0 });
        // Among series without a name, one's own colour is not the others'.
        Look { color: series.color.unwrap_or(look.color), ..look }
    };
    figure.series.iter().map(of).collect()
}

/// The names of the legend from left to right, in as many rows as it takes; a place is a length and a row.
fn entries(figure: &Figure) -> Vec<Entry> {
    let mut entries: Vec<Entry> = vec![];
    let [mut x, mut row] = [0.0, 0.0];
    let whole = figure.width - 2.0 * EDGE;
    for series in &figure.series {
        let map = matches!(series.marks, Marks::HeatMap(_));
        if map || series.name.is_empty() || entries.iter().any(|entry| entry.name == series.name) {
            continue;
        }
        let shown = text::fitted(&series.name, LABEL, Weight::Regular, whole - SIGN - 6.0);
        let width = SIGN + 6.0 + text::width(&shown, LABEL, Weight::Regular);
        if x > 0.0 && x + width > whole {
            [x, row] = [0.0, row + 1.0];
        }
        entries.push(Entry { shown, name: series.name.clone(), at: [x, row] });
        x += width + 18.0;
    }
    entries
}

/// The same with places on the paper: the middle of the sign's left end.
fn placed(entries: Vec<Entry>, top: f64) -> Vec<Entry> {
    let place =
        |Entry { shown, name, at: [x, row] }| Entry { shown, name, at: [EDGE + x, top + (row + 0.5) * LEGEND_ROW] };
    entries.into_iter().map(place).collect()
}
