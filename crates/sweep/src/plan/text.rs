//! A plan as text.

use std::fmt::Write as _;

use super::{Plan, PlannedRun};
use crate::counts::short;

const HEAD: [&str; 11] = ["run", "N", "D", "layers", "width", "heads", "d_ff", "steps", "rate", "FLOPs", "hours"];

impl Plan {
    /// A table of the runs, their total, and the warnings; `at_once` runs share the machine.
    ///
    /// Hours are those of a run by itself; the total divides them by `at_once`, at least 1, as if the last runs ended together.
    pub fn to_text(&self, at_once: usize) -> String {
        let rows: Vec<[String; 11]> = self.runs.iter().map(cells).collect();
        let width = |column: usize| {
            let cells = rows.iter().map(|row| row[column].chars().count());
            cells.chain([HEAD[column].len()]).max().unwrap_or_default()
        };
        let widths: Vec<usize> = (0..HEAD.len()).map(width).collect();
        let mut text = line(&HEAD.map(str::to_owned), &widths);
        rows.iter().for_each(|row| text.push_str(&line(row, &widths)));
        let at_once = at_once.max(1);
        let hours = match self.hours() {
            Some(hours) => format!(", {:.2} hours with {at_once} at once", hours / at_once as f64),
            None => ", hours unknown without a calibration".to_owned(),
        };
        // Writing to a string cannot fail.
        let _ =
            writeln!(text, "{} runs, {:.3e} FLOPs (6 N D, attention and head){hours}", self.runs.len(), self.flops());
        for warning in &self.warnings {
            let _ = writeln!(text, "warning: {warning}");
        }
        text
    }
}

fn cells(run: &PlannedRun) -> [String; 11] {
    let rate = run.overrides.iter().find_map(|change| change.strip_prefix("optimizer.learning_rate="));
    [
        run.name.clone(),
        short(run.params),
        short(run.tokens),
        run.shape.n_layers.to_string(),
        run.shape.d_model.to_string(),
        run.shape.n_heads.to_string(),
        run.shape.d_ff.to_string(),
        run.steps.to_string(),
        rate.and_then(|rate| rate.parse::<f64>().ok()).map_or_else(String::new, |rate| format!("{rate:.2e}")),
        format!("{:.2e}", run.flops.total()),
        run.hours.map_or_else(|| "?".to_owned(), |hours| format!("{hours:.3}")),
    ]
}

/// The first column to the left, the others to the right.
fn line(cells: &[String; 11], widths: &[usize]) -> String {
    let mut text = format!("{:<width$}", cells[0], width = widths[0]);
    for (cell, width) in cells.iter().zip(widths).skip(1) {
        let _ = write!(text, "  {cell:>width$}");
    }
    text.push('\n');
    text
}
