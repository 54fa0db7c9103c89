//! A table of a page: words to the left, numbers to the right and one below the other.

use std::fmt::Write as _;

use crate::error::{PlotError, Result};
use crate::svg::escaped;

/// On which side a column's cells stand.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Align {
    /// Words.
    Left,
    /// Numbers; figures are equally wide, so those with as many decimals stand one below the other.
    Right,
}

/// A table of a [`crate::Page`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Table {
    columns: Vec<(String, Align)>,
    rows: Vec<Vec<String>>,
}

impl Table {
    /// Without rows yet.
    pub fn new<S: Into<String>>(columns: impl IntoIterator<Item = (S, Align)>) -> Self {
        Self { columns: columns.into_iter().map(|(name, align)| (name.into(), align)).collect(), rows: vec![] }
    }

    /// Adds a row of as many cells as there are columns.
    pub fn row<S: Into<String>>(&mut self, cells: impl IntoIterator<Item = S>) {
        self.rows.push(cells.into_iter().map(Into::into).collect());
    }

    /// The table in HTML.
    pub(crate) fn html(&self) -> Result<String> {
        let class = |align: Align| if align == Align::Right { " class=n" } else { "" };
        let mut text = String::from("<div class=scroll><table><thead><tr>");
        for (name, align) in &self.columns {
            // Writing to a string cannot fail.
            let _ = write!(text, "<th{}>{}", class(*align), escaped(name));
        }
        text.push_str("<tbody>");
        for (index, row) in self.rows.iter().enumerate() {
            let [expected, found] = [self.columns.len(), row.len()];
            if expected != found {
                return Err(PlotError::Row { row: index + 1, expected, found });
            }
            text.push_str("<tr>");
            for (cell, (_, align)) in row.iter().zip(&self.columns) {
                let _ = write!(text, "<td{}>{}", class(*align), escaped(cell));
            }
        }
        text.push_str("</table></div>\n");
        Ok(text)
    }
}
