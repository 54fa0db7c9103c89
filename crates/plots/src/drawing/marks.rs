//! Lines, points, bands, bars and lines of reference.

use crate::series::{Bar, Marks, Series};
use crate::svg::{Anchor, Stroke, Svg, length};
use crate::text::{self, Weight};
use crate::ticks::significant;

use super::layout::{Layout, Look};
use super::thinning::thinned;
use super::{SMALL, lettering};

/// How many layers there are.
pub(super) const DEPTHS: usize = 6;
/// Opacity of a band.
pub(super) const BAND: f64 = 0.2;
/// Width of a line.
pub(super) const WIDTH: f64 = 1.8;
/// Radius of a point, and of one among many.
const RADII: [f64; 2] = [3.4, 2.0];
/// Points from which they are many.
const MANY: usize = 150;
/// The part of a category's room that its bars take.
const GROUP: f64 = 0.72;

/// The layer that a series lies in, from the lowest.
pub(super) fn depth(series: &Series) -> usize {
    match series.marks {
        Marks::HeatMap(_) => 0,
        Marks::Band(_) => 1,
        Marks::Bars(_) => 2,
        Marks::Horizontal(_) | Marks::Vertical(_) => 3,
        Marks::Line(_) => 4,
        Marks::Points(_) => 5,
    }
}

/// Draws what has no drawing of its own.
pub(super) fn draw(svg: &mut Svg, series: &Series, look: Look, layout: &Layout) {
    let ([left, top], [right, bottom]) = (layout.corner(), layout.far_corner());
    let stroke = Stroke { color: look.color.css(), width: WIDTH, opacity: 1.0, dashed: series.dashed };
    let thin = Stroke { width: 1.2, ..stroke };
    match &series.marks {
        Marks::Line(points) => line(svg, points, stroke, layout),
        Marks::Points(values) => points(svg, values, look, layout),
        Marks::Band(values) => band(svg, values, look, layout),
        Marks::Horizontal(y) if y.is_finite() => {
            svg.line([left, layout.y.place(*y)], [right, layout.y.place(*y)], thin)
        }
        Marks::Vertical(x) if x.is_finite() => svg.line([layout.x.place(*x), top], [layout.x.place(*x), bottom], thin),
        _ => {}
    }
}

fn line(svg: &mut Svg, points: &[[f64; 2]], stroke: Stroke<'_>, layout: &Layout) {
    let places: Vec<Option<[f64; 2]>> = points.iter().map(|[x, y]| layout.place(*x, *y)).collect();
    for stretch in places.split(Option::is_none) {
        let stretch: Vec<[f64; 2]> = stretch.iter().flatten().copied().collect();
        match stretch[..] {
            [] => {}
            [[x, y]] => circle(svg, [x, y], stroke.width, stroke.color),
            _ => svg.polyline(&thinned(stretch), stroke),
        }
    }
}

fn band(svg: &mut Svg, values: &[[f64; 3]], look: Look, layout: &Layout) {
    let places: Vec<Option<[[f64; 2]; 2]>> =
        values.iter().map(|&[x, low, high]| Some([layout.place(x, low)?, layout.place(x, high)?])).collect();
    for stretch in places.split(Option::is_none) {
        let [low, high] = [0, 1].map(|end| thinned(stretch.iter().flatten().map(|ends| ends[end]).collect()));
        match low.len() {
            0 => {}
            // A band of one value would have no width.
            1 => {
                svg.line(low[0], high[0], Stroke { color: look.color.css(), width: 4.0, opacity: BAND, dashed: false })
            }
            _ => {
                let around: Vec<[f64; 2]> = low.into_iter().chain(high.into_iter().rev()).collect();
                svg.polygon(&around, look.color.css(), BAND);
            }
        }
    }
}

fn points(svg: &mut Svg, values: &[[f64; 4]], look: Look, layout: &Layout) {
    let radius = RADII[usize::from(values.len() > MANY)];
    let stroke = Stroke { color: look.color.css(), width: 1.2, opacity: 1.0, dashed: false };
    for &[x, y, low, high] in values {
        let Some(place) = layout.place(x, y).filter(|_| layout.x.holds(x) && layout.y.holds(y)) else { continue };
        if let (Some(low), Some(high)) = (layout.place(x, low), layout.place(x, high)) {
            whisker(svg, [low, high], stroke, layout);
        }
        point(svg, place, look, radius);
    }
}

/// An interval with short ends, as far as it lies within the axes.
fn whisker(svg: &mut Svg, [low, high]: [[f64; 2]; 2], stroke: Stroke<'_>, layout: &Layout) {
    let (top, bottom) = (layout.corner()[1], layout.far_corner()[1]);
    let x = low[0];
    svg.line([x, low[1].clamp(top, bottom)], [x, high[1].clamp(top, bottom)], stroke);
    for [_, y] in [low, high] {
        if (top..=bottom).contains(&y) {
            svg.line([x - 3.0, y], [x + 3.0, y], stroke);
        }
    }
}

fn circle(svg: &mut Svg, [x, y]: [f64; 2], radius: f64, fill: &str) {
    let [x, y, radius] = [x, y, radius].map(length);
    svg.markup(&format!("<circle cx='{x}' cy='{y}' r='{radius}' fill='{fill}'/>"));
}

/// A point in the shape of its series, so that colour is not all that tells them apart; every shape has the same area.
pub(super) fn point(svg: &mut Svg, [x, y]: [f64; 2], look: Look, radius: f64) {
    let fill = look.color.css();
    // Corners of a shape of area π, by their distance and angle from the middle.
    let corners = |count: usize, reach: f64, turn: f64| -> Vec<[f64; 2]> {
        let angle = |corner: usize| turn + corner as f64 * std::f64::consts::TAU / count as f64;
        (0..count)
            .map(|corner| [x + radius * reach * angle(corner).sin(), y - radius * reach * angle(corner).cos()])
            .collect()
    };
    let quarter = std::f64::consts::FRAC_PI_4;
    match look.shape % 5 {
        0 => circle(svg, [x, y], radius, fill),
        1 => svg.polygon(&corners(4, 1.253, quarter), fill, 1.0),
        2 => svg.polygon(&corners(3, 1.555, 0.0), fill, 1.0),
        3 => svg.polygon(&corners(4, 1.253, 0.0), fill, 1.0),
        _ => svg.polygon(&corners(3, 1.555, 4.0 * quarter), fill, 1.0),
    }
}

/// The bars of one series, number `place[0]` of `place[1]` side by side.
pub(super) fn bars(svg: &mut Svg, values: &[Bar], look: Look, layout: &Layout, place: [usize; 2]) {
    let room = layout.extent()[0] / values.len().max(1) as f64;
    let width = room * GROUP / place[1] as f64;
    let bottom = layout.far_corner()[1];
    // Where a logarithmic axis has no zero, bars stand on its lower end.
    let floor = if layout.y.holds(0.0) { layout.y.place(0.0) } else { bottom };
    let stroke = Stroke { color: "currentColor", width: 1.2, opacity: 0.85, dashed: false };
    for (category, bar) in values.iter().enumerate() {
        let Some([x, y]) = layout.place(category as f64, bar.value) else { continue };
        let left = x - room * GROUP / 2.0 + place[0] as f64 * width;
        let middle = left + width / 2.0;
        svg.rectangle([left + width * 0.04, y], [left + width * 0.96, floor], look.color.css(), 0.9);
        let mut top = y;
        if let Some([low, high]) = bar.interval.filter(|ends| ends.iter().all(|end| end.is_finite())) {
            let ends = [low, high].map(|end| [middle, layout.y.place(end)]);
            whisker(svg, ends, stroke, layout);
            top = top.min(ends[1][1]);
        }
        let label = significant(bar.value);
        if text::width(&label, SMALL - 1.0, Weight::Regular) < width + 4.0 {
            let y = if y > floor { floor - 4.0 } else { top - 4.0 };
            svg.words(&label, [middle, y], lettering(SMALL - 1.0, Anchor::Middle));
        }
    }
}
