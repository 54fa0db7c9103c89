//! The cells of a heat map and the lines along which it is equal.

use crate::heat_map::HeatMap;
use crate::svg::{Anchor, Stroke, Svg};
use crate::text::{self, Weight};

use super::layout::Layout;
use super::{SMALL, lettering};

/// The ends of cells around their centres: in the middle between two, and as far out at either end as in.
pub(super) fn edges(centres: &[f64], logarithmic: bool) -> Vec<f64> {
    let straight = |x: f64| if logarithmic { x.log10() } else { x };
    let back = |x: f64| if logarithmic { 10f64.powf(x) } else { x };
    let centres: Vec<f64> = centres.iter().map(|centre| straight(*centre)).collect();
    let (Some(&first), Some(&last)) = (centres.first(), centres.last()) else { return vec![] };
    let [before, after] = match centres.len() {
        1 if logarithmic => [0.5, 0.5],
        1 => [first.abs().max(1.0) / 2.0; 2],
        n => [(centres[1] - first) / 2.0, (last - centres[n - 2]) / 2.0],
    };
    let between = centres.windows(2).map(|pair| f64::midpoint(pair[0], pair[1]));
    [first - before].into_iter().chain(between).chain([last + after]).map(back).collect()
}

/// Draws cells and contours.
pub(super) fn draw(svg: &mut Svg, map: &HeatMap, layout: &Layout) {
    let range = map.range();
    let columns: Vec<f64> = edges(&map.x, layout.x.logarithmic).iter().map(|x| layout.x.place(*x).round()).collect();
    let rows: Vec<f64> = edges(&map.y, layout.y.logarithmic).iter().map(|y| layout.y.place(*y).round()).collect();
    // Cells that meet must not show the paper between them, so they end on whole pixels.
    svg.markup("<g class='cells' shape-rendering='crispEdges'>");
    for (row, values) in map.values.iter().enumerate() {
        let level = |value: &f64| value.is_finite().then(|| map.level(*value, range));
        let mut column = 0;
        for run in values.chunk_by(|a, b| level(a) == level(b)) {
            let next = column + run.len();
            if let Some(level) = run.first().and_then(level) {
                let fill = map.map.css(level);
                svg.rectangle([columns[column], rows[row]], [columns[next], rows[row + 1]], &fill, 1.0);
            }
            column = next;
        }
    }
    svg.markup("</g>");
    let [xs, ys] = [&map.x, &map.y].map(Vec::as_slice);
    for &contour in &map.contours {
        let lines: Vec<Vec<[f64; 2]>> = map
            .contour(contour)
            .iter()
            .map(|line| {
                line.iter()
                    .map(|[x, y]| [along(xs, *x, |v| layout.x.place(v)), along(ys, *y, |v| layout.y.place(v))])
                    .collect()
            })
            .collect();
        for line in &lines {
            svg.polyline(line, Stroke { color: "#fff", width: 3.0, opacity: 0.6, dashed: false });
            svg.polyline(line, Stroke { color: "#000", width: 1.4, opacity: 1.0, dashed: false });
        }
        if let Some(longest) = lines.iter().max_by_key(|line| line.len()) {
            label(svg, contour, longest, layout);
        }
    }
}

/// The value of a contour at the middle of its longest line, within the axes.
fn label(svg: &mut Svg, contour: f64, line: &[[f64; 2]], layout: &Layout) {
    let ([left, top], [right, bottom]) = (layout.corner(), layout.far_corner());
    let words = contour.to_string().replace('-', "−");
    let half = text::width(&words, SMALL, Weight::Regular) / 2.0 + 3.0;
    let [x, y] = line[line.len() / 2];
    let place =
        [x.clamp(left + half, (right - half).max(left + half)), (y + SMALL * 0.36).clamp(top + SMALL, bottom - 3.0)];
    svg.words_rimmed(&words, place, lettering(SMALL, Anchor::Middle));
}

/// The place of a fraction between two centres.
fn along(centres: &[f64], fraction: f64, place: impl Fn(f64) -> f64) -> f64 {
    let below = (fraction as usize).min(centres.len() - 1);
    let above = (below + 1).min(centres.len() - 1);
    let [a, b] = [below, above].map(|index| place(centres[index]));
    a + (b - a) * (fraction - below as f64)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cells_meet_in_the_middle_as_the_axis_has_it() {
        assert_eq!(edges(&[1.0, 2.0, 4.0], false), [0.5, 1.5, 3.0, 5.0]);
        let log = edges(&[1.0, 100.0], true);
        assert!(log.iter().zip([0.1, 10.0, 1000.0]).all(|(a, b)| (a / b - 1.0).abs() < 1e-12), "{log:?}");
        assert_eq!(edges(&[3.0], false), [1.5, 4.5]);
        assert!(edges(&[], false).is_empty());
    }
}
