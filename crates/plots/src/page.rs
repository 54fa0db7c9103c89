//! One page of HTML that needs nothing else: no script, no network, no file beside it. Light or dark as its reader has it.

use crate::error::Result;
use crate::figure::Figure;
use crate::svg::escaped;
use crate::table::Table;

/// A page under construction. All text is shown as it is given: markup in it is no markup.
///
/// ```
/// use interfuse_plots::{Align, Page, Table};
///
/// let mut table = Table::new([("modality", Align::Left), ("slope", Align::Right)]);
/// table.row(["text", "0.558"]);
/// let page = Page::new("Mixture-of-Transformers against dense").paragraph("Steps to equal loss.").table(table);
/// assert!(page.to_html()?.contains("<td class=n>0.558"));
/// # Ok::<(), interfuse_plots::PlotError>(())
/// ```
#[derive(Debug, Clone, PartialEq)]
pub struct Page {
    title: String,
    parts: Vec<Part>,
}

#[derive(Debug, Clone, PartialEq)]
enum Part {
    Heading(String),
    Paragraph(String),
    Note(String),
    Code(String),
    Table(Table),
    Figures(Vec<Figure>),
}

impl Page {
    /// With nothing but a title.
    pub fn new(title: impl Into<String>) -> Self {
        Self { title: title.into(), parts: vec![] }
    }

    fn with(mut self, part: Part) -> Self {
        self.parts.push(part);
        self
    }

    /// Begins a section.
    #[must_use]
    pub fn heading(self, text: impl Into<String>) -> Self {
        self.with(Part::Heading(text.into()))
    }

    /// A paragraph.
    #[must_use]
    pub fn paragraph(self, text: impl Into<String>) -> Self {
        self.with(Part::Paragraph(text.into()))
    }

    /// A paragraph in smaller and fainter type.
    #[must_use]
    pub fn note(self, text: impl Into<String>) -> Self {
        self.with(Part::Note(text.into()))
    }

    /// Lines as they would be typed.
    #[must_use]
    pub fn code(self, text: impl Into<String>) -> Self {
        self.with(Part::Code(text.into()))
    }

    /// A table.
    #[must_use]
    pub fn table(self, table: Table) -> Self {
        self.with(Part::Table(table))
    }

    /// Figures side by side, as far as the page is wide.
    #[must_use]
    pub fn figures(self, figures: impl IntoIterator<Item = Figure>) -> Self {
        self.with(Part::Figures(figures.into_iter().collect()))
    }

    /// The page.
    ///
    /// # Errors
    /// A figure cannot be drawn, or a table's row does not fit its columns.
    pub fn to_html(&self) -> Result<String> {
        let title = escaped(&self.title);
        let mut page = format!(
            "<!doctype html><html lang=en><meta charset=utf-8>\
             <meta name=viewport content='width=device-width,initial-scale=1'><title>{title}</title>\
             <style>{STYLE}</style>\n<h1>{title}</h1>\n"
        );
        for part in &self.parts {
            match part {
                Part::Heading(text) => page.push_str(&format!("<h2>{}</h2>\n", escaped(text))),
                Part::Paragraph(text) => page.push_str(&format!("<p>{}</p>\n", escaped(text))),
                Part::Note(text) => page.push_str(&format!("<p class=small>{}</p>\n", escaped(text))),
                Part::Code(text) => page.push_str(&format!("<pre>{}</pre>\n", escaped(text))),
                Part::Table(table) => page.push_str(&table.html()?),
                Part::Figures(figures) => {
                    page.push_str("<div class=figures>\n");
                    for figure in figures {
                        page.push_str(&figure.to_svg()?);
                    }
                    page.push_str("</div>\n");
                }
            }
        }
        Ok(page)
    }
}

/// The look of the evaluation's page, with a dark one beside it.
const STYLE: &str = ":root{color-scheme:light dark;--ink:#222;--faint:#666;--line:#e4e4e4;--paper:#fff;--well:#f7f7f7}\
    @media(prefers-color-scheme:dark){:root{--ink:#ddd;--faint:#999;--line:#383838;--paper:#181818;--well:#222}}\
    body{font:15px/1.5 system-ui,sans-serif;max-width:72em;margin:2em auto;padding:0 1em;color:var(--ink);\
    background:var(--paper)}h1{font-size:1.4em}h2{font-size:1.1em;margin-top:2em}p,pre{max-width:60em}\
    .small{font-size:.85em;color:var(--faint)}pre{background:var(--well);padding:.5em 1em;overflow-x:auto}\
    .scroll{overflow-x:auto}table{border-collapse:collapse;margin:.5em 0}tr{border-bottom:1px solid var(--line)}\
    th,td{padding:.2em 1.2em .2em 0;text-align:left;vertical-align:top}th{font-weight:600}\
    th.n,td.n{text-align:right;font-variant-numeric:tabular-nums;white-space:nowrap}\
    .figures{display:flex;flex-wrap:wrap;gap:.8em;margin:1em 0}\
    svg.plot{color:var(--ink);max-width:100%;height:auto}svg.plot .paper{fill:none}";
