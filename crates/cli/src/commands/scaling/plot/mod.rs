//! `interfuse scaling plot`: a fit and its table on one page, and as single figures.

mod isoflop;
mod law;
mod mixed;

use anyhow::Context;
use interfuse_parameters::durable::{create_folder, write_file};
use interfuse_plots::{Align, Figure, Page, Table as PageTable};
use interfuse_scaling::Interval;
use interfuse_scaling::table::Table;

use super::constant;
use super::file::{FitFile, Fitted, TableSource, check_replaceable};
use super::mixed::PairTables;
use crate::args::PlotArgs;
use crate::print::say;

/// What every page of this command is called first.
const TITLE: &str = "Law of scaling";
/// Lines that are told apart by colour.
const MOST_LINES: usize = 6;
/// Points of a curve.
const POINTS: usize = 60;
/// Pixels of a PNG for each of the figure's.
const SCALE: f64 = 2.0;

pub(crate) fn run(args: &PlotArgs) -> anyhow::Result<()> {
    check_replaceable(&args.out, |bytes| String::from_utf8_lossy(bytes).contains(&format!("<title>{TITLE}")))?;
    let file = FitFile::read(&args.fit)?;
    let (source, table) = TableSource::read(&args.table, file.table.options.clone(), file.table.best_of_cells)?;
    let (name, sections) = match &file.fit {
        Fitted::Single(single) => {
            let runs = super::fit::chosen(&table, Some(&single.modality))?;
            (single.modality.clone(), vec![law::section(single, &runs)])
        }
        Fitted::Mixed(pair) => (pair.pair(), mixed::sections(pair, &PairTables::of(&table, &pair.pair())?)),
    };
    let mut page = Page::new(format!("{TITLE}: {name}"));
    page = page.note(format!("{}, sha256 {}", args.table.display(), source.sha256));
    if source.sha256 != file.table.sha256 {
        let other = format!(
            "this is another table than the one that the law was fitted to ({}, sha256 {})",
            file.table.path.display(),
            file.table.sha256
        );
        say!("warning: {other}");
        page = page.paragraph(format!("Note: {other}."));
    }
    let warnings = source.warnings.iter().map(ToString::to_string);
    page = warned(page, warnings);
    let mut figures = vec![];
    for section in sections {
        page = section.onto(page, &mut figures);
    }
    let html = page.to_html()?;
    if let Some(folder) = &args.png {
        create_folder(folder)?;
        for (name, figure) in &figures {
            let write = |extension: &str, bytes: &[u8]| write_file(&folder.join(format!("{name}.{extension}")), bytes);
            write("svg", figure.to_svg()?.as_bytes())?;
            write("png", &figure.to_png(SCALE)?)?;
        }
        say!("{} figures: {}", figures.len(), folder.display());
    }
    write_file(&args.out, html.as_bytes()).context("the page")?;
    say!("page: {}", args.out.display());
    Ok(())
}

/// A part of the page.
pub(super) struct Section {
    heading: String,
    words: Vec<String>,
    constants: PageTable,
    warnings: Vec<String>,
    /// With the names of their files.
    figures: Vec<(String, Figure)>,
}

impl Section {
    fn onto(self, page: Page, figures: &mut Vec<(String, Figure)>) -> Page {
        let mut page = page.heading(self.heading);
        for words in self.words {
            page = page.paragraph(words);
        }
        page = warned(page.table(self.constants), self.warnings);
        figures.extend(self.figures.iter().cloned());
        page.figures(self.figures.into_iter().map(|(_, figure)| figure))
    }
}

fn warned(page: Page, warnings: impl IntoIterator<Item = String>) -> Page {
    warnings.into_iter().fold(page, |page, warning| page.note(format!("Warning: {warning}")))
}

/// The table of constants with their intervals.
fn constants_table<'a>(rows: impl IntoIterator<Item = (&'a str, f64, Interval)>) -> PageTable {
    let mut table =
        PageTable::new([("constant", Align::Left), ("value", Align::Right), ("interval (95 %)", Align::Right)]);
    for (name, value, interval) in rows {
        table.row([
            name.to_owned(),
            constant(value),
            format!("{} to {}", constant(interval.low), constant(interval.high)),
        ]);
    }
    table
}

/// `POINTS` numbers from one to another in equal ratios.
fn spaced((low, high): (f64, f64), count: usize) -> Vec<f64> {
    let last = (count.max(2) - 1) as f64;
    (0..count).map(|at| low * (high / low).powf(at as f64 / last)).collect()
}

/// Different values of the runs in rising order, at most [`MOST_LINES`] of them, the ends among them.
fn some_values(table: &Table, value: impl Fn(&interfuse_scaling::table::Run) -> f64) -> Vec<f64> {
    let mut values: Vec<f64> = table.runs().iter().map(value).collect();
    values.sort_by(f64::total_cmp);
    // Tables that were read off a figure have many sizes that are nearly the same.
    values.dedup_by(|next, kept| *next <= *kept * 1.01);
    let last = values.len().saturating_sub(1);
    match last < MOST_LINES {
        true => values,
        false => (0..MOST_LINES).map(|at| values[(at * last + MOST_LINES / 2) / (MOST_LINES - 1)]).collect(),
    }
}

/// Whether a number belongs to one of [`some_values`].
fn is_near(number: f64, value: f64) -> bool {
    (0.999..1.0101).contains(&(number / value))
}
