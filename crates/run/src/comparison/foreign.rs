//! The curves of another trainer: `metrics.csv` with the column `step`, one column for each loss, named as in `metrics.jsonl`
//! (`loss`, `text_loss`, `held_out/image_loss`), and, where they are known, `seconds` and `flops` since the first step.

use std::path::Path;

use super::curves::{Cost, LossName, RunCurves};
use super::names::name_and_seed;
use crate::error::{Context as _, Result, refuse, require};

/// What a column holds.
enum Column {
    Step,
    Seconds,
    Flops,
    Loss(LossName),
    Other,
}

/// Reads a table. An empty cell is no value.
pub(super) fn read(path: &Path) -> Result<RunCurves> {
    let shown = path.display();
    let mut table = csv::ReaderBuilder::new()
        .trim(csv::Trim::All)
        .from_path(path)
        .with_context(|| format!("cannot read {shown}"))?;
    let header = table.headers().with_context(|| format!("{shown}: the first line cannot be read"))?.clone();
    let columns: Vec<Column> = header.iter().map(column).collect();
    let place = |wanted: fn(&Column) -> bool| columns.iter().position(wanted);
    let Some(step_column) = place(|column| matches!(column, Column::Step)) else {
        refuse!("{shown}: expected a column `step`, found {}", listed(header.iter()));
    };
    let (name, seed) = name_and_seed(path);
    let mut run = RunCurves { path: path.to_owned(), name, seed, ..RunCurves::default() };
    let (mut seconds, mut flops): (Cost, Cost) = (vec![], vec![]);
    let mut last = f64::NEG_INFINITY;
    for (index, row) in table.records().enumerate() {
        let row = row.with_context(|| format!("{shown}, line {}", index + 2))?;
        let number = |column: usize| number(row.get(column).unwrap_or_default(), &header[column], (path, index + 2));
        let Some(step) = number(step_column)? else {
            refuse!("{shown}, line {}: expected a step, found nothing", index + 2);
        };
        require!(step >= 0.0 && step > last, "{shown}, line {}: expected a step above {last}, found {step}", index + 2);
        last = step;
        for (place, column) in columns.iter().enumerate() {
            let value = if matches!(column, Column::Other) { None } else { number(place)? };
            match (column, value) {
                (Column::Loss(name), Some(loss)) if loss.is_finite() => run.push(name.clone(), step, loss),
                (Column::Seconds, Some(value)) => rising(&mut seconds, step, value, (path, "seconds"))?,
                (Column::Flops, Some(value)) => rising(&mut flops, step, value, (path, "flops"))?,
                _ => {}
            }
        }
    }
    run.seconds = (!seconds.is_empty()).then_some(seconds);
    run.flops = (!flops.is_empty()).then_some(flops);
    let others = header.iter().zip(&columns).filter(|(_, column)| matches!(column, Column::Other));
    let others: Vec<&str> = others.map(|(name, _)| name).collect();
    if !others.is_empty() {
        run.notes.push(format!("{shown}: columns that are no losses are left out: {}", listed(others)));
    }
    Ok(run)
}

fn column(name: &str) -> Column {
    match name {
        "step" => Column::Step,
        "seconds" => Column::Seconds,
        "flops" => Column::Flops,
        _ => LossName::of_key(name).map_or(Column::Other, Column::Loss),
    }
}

fn number(cell: &str, column: &str, (path, line): (&Path, usize)) -> Result<Option<f64>> {
    if cell.is_empty() {
        return Ok(None);
    }
    match cell.parse() {
        Ok(value) => Ok(Some(value)),
        Err(_) => refuse!("{}, line {line}, column `{column}`: expected a number, found {cell:?}", path.display()),
    }
}

/// Adds a cost since the first step, which cannot fall.
fn rising(cost: &mut Cost, step: f64, value: f64, (path, column): (&Path, &str)) -> Result<()> {
    let least = cost.last().map_or(0.0, |record| record[1]);
    require!(
        value.is_finite() && value >= least,
        "{}, step {step}, column `{column}`: expected at least {least}, for it counts from the first step, found {value}",
        path.display()
    );
    cost.push([step, value]);
    Ok(())
}

fn listed<'a>(names: impl IntoIterator<Item = &'a str>) -> String {
    names.into_iter().map(|name| format!("`{name}`")).collect::<Vec<_>>().join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read_text(text: &str) -> Result<RunCurves> {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("dense-seed3.csv");
        std::fs::write(&path, text).unwrap();
        read(&path)
    }

    #[test]
    fn a_table_becomes_curves() {
        let run =
            read_text("step, text_loss, held_out/text_loss, flops, lr\n1, 3, , 10, 0.1\n2, 2, 2.5, 20, 0.1\n").unwrap();
        assert_eq!((run.name.as_str(), run.seed), ("dense", Some(3)));
        let losses: Vec<(String, usize)> =
            run.losses.iter().map(|(name, records)| (name.to_string(), records.len())).collect();
        assert_eq!(losses, [("text, training".to_string(), 2), ("text, held out".to_string(), 1)]);
        assert_eq!((run.flops_per_step(), run.seconds.is_none()), (Some(10.0), true));
        assert!(run.notes[0].ends_with("columns that are no losses are left out: `lr`"), "{:?}", run.notes);
    }

    #[test]
    fn what_cannot_be_read_is_named() {
        let refused = |text: &str| read_text(text).unwrap_err().to_string();
        assert!(refused("iteration,loss\n1,2\n").ends_with("expected a column `step`, found `iteration`, `loss`"));
        assert!(refused("step,loss\n1,x\n").ends_with("line 2, column `loss`: expected a number, found \"x\""));
        assert!(refused("step,loss\n2,1\n1,1\n").ends_with("line 3: expected a step above 2, found 1"));
        assert!(refused("step,loss\n,1\n").ends_with("line 2: expected a step, found nothing"));
        assert!(refused("step,loss,seconds\n1,1,5\n2,1,4\n").contains("column `seconds`: expected at least 5"));
        assert!(refused("step,loss\n1,2,3\n").contains("line 2"));
    }
}
