//! A figure: what it is called, its axes, and its series.

use crate::axis::Axis;
use crate::drawing;
use crate::error::{PlotError, Result};
use crate::png;
use crate::series::Series;

/// A figure to be drawn.
///
/// The same figure gives the same bytes, on every machine.
///
/// ```
/// use interfuse_plots::{Axis, Figure, Series};
///
/// let loss = (1..100).map(|step| [f64::from(step), 2.0 + 10.0 / f64::from(step).sqrt()]);
/// let figure = Figure::new("Loss of text", Axis::linear("step"), Axis::logarithmic("loss, nats a token"))
///     .with(Series::line("dense", loss));
/// assert!(figure.to_svg()?.starts_with("<svg"));
/// # Ok::<(), interfuse_plots::PlotError>(())
/// ```
#[derive(Debug, Clone, PartialEq)]
pub struct Figure {
    pub(crate) title: String,
    pub(crate) description: String,
    pub(crate) x: Axis,
    pub(crate) y: Axis,
    pub(crate) series: Vec<Series>,
    pub(crate) width: f64,
    pub(crate) height: f64,
}

impl Figure {
    /// Without series yet, of 560 by 360 pixels.
    pub fn new(title: impl Into<String>, x: Axis, y: Axis) -> Self {
        Self { title: title.into(), description: String::new(), x, y, series: vec![], width: 560.0, height: 360.0 }
    }

    /// Says in a sentence what is to be seen, for those who cannot see it.
    #[must_use]
    pub fn described(self, description: impl Into<String>) -> Self {
        Self { description: description.into(), ..self }
    }

    /// Width and height in pixels, 200 to 4000.
    #[must_use]
    pub fn sized(self, width: f64, height: f64) -> Self {
        Self { width, height, ..self }
    }

    /// Adds a series. Heat maps lie below bands, bands below bars, bars below lines, and lines below points.
    #[must_use]
    pub fn with(mut self, series: Series) -> Self {
        self.series.push(series);
        self
    }

    /// The figure as SVG, with its title and description for screen readers. It takes the text colour of a page that it is put
    /// in, and stands on white by itself.
    ///
    /// # Errors
    /// A series does not fit the axes, a value cannot stand on a logarithmic axis, or the size or a limit is out of range.
    pub fn to_svg(&self) -> Result<String> {
        let sides = 200.0..=4000.0;
        if !sides.contains(&self.width) || !sides.contains(&self.height) {
            let [width, height] = [self.width, self.height];
            return Err(PlotError::Size { figure: self.title.clone(), width, height });
        }
        for series in &self.series {
            series.check([&self.x, &self.y])?;
        }
        drawing::svg(self)
    }

    /// The figure as PNG on white, `scale` pixels for each of the figure's, 0.25 to 8. Its text needs no typeface of the machine.
    ///
    /// # Errors
    /// As [`Figure::to_svg`], or the scale is out of range.
    pub fn to_png(&self, scale: f64) -> Result<Vec<u8>> {
        let failed = |reason| PlotError::Png { figure: self.title.clone(), reason };
        if !(0.25..=8.0).contains(&scale) {
            return Err(failed(format!("expected a scale of 0.25 to 8, found {scale}")));
        }
        png::rendered(&self.to_svg()?, scale).map_err(failed)
    }
}
