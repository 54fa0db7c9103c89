//! The lines, marks and labels of both axes.

use crate::figure::Figure;
use crate::svg::{Anchor, Stroke, Svg};
use crate::text::{self, Weight};
use crate::ticks::Ticks;

use super::layout::{EDGE, Layout};
use super::{LABEL, SMALL, lettering};

const GRID: Stroke<'static> = Stroke { color: "currentColor", width: 1.0, opacity: 0.1, dashed: false };
const SPINE: Stroke<'static> = Stroke { color: "currentColor", width: 1.0, opacity: 0.75, dashed: false };
/// Length of a mark with a label.
const MAJOR: f64 = 4.0;
/// Length of one without.
const MINOR: f64 = 2.5;

/// The faint lines below the data, the marks and all labels.
pub(super) fn draw(svg: &mut Svg, figure: &Figure, layout: &Layout) {
    let ([left, top], [right, bottom]) = (layout.corner(), layout.far_corner());
    svg.markup("<g class='axes'>");
    for tick in &layout.y_ticks.major {
        let y = layout.y.place(tick.value);
        svg.line([left, y], [right, y], GRID);
        svg.line([left - MAJOR, y], [left, y], SPINE);
        svg.words(&tick.label, [left - MAJOR - 4.0, y + SMALL * 0.36], lettering(SMALL, Anchor::End));
    }
    for &value in &layout.y_ticks.minor {
        let y = layout.y.place(value);
        svg.line([left - MINOR, y], [left, y], SPINE);
    }
    let names = figure.x.is_categories();
    for (tick, lines) in layout.x_ticks.major.iter().zip(&layout.x_labels) {
        let x = layout.x.place(tick.value);
        if !names {
            svg.line([x, top], [x, bottom], GRID);
            svg.line([x, bottom], [x, bottom + MAJOR], SPINE);
        }
        for (line, words) in lines.iter().enumerate() {
            let y = bottom + MAJOR + 4.0 + SMALL + line as f64 * (SMALL + 3.0) - 1.0;
            svg.words(words, [x, y], lettering(SMALL, Anchor::Middle));
        }
    }
    for &value in &layout.x_ticks.minor {
        let x = layout.x.place(value);
        svg.line([x, bottom], [x, bottom + MINOR], SPINE);
    }
    labels(svg, figure, layout);
    svg.markup("</g>");
}

/// What the axes are called.
fn labels(svg: &mut Svg, figure: &Figure, layout: &Layout) {
    let ([left, top], [right, bottom]) = (layout.corner(), layout.far_corner());
    let set = lettering(LABEL, Anchor::Middle);
    let x = named(&figure.x.label, &layout.x_ticks);
    let x = text::fitted(&x, LABEL, Weight::Regular, figure.width - 2.0 * EDGE);
    // A label wider than its axis moves in from the edges.
    let half = text::width(&x, LABEL, Weight::Regular) / 2.0;
    let middle = f64::midpoint(left, right).min(figure.width - EDGE - half).max(EDGE + half);
    svg.words(&x, [middle, figure.height - EDGE - 1.0], set);
    let y = named(&figure.y.label, &layout.y_ticks);
    let y = text::fitted(&y, LABEL, Weight::Regular, figure.height - 2.0 * EDGE);
    let half = text::width(&y, LABEL, Weight::Regular) / 2.0;
    let middle = f64::midpoint(top, bottom).min(figure.height - EDGE - half).max(EDGE + half);
    svg.words_upwards(&y, [EDGE + LABEL - 3.0, middle], set);
}

/// A label with the factor that its numbers are to be multiplied by.
pub(super) fn named(label: &str, ticks: &Ticks) -> String {
    match &ticks.factor {
        Some(factor) => format!("{label} ({factor})"),
        None => label.to_string(),
    }
}

/// The two lines along the left and the bottom of the data, over its edge; and zero, where it lies between.
pub(super) fn spines(svg: &mut Svg, layout: &Layout) {
    let ([left, top], [right, bottom]) = (layout.corner(), layout.far_corner());
    svg.line([left, top], [left, bottom], SPINE);
    svg.line([left, bottom], [right, bottom], SPINE);
}
