//! The bar beside a heat map that says which colour is which value.

use crate::color::LEVELS;
use crate::heat_map::HeatMap;
use crate::svg::{Anchor, Stroke, Svg};
use crate::text::{self, Weight};
use crate::ticks::{self, Ticks};

use super::axes::named;
use super::layout::{EDGE, Layout};
use super::{LABEL, SMALL, lettering};

/// Distance from the data.
const GAP: f64 = 14.0;
/// Width of the bar.
const WIDTH: f64 = 12.0;
/// The most marks.
const MARKS: usize = 7;

/// The marks of a map's colours.
pub(super) fn ticks(map: &HeatMap) -> Ticks {
    let [low, high] = map.range();
    ticks::linear(low, high, MARKS)
}

/// Draws the bar, its marks, and what its values are.
pub(super) fn draw(svg: &mut Svg, (name, map): (&str, &HeatMap), layout: &Layout, paper: f64) {
    let ([_, top], [right, bottom]) = (layout.corner(), layout.far_corner());
    let [left, end] = [right + GAP, right + GAP + WIDTH];
    let place = |fraction: f64| bottom + (top - bottom) * fraction;
    svg.markup("<g class='colors' shape-rendering='crispEdges'>");
    for level in 0..LEVELS {
        let [from, to] = [level, level + 1].map(|level| place(level as f64 / LEVELS as f64).round());
        svg.rectangle([left, from], [end, to], &map.map.css(level), 1.0);
    }
    svg.markup("</g>");
    let [low, high] = map.range();
    let ticks = ticks(map);
    let stroke = Stroke { color: "currentColor", width: 1.0, opacity: 0.75, dashed: false };
    for tick in &ticks.major {
        let y = place((tick.value - low) / (high - low));
        svg.line([end, y], [end + 3.0, y], stroke);
        svg.words(&tick.label, [end + 6.0, y + SMALL * 0.36], lettering(SMALL, Anchor::Start));
    }
    let label = text::fitted(&named(name, &ticks), LABEL, Weight::Regular, bottom - EDGE);
    let half = text::width(&label, LABEL, Weight::Regular) / 2.0;
    let middle = f64::midpoint(top, bottom).max(EDGE + half);
    svg.words_upwards(&label, [paper - EDGE - 2.0, middle], lettering(LABEL, Anchor::Middle));
}
