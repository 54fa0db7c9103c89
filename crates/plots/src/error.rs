//! What can be wrong with a figure or a page.

/// Why there is no figure.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum PlotError {
    /// A logarithm of the value does not exist.
    #[error("series {series:?}: {found} cannot stand on the logarithmic axis {axis:?}, which takes numbers above 0")]
    NotPositive {
        /// The series' name.
        series: String,
        /// The axis' label.
        axis: String,
        /// The value.
        found: f64,
    },
    /// A value is beyond what can be drawn.
    #[error("series {series:?}: {found:e} cannot be drawn; expected a magnitude of at most 1e100")]
    TooLarge {
        /// The series' name.
        series: String,
        /// The value.
        found: f64,
    },
    /// The ends of an axis are not ends.
    #[error(
        "axis {axis:?}: expected finite limits, the lower first and above 0 on a logarithmic axis, found {low} and {high}"
    )]
    Limits {
        /// The axis' label.
        axis: String,
        /// The lower limit given.
        low: f64,
        /// The upper limit given.
        high: f64,
    },
    /// A heat map's values do not fit its coordinates, or these do not rise.
    #[error("heat map {series:?}: {what}: expected {expected}, found {found}")]
    Grid {
        /// The series' name.
        series: String,
        /// Which of its parts.
        what: &'static str,
        /// What they should be.
        expected: String,
        /// What they are.
        found: String,
    },
    /// A series of bars has more or fewer bars than the axis has categories, or the axis has none.
    #[error("series {series:?}: expected a bar for each of the {expected} categories of axis {axis:?}, found {found}")]
    Categories {
        /// The series' name.
        series: String,
        /// The axis' label.
        axis: String,
        /// Categories of the axis.
        expected: usize,
        /// Bars of the series.
        found: usize,
    },
    /// A figure is too small or too large.
    #[error("figure {figure:?}: expected 200 to 4000 pixels to either side, found {width} x {height}")]
    Size {
        /// The figure's title.
        figure: String,
        /// Width in pixels.
        width: f64,
        /// Height in pixels.
        height: f64,
    },
    /// A table's row has more or fewer cells than there are columns.
    #[error("table row {row}: expected {expected} cells, found {found}")]
    Row {
        /// Number of the row, from 1.
        row: usize,
        /// Columns of the table.
        expected: usize,
        /// Cells of the row.
        found: usize,
    },
    /// The figure could not be turned into pixels.
    #[error("figure {figure:?} cannot be turned into a PNG: {reason}")]
    Png {
        /// The figure's title.
        figure: String,
        /// The renderer's reason.
        reason: String,
    },
}

/// A result of this crate.
pub type Result<T> = std::result::Result<T, PlotError>;
