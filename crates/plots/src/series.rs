//! What a figure shows: lines, points, bands, bars, lines of reference and heat maps, each with a name.

use crate::axis::{Axis, Spacing};
use crate::color::Color;
use crate::error::{PlotError, Result};
use crate::heat_map::HeatMap;

/// The largest magnitude that can be drawn; its inverse is the least on a logarithmic axis.
pub(crate) const LARGEST: f64 = 1e100;

/// A named part of a [`crate::Figure`].
///
/// Series of one name share a colour and an entry in the legend, as a line and the band around it do; a series without a name
/// has no entry. A value that is NaN or infinite is left out, and a line breaks there.
#[derive(Debug, Clone, PartialEq)]
pub struct Series {
    pub(crate) name: String,
    pub(crate) marks: Marks,
    pub(crate) color: Option<Color>,
    pub(crate) dashed: bool,
}

/// What is drawn.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Marks {
    /// x, y
    Line(Vec<[f64; 2]>),
    /// x, y, low and high ends of the interval of y
    Points(Vec<[f64; 4]>),
    /// x, low, high
    Band(Vec<[f64; 3]>),
    Bars(Vec<Bar>),
    /// At a value of y.
    Horizontal(f64),
    /// At a value of x.
    Vertical(f64),
    HeatMap(HeatMap),
}

/// A bar of a category.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Bar {
    /// Its height; NaN where there is none.
    pub value: f64,
    /// The low and high ends of its interval.
    pub interval: Option<[f64; 2]>,
}

impl From<f64> for Bar {
    /// A bar without an interval.
    fn from(value: f64) -> Self {
        Self { value, interval: None }
    }
}

impl Series {
    fn new(name: impl Into<String>, marks: Marks) -> Self {
        Self { name: name.into(), marks, color: None, dashed: false }
    }

    /// A line through points `[x, y]`, in their order; a point alone is drawn as one.
    pub fn line(name: impl Into<String>, points: impl IntoIterator<Item = [f64; 2]>) -> Self {
        Self::new(name, Marks::Line(points.into_iter().collect()))
    }

    /// Points `[x, y]`.
    pub fn points(name: impl Into<String>, points: impl IntoIterator<Item = [f64; 2]>) -> Self {
        let whole = |[x, y]: [f64; 2]| [x, y, f64::NAN, f64::NAN];
        Self::new(name, Marks::Points(points.into_iter().map(whole).collect()))
    }

    /// Points `[x, y, low, high]` with an interval of y.
    pub fn intervals(name: impl Into<String>, points: impl IntoIterator<Item = [f64; 4]>) -> Self {
        Self::new(name, Marks::Points(points.into_iter().collect()))
    }

    /// The area `[x, low, high]` between two lines.
    pub fn band(name: impl Into<String>, points: impl IntoIterator<Item = [f64; 3]>) -> Self {
        Self::new(name, Marks::Band(points.into_iter().collect()))
    }

    /// A bar for each of the x axis' categories, side by side with those of other series.
    pub fn bars<B: Into<Bar>>(name: impl Into<String>, bars: impl IntoIterator<Item = B>) -> Self {
        Self::new(name, Marks::Bars(bars.into_iter().map(Into::into).collect()))
    }

    /// A line of reference across the figure at a value of y.
    pub fn horizontal(name: impl Into<String>, y: f64) -> Self {
        Self::new(name, Marks::Horizontal(y)).color(Color::Ink).dashed()
    }

    /// A line of reference across the figure at a value of x.
    pub fn vertical(name: impl Into<String>, x: f64) -> Self {
        Self::new(name, Marks::Vertical(x)).color(Color::Ink).dashed()
    }

    /// A value for each cell of a grid, as colours; the name labels the bar of colours.
    pub fn heat_map(name: impl Into<String>, map: HeatMap) -> Self {
        Self::new(name, Marks::HeatMap(map))
    }

    /// This colour in place of the cycle's next.
    #[must_use]
    pub fn color(self, color: Color) -> Self {
        Self { color: Some(color), ..self }
    }

    /// Lines in dashes.
    #[must_use]
    pub fn dashed(self) -> Self {
        Self { dashed: true, ..self }
    }

    /// Every value that takes room along x and y.
    pub(crate) fn extents(&self) -> [Vec<f64>; 2] {
        match &self.marks {
            Marks::Line(points) => [0, 1].map(|axis| points.iter().map(|point| point[axis]).collect()),
            Marks::Points(points) => [
                points.iter().map(|point| point[0]).collect(),
                points.iter().flat_map(|point| point[1..].iter().copied()).collect(),
            ],
            Marks::Band(points) => [
                points.iter().map(|point| point[0]).collect(),
                points.iter().flat_map(|point| point[1..].iter().copied()).collect(),
            ],
            Marks::Bars(bars) => [
                vec![],
                bars.iter()
                    .flat_map(|bar| {
                        [Some(bar.value), bar.interval.map(|[low, _]| low), bar.interval.map(|[_, high]| high)]
                    })
                    .flatten()
                    .collect(),
            ],
            Marks::Horizontal(y) => [vec![], vec![*y]],
            Marks::Vertical(x) => [vec![*x], vec![]],
            Marks::HeatMap(map) => [map.x.clone(), map.y.clone()],
        }
    }

    /// Refuses what cannot stand on the axes.
    pub(crate) fn check(&self, axes: [&Axis; 2]) -> Result<()> {
        for (values, axis) in self.extents().iter().zip(axes) {
            for &found in values.iter().filter(|value| value.is_finite()) {
                if found.abs() > LARGEST {
                    return Err(PlotError::TooLarge { series: self.name.clone(), found });
                }
                if axis.is_logarithmic() && found < LARGEST.recip() {
                    let [series, axis] = [&self.name, &axis.label].map(String::clone);
                    return Err(PlotError::NotPositive { series, axis, found });
                }
            }
        }
        match &self.marks {
            Marks::Bars(bars) => self.check_bars(bars.len(), axes[0]),
            Marks::HeatMap(map) => map.check(&self.name),
            _ => Ok(()),
        }
    }

    fn check_bars(&self, found: usize, axis: &Axis) -> Result<()> {
        let expected = match &axis.spacing {
            Spacing::Categories(names) => names.len(),
            _ => 0,
        };
        if expected == found && expected > 0 {
            return Ok(());
        }
        let [series, axis] = [&self.name, &axis.label].map(String::clone);
        Err(PlotError::Categories { series, axis, expected, found })
    }
}
