//! A value for each cell of a grid, and the lines along which it is equal.

use std::collections::HashMap;

use crate::color::{ColorMap, LEVELS};
use crate::error::{PlotError, Result};

/// The most cells along one side.
const MOST_CELLS: usize = 400;

/// A grid of values, `values[row][column]` at `(x[column], y[row])`.
///
/// A value that is NaN or infinite leaves its cell empty.
#[derive(Debug, Clone, PartialEq)]
pub struct HeatMap {
    pub(crate) x: Vec<f64>,
    pub(crate) y: Vec<f64>,
    pub(crate) values: Vec<Vec<f64>>,
    pub(crate) map: ColorMap,
    pub(crate) contours: Vec<f64>,
    limits: Option<[f64; 2]>,
}

impl HeatMap {
    /// Of a grid.
    ///
    /// # Shapes
    /// - `x`: `[columns]`, the cells' centres, rising
    /// - `y`: `[rows]`, the same
    /// - `values`: `[rows][columns]`
    pub fn new(x: Vec<f64>, y: Vec<f64>, values: Vec<Vec<f64>>, map: ColorMap) -> Self {
        Self { x, y, values, map, contours: vec![], limits: None }
    }

    /// Draws a labelled line along which the value equals each of `levels`.
    #[must_use]
    pub fn contours(self, levels: impl IntoIterator<Item = f64>) -> Self {
        Self { contours: levels.into_iter().collect(), ..self }
    }

    /// The values of the first and the last colour; values beyond take the nearer one.
    #[must_use]
    pub fn within(self, low: f64, high: f64) -> Self {
        Self { limits: Some([low, high]), ..self }
    }

    /// The values of the first and the last colour: around zero alike where the map diverges.
    pub(crate) fn range(&self) -> [f64; 2] {
        if let Some(limits) = self.limits {
            return limits;
        }
        let values = self.values.iter().flatten().filter(|value| value.is_finite());
        let [low, high] =
            values.fold([f64::INFINITY, f64::NEG_INFINITY], |[low, high], &value| [low.min(value), high.max(value)]);
        match self.map {
            _ if low > high => [0.0, 1.0],
            ColorMap::Diverging => {
                let reach = low.abs().max(high.abs());
                let reach = if reach < 1e-90 { 1.0 } else { reach };
                [-reach, reach]
            }
            ColorMap::Sequential if high - low <= low.abs().max(high.abs()) * 1e-12 => [low - 0.5, high + 0.5],
            ColorMap::Sequential => [low, high],
        }
    }

    /// The colour's level of a value.
    pub(crate) fn level(&self, value: f64, [low, high]: [f64; 2]) -> usize {
        let place = ((value - low) / (high - low)).clamp(0.0, 1.0);
        (place * (LEVELS - 1) as f64).round() as usize
    }

    /// Refuses a grid whose parts do not fit.
    pub(crate) fn check(&self, series: &str) -> Result<()> {
        let wrong = |what, expected: String, found: String| {
            Err(PlotError::Grid { series: series.to_string(), what, expected, found })
        };
        for (what, centres) in [("x", &self.x), ("y", &self.y)] {
            if centres.is_empty() || centres.len() > MOST_CELLS {
                return wrong(what, format!("1 to {MOST_CELLS} centres"), centres.len().to_string());
            }
            if let Some(pair) =
                centres.windows(2).find(|pair| pair[0].partial_cmp(&pair[1]) != Some(std::cmp::Ordering::Less))
            {
                return wrong(what, "rising numbers".into(), format!("{} after {}", pair[1], pair[0]));
            }
            if let Some(centre) = centres.iter().find(|centre| !centre.is_finite()) {
                return wrong(what, "finite numbers".into(), centre.to_string());
            }
        }
        if self.values.len() != self.y.len() {
            return wrong("rows of values", self.y.len().to_string(), self.values.len().to_string());
        }
        if let Some(row) = self.values.iter().find(|row| row.len() != self.x.len()) {
            return wrong("values of a row", self.x.len().to_string(), row.len().to_string());
        }
        let [low, high] = self.range();
        let sound = low < high && low.abs().max(high.abs()) <= crate::series::LARGEST;
        if sound {
            Ok(())
        } else {
            wrong("range of colours", "a lower and a higher number".into(), format!("{low} to {high}"))
        }
    }

    /// The lines along which the value, taken as linear between neighbouring centres, is `level`: marching squares (Lorensen
    /// and Cline 1987, in the plane). Points are fractions of column and row, `[columns from the first, rows from the first]`.
    pub(crate) fn contour(&self, level: f64) -> Vec<Vec<[f64; 2]>> {
        let mut segments = vec![];
        for row in 1..self.y.len() {
            for column in 1..self.x.len() {
                self.cross(row - 1, column - 1, level, &mut segments);
            }
        }
        joined(segments)
    }

    /// The pieces of the contour within the square above and to the right of a centre.
    fn cross(&self, row: usize, column: usize, level: f64, segments: &mut Vec<[Edge; 2]>) {
        let at = |row: usize, column: usize| self.values[row][column];
        let corners = [at(row, column), at(row, column + 1), at(row + 1, column + 1), at(row + 1, column)];
        if corners.iter().any(|value| !value.is_finite()) {
            return;
        }
        let above = corners.map(|value| value >= level);
        // Edges between corner i and corner i + 1: below, right, above, left.
        let edge = |side: usize| {
            let fraction = (level - corners[side]) / (corners[(side + 1) % 4] - corners[side]);
            let (x, y) = (column as f64, row as f64);
            let point = match side {
                0 => [x + fraction, y],
                1 => [x + 1.0, y + fraction],
                2 => [x + 1.0 - fraction, y + 1.0],
                _ => [x, y + 1.0 - fraction],
            };
            let name = match side {
                0 => (row, column, false),
                1 => (row, column + 1, true),
                2 => (row + 1, column, false),
                _ => (row, column, true),
            };
            Edge { name, point }
        };
        let crossed: Vec<usize> = (0..4).filter(|&side| above[side] != above[(side + 1) % 4]).collect();
        match crossed[..] {
            [a, b] => segments.push([edge(a), edge(b)]),
            // A saddle: the mean of the corners says which two of them belong together.
            [_, _, _, _] => {
                let together = (corners.iter().sum::<f64>() / 4.0 >= level) == above[0];
                let pairs = if together { [[0, 1], [2, 3]] } else { [[3, 0], [1, 2]] };
                segments.extend(pairs.map(|pair| pair.map(edge)));
            }
            _ => {}
        }
    }
}

/// Where a contour crosses a side of a square; both squares of the side give it the same name.
#[derive(Debug, Clone, Copy)]
struct Edge {
    /// Row and column of the side's first centre, and whether it rises.
    name: (usize, usize, bool),
    point: [f64; 2],
}

/// Pieces that share an end, as one line.
fn joined(segments: Vec<[Edge; 2]>) -> Vec<Vec<[f64; 2]>> {
    let mut at: HashMap<(usize, usize, bool), Vec<usize>> = HashMap::new();
    for (index, segment) in segments.iter().enumerate() {
        for edge in segment {
            at.entry(edge.name).or_default().push(index);
        }
    }
    let mut taken = vec![false; segments.len()];
    // Follows the pieces on from an edge, to where none is left.
    let follow = |mut edge: Edge, taken: &mut Vec<bool>| {
        let mut points = vec![];
        while let Some(&next) = at[&edge.name].iter().find(|&&piece| !taken[piece]) {
            taken[next] = true;
            let [a, b] = segments[next];
            edge = if a.name == edge.name { b } else { a };
            points.push(edge.point);
        }
        points
    };
    let mut lines = vec![];
    for (index, [start, end]) in segments.iter().enumerate() {
        if std::mem::replace(&mut taken[index], true) {
            continue;
        }
        let after = follow(*end, &mut taken);
        let before = follow(*start, &mut taken);
        lines.push(before.into_iter().rev().chain([start.point, end.point]).chain(after).collect());
    }
    lines
}

#[cfg(test)]
mod tests {
    use super::*;

    fn grid(side: usize, value: impl Fn(f64, f64) -> f64) -> HeatMap {
        let centres: Vec<f64> = (0..side).map(|i| i as f64).collect();
        let rows = centres.iter().map(|y| centres.iter().map(|x| value(*x, *y)).collect()).collect();
        HeatMap::new(centres.clone(), centres, rows, ColorMap::Sequential)
    }

    #[test]
    fn the_contour_of_a_cone_is_one_closed_circle() {
        let map = grid(41, |x, y| (x - 20.0).hypot(y - 20.0));
        let lines = map.contour(12.3);
        assert_eq!(lines.len(), 1);
        assert_eq!(lines[0].first(), lines[0].last());
        for [x, y] in &lines[0] {
            assert!(((x - 20.0).hypot(y - 20.0) - 12.3).abs() < 0.02, "{x} {y}");
        }
        assert!(map.contour(100.0).is_empty());
    }

    #[test]
    fn the_contour_of_a_plane_is_a_straight_line_across() {
        let lines = grid(9, |x, y| x + y).contour(7.5);
        assert_eq!(lines.len(), 1);
        assert!(lines[0].iter().all(|[x, y]| (x + y - 7.5).abs() < 1e-12));
        // A cell without a value breaks it.
        assert_eq!(grid(9, |x, y| if x == 3.0 && y == 4.0 { f64::NAN } else { x + y }).contour(7.5).len(), 2);
    }

    #[test]
    fn a_saddle_has_two_lines_that_do_not_cross() {
        let lines = grid(2, |x, y| if x == y { 1.0 } else { 0.0 }).contour(0.4);
        assert_eq!(lines.len(), 2);
        assert!(lines.iter().all(|line| line.len() == 2));
    }

    #[test]
    fn a_grid_that_does_not_fit_is_refused() {
        let refused = |map: HeatMap| map.check("barrier").unwrap_err().to_string();
        let map = |x: &[f64], y: &[f64], values: &[&[f64]]| {
            HeatMap::new(x.to_vec(), y.to_vec(), values.iter().map(|row| row.to_vec()).collect(), ColorMap::Diverging)
        };
        assert!(map(&[1.0, 2.0], &[1.0], &[&[f64::NAN, 0.0]]).check("barrier").is_ok());
        assert_eq!(
            refused(map(&[2.0, 1.0], &[1.0], &[&[0.0, 0.0]])),
            "heat map \"barrier\": x: expected rising numbers, found 1 after 2"
        );
        assert!(refused(map(&[1.0, f64::NAN], &[1.0], &[&[0.0, 0.0]])).contains("rising"));
        assert!(refused(map(&[f64::NAN], &[1.0], &[&[0.0]])).contains("finite"));
        assert!(refused(map(&[], &[1.0], &[&[]])).contains("1 to 400 centres, found 0"));
        assert!(refused(map(&[1.0], &[1.0, 2.0], &[&[0.0]])).contains("rows of values: expected 2, found 1"));
        assert!(refused(map(&[1.0, 2.0], &[1.0], &[&[0.0]])).contains("values of a row: expected 2, found 1"));
        assert!(refused(map(&[1.0], &[1.0], &[&[0.0]]).within(1.0, 1.0)).contains("range of colours"));
    }

    #[test]
    fn a_diverging_range_is_even_around_zero() {
        let map = HeatMap::new(vec![1.0, 2.0], vec![1.0], vec![vec![-0.2, 0.5]], ColorMap::Diverging);
        assert_eq!(map.range(), [-0.5, 0.5]);
        assert_eq!(map.level(0.0, map.range()), LEVELS / 2);
    }
}
