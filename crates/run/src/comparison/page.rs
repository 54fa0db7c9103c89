//! `comparison.html`: slopes, cost to equal loss, final numbers, curves, and what a reader should know.

use interfuse_plots::{Align, Page, Table};
use interfuse_scaling::Interval;

use super::curves::Part;
use super::{Comparison, figures};
use crate::error::{Context as _, Result};

/// The page.
pub(super) fn html(comparison: &Comparison) -> Result<String> {
    let names: Vec<&str> = comparison.groups.iter().map(|group| group.name.as_str()).collect();
    let unit = comparison.unit;
    let mut page = Page::new(names.join(" and ")).paragraph(format!(
        "A slope is the fraction of {}'s {unit} with which another run reaches the same losses: below 1 it is the sooner one. \
         It is the least-squares line through the origin of matched {unit}, as in Liang et al. 2024 (arXiv 2411.04996).",
        comparison.reference().name
    ));
    for note in &comparison.notes {
        page = page.note(note);
    }
    page = page.heading("Slopes");
    if !comparison.matched.is_empty() {
        page = page.table(slopes(comparison)).figures([figures::slopes(comparison)]);
    }
    for unmatched in &comparison.unmatched {
        page = page.note(format!("{}, {}: no match, for {}.", unmatched.group, unmatched.loss, unmatched.reason));
    }
    page = page
        .note(
            "Intervals are of 95 %: between seeds where there are two pairs or more (Student's t), or else by blocks of the \
             records of one pair, which know nothing of other seeds.",
        )
        .heading("Cost to the lowest loss that both reach")
        .table(equal_loss(comparison))
        .note("Of the first pair of seeds. Seconds are those that the runs recorded, on whatever machine that was.");
    for (part, title) in [(Part::HeldOut, "Held out"), (Part::Training, "Training")] {
        let of_part: Vec<_> = figures::losses(comparison).into_iter().filter(|loss| loss.part == part).collect();
        if of_part.is_empty() {
            continue;
        }
        let mut drawn = vec![];
        for loss in of_part {
            drawn.push(figures::curves(comparison, loss)?);
            drawn.extend(figures::matched(comparison, loss));
        }
        page = page.heading(title).figures(drawn);
    }
    page = page.heading("Where the runs end").table(finals(comparison));
    page.to_html().context("the page")
}

fn slopes(comparison: &Comparison) -> Table {
    let mut columns = vec![
        ("run", Align::Left),
        ("loss", Align::Left),
        ("slope", Align::Right),
        ("95 % interval", Align::Right),
        ("from", Align::Left),
    ];
    columns.extend(comparison.settings.paper.map(|_| ("the paper's mot", Align::Right)));
    let mut table = Table::new(columns);
    for matched in &comparison.matched {
        let from = match matched.interval_of_seeds {
            Some(_) => format!("{} pairs of seeds", matched.pairs.len()),
            None if matched.interval_of_blocks.is_some() => "blocks of records".to_string(),
            None => "too few records".to_string(),
        };
        let mut row = vec![
            matched.group.clone(),
            matched.loss.to_string(),
            format!("{:.3}", matched.slope),
            interval(matched.interval()),
            from,
        ];
        let paper = comparison.settings.paper.map(|paper| paper.slope(&matched.loss));
        row.extend(paper.map(|slope| slope.map_or("–".to_string(), |slope| format!("{slope:.3}"))));
        table.row(row);
    }
    table
}

fn equal_loss(comparison: &Comparison) -> Table {
    let mut table = Table::new([
        ("run", Align::Left),
        ("loss", Align::Left),
        ("value", Align::Right),
        ("steps", Align::Right),
        ("FLOPs", Align::Right),
        ("seconds", Align::Right),
    ]);
    let reference = &comparison.reference().name;
    for matched in &comparison.matched {
        let found = matched.to_equal_loss;
        let both = |costs: Option<[f64; 2]>, shown: fn(f64) -> String| {
            costs.map_or("–".to_string(), |[a, b]| format!("{} : {} = {:.3}", shown(b), shown(a), b / a))
        };
        table.row([
            format!("{} : {reference}", matched.group),
            matched.loss.to_string(),
            format!("{:.4}", found.loss),
            both(Some(found.steps), |x| format!("{x:.0}")),
            both(found.flops, |x| format!("{x:.3e}")),
            both(found.seconds, |x| format!("{x:.1}")),
        ]);
    }
    table
}

fn finals(comparison: &Comparison) -> Table {
    let mut table = Table::new([
        ("number", Align::Left),
        ("run", Align::Left),
        ("mean", Align::Right),
        ("95 % interval", Align::Right),
        ("runs", Align::Right),
    ]);
    let mut names: Vec<&str> = vec![];
    for name in comparison.finals.iter().map(|found| found.name.as_str()) {
        if !names.contains(&name) {
            names.push(name);
        }
    }
    for name in names {
        for found in comparison.finals.iter().filter(|found| found.name == name) {
            table.row([
                name.to_string(),
                found.group.clone(),
                format!("{:.4}", found.value),
                interval(found.interval),
                found.runs.to_string(),
            ]);
        }
    }
    table
}

/// `0.541 to 0.575`
pub(super) fn interval(interval: Option<Interval>) -> String {
    interval.map_or("–".to_string(), |Interval { low, high, .. }| format!("{low:.3} to {high:.3}"))
}
