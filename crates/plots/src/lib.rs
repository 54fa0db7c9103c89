//! Curves as SVG and PNG, and the self-contained page around them.
//!
//! A [`Figure`] has two axes and any number of series; a [`Page`] has headings, paragraphs, tables and figures. Both are values:
//! the same value gives the same bytes on every machine, and needs neither a network nor a typeface of the machine.
//!
//! Nothing here prints, and nothing panics on what it is given: a series that cannot stand on its axes is a [`PlotError`] that
//! names it.

mod axis;
mod color;
mod drawing;
mod error;
mod figure;
mod heat_map;
mod page;
mod png;
mod series;
mod svg;
mod table;
mod text;
mod ticks;

pub use axis::Axis;
pub use color::{Color, ColorMap};
pub use error::{PlotError, Result};
pub use figure::Figure;
pub use heat_map::HeatMap;
pub use page::Page;
pub use series::{Bar, Series};
pub use table::{Align, Table};
