//! Tables from CSV and back, checked value by value.

use std::collections::{BTreeMap, HashMap};
use std::io::{Read, Write};
use std::path::Path;

use serde::{Deserialize, Serialize};

use super::columns::{self, COLUMNS};
use super::{Run, Table, UNNAMED};
use crate::error::ScalingError;

/// How a table of foreign columns is read.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct ReadOptions {
    /// Names of ours for columns of theirs, such as `loss` for `loss_c4_val`: `(theirs, ours)`. A column of theirs that has the
    /// same name of ours is then ignored.
    pub rename: Vec<(String, String)>,
    /// Columns that are not read.
    pub ignore: Vec<String>,
    /// Only rows whose column has the value, as it is written: `(column, value)`. The column needs no name of ours.
    pub only: Vec<(String, String)>,
}

/// Reads a table from a file.
///
/// # Errors
/// The file cannot be read, or is no table (see [`read_table_from`]).
pub fn read_table(path: &Path, options: &ReadOptions) -> Result<Table, ScalingError> {
    let file = std::fs::File::open(path).map_err(|source| ScalingError::File {
        action: "read",
        path: path.to_owned(),
        source,
    })?;
    read_table_from(file, &path.display().to_string(), options)
}

/// Reads a table from CSV with a head line; `name` is what messages call it.
///
/// `params` and `loss` are needed, and `tokens` or `flops`: tokens that are not said are `flops / (6 params)`. An empty field is
/// a value that is not known.
///
/// # Errors
/// A column is unknown (the nearest name is said) or twice there, a needed one is missing, a value is no number or out of its
/// range, two rows are the same, one modality has several tokenizers, or no row is left.
pub fn read_table_from(reader: impl Read, name: &str, options: &ReadOptions) -> Result<Table, ScalingError> {
    let wrong = |reason: String| ScalingError::Table { table: name.to_owned(), reason };
    let mut reader = csv::ReaderBuilder::new().trim(csv::Trim::All).from_reader(reader);
    let head = reader.headers().map_err(|error| wrong(error.to_string()))?.clone();
    let layout = Layout::of(&head, name, options)?;
    let (mut runs, mut lines) = (vec![], vec![]);
    for record in reader.records() {
        let record = record.map_err(|error| wrong(error.to_string()))?;
        let line = record.position().map_or(0, csv::Position::line);
        if layout.only.iter().all(|(at, value)| record.get(*at) == Some(value)) {
            runs.push(layout.run(&record, name, line)?);
            lines.push(line);
        }
    }
    if runs.is_empty() {
        return Err(wrong("no rows".to_owned()));
    }
    let table = Table { runs };
    check(&table, &lines, "line").map_err(|error| match error {
        ScalingError::Table { reason, .. } => wrong(reason),
        other => other,
    })?;
    Ok(table)
}

/// Where in a record each of our columns is.
struct Layout {
    /// For each of [`COLUMNS`].
    places: [Option<usize>; COLUMNS.len()],
    /// Fields that a row must have to be read.
    only: Vec<(usize, String)>,
}

impl Layout {
    fn of(head: &csv::StringRecord, table: &str, options: &ReadOptions) -> Result<Self, ScalingError> {
        let wrong = |reason: String| ScalingError::Table { table: table.to_owned(), reason };
        let place = |name: &str| {
            head.iter().position(|column| column == name).ok_or_else(|| wrong(format!("there is no column `{name}`")))
        };
        let mut places = [None; COLUMNS.len()];
        for (theirs, ours) in &options.rename {
            let index = columns::index(ours).ok_or_else(|| columns::unknown(table, ours))?;
            places[index] = Some(place(theirs)?);
        }
        let only = options
            .only
            .iter()
            .map(|(column, value)| Ok((place(column)?, value.clone())))
            .collect::<Result<Vec<_>, ScalingError>>()?;
        let renamed = places;
        for (at, column) in head.iter().enumerate() {
            let is_read = renamed.contains(&Some(at)) || only.iter().any(|(place, _)| *place == at);
            if is_read || options.ignore.iter().any(|ignored| ignored == column) {
                continue;
            }
            let index = columns::index(column).ok_or_else(|| columns::unknown(table, column))?;
            if renamed[index].is_some() {
                continue;
            }
            if places[index].replace(at).is_some() {
                return Err(wrong(format!("two columns are `{}`", COLUMNS[index].0)));
            }
        }
        let layout = Self { places, only };
        for needed in [&["params"][..], &["loss"], &["tokens", "flops"]] {
            if needed.iter().all(|name| layout.place(name).is_none()) {
                return Err(wrong(format!("there is no column `{}`", needed.join("` or `"))));
            }
        }
        Ok(layout)
    }

    fn place(&self, name: &str) -> Option<usize> {
        columns::index(name).and_then(|index| self.places[index])
    }

    fn run(&self, record: &csv::StringRecord, table: &str, line: u64) -> Result<Run, ScalingError> {
        let text = |name: &str| self.place(name).and_then(|at| record.get(at)).filter(|field| !field.is_empty());
        let number = |name: &str| match text(name) {
            None => Ok(None),
            Some(field) => field.parse::<f64>().map(Some).map_err(|_| ScalingError::Table {
                table: table.to_owned(),
                reason: format!("line {line}: {name} must be a number, found `{field}`"),
            }),
        };
        let needed = |name: &str| {
            number(name)?.ok_or_else(|| ScalingError::Table {
                table: table.to_owned(),
                reason: format!("line {line}: {name} is empty"),
            })
        };
        let (params, flops) = (needed("params")?, number("flops")?);
        let tokens = match (number("tokens")?, flops) {
            (Some(tokens), _) => tokens,
            (None, Some(flops)) => flops / (6.0 * params),
            (None, None) => needed("tokens")?,
        };
        Ok(Run {
            run: text("run").map(str::to_owned),
            // A pair may also be written with a plus.
            modality: text("modality").map_or_else(|| UNNAMED.to_owned(), |name| name.replace('+', "|")),
            params,
            tokens,
            unique_tokens: number("unique_tokens")?,
            first_share: number("first_share")?,
            loss: needed("loss")?,
            steps: number("steps")?,
            batch_tokens: number("batch_tokens")?,
            learning_rate: number("learning_rate")?,
            flops,
            seed: number("seed")?,
            tokenizer: text("tokenizer").map(str::to_owned),
        })
    }
}

/// Checks the values of a table; `places` are the rows' numbers, and `unit` is what they count.
pub(super) fn check(table: &Table, places: &[u64], unit: &str) -> Result<(), ScalingError> {
    let wrong = |reason: String| Err(ScalingError::Table { table: "the table".to_owned(), reason });
    let mut seen: HashMap<String, u64> = HashMap::new();
    let mut tokenizers: BTreeMap<&str, (Option<&str>, u64)> = BTreeMap::new();
    for (run, &place) in table.runs.iter().zip(places) {
        if let Some((name, expected, found)) = out_of_range(run) {
            return wrong(format!("{unit} {place}: {name} must be {expected}, found {found}"));
        }
        if let Some(first) = seen.insert(format!("{run:?}"), place) {
            return wrong(format!("{unit}s {first} and {place} are the same run; keep one of them"));
        }
        let tokenizer = run.tokenizer.as_deref();
        let (first, at) = *tokenizers.entry(&run.modality).or_insert((tokenizer, place));
        if first != tokenizer {
            let name = |tokenizer: Option<&str>| tokenizer.map_or("no name".to_owned(), |name| format!("`{name}`"));
            return wrong(format!(
                "the losses of {} are of different tokenizers, {} in {unit} {at} and {} in {unit} {place}: nats a token of one \
                 tokenizer are no nats a token of another",
                run.modality,
                name(first),
                name(tokenizer)
            ));
        }
    }
    Ok(())
}

/// The first number of a run that is out of its range.
fn out_of_range(run: &Run) -> Option<(&'static str, &'static str, f64)> {
    const POSITIVE: &str = "finite and above 0";
    let optional = [
        ("unique_tokens", run.unique_tokens),
        ("steps", run.steps),
        ("batch_tokens", run.batch_tokens),
        ("learning_rate", run.learning_rate),
        ("flops", run.flops),
    ];
    let needed = [("params", Some(run.params)), ("tokens", Some(run.tokens)), ("loss", Some(run.loss))];
    for (name, value) in needed.into_iter().chain(optional) {
        if let Some(value) = value.filter(|value| !(value.is_finite() && *value > 0.0)) {
            return Some((name, POSITIVE, value));
        }
    }
    // A count that was read off a figure or rounded may be off by a little.
    if let Some(unique) = run.unique_tokens.filter(|unique| *unique > run.tokens * 1.001) {
        return Some(("unique_tokens", "no more than tokens", unique));
    }
    let share = run.first_share.filter(|share| !(*share > 0.0 && *share < 1.0));
    let seed = run.seed.filter(|seed| !seed.is_finite());
    share.map(|share| ("first_share", "above 0 and below 1", share)).or(seed.map(|seed| ("seed", "finite", seed)))
}

/// Writes the columns that some run has.
pub(super) fn write(table: &Table, writer: impl Write) -> Result<(), ScalingError> {
    let number = |value: Option<f64>| value.map(|value| value.to_string()).unwrap_or_default();
    let fields = |run: &Run| -> [String; COLUMNS.len()] {
        [
            run.run.clone().unwrap_or_default(),
            if run.modality == UNNAMED { String::new() } else { run.modality.clone() },
            run.params.to_string(),
            run.tokens.to_string(),
            number(run.unique_tokens),
            number(run.first_share),
            run.loss.to_string(),
            number(run.steps),
            number(run.batch_tokens),
            number(run.learning_rate),
            number(run.flops),
            number(run.seed),
            run.tokenizer.clone().unwrap_or_default(),
        ]
    };
    let rows: Vec<_> = table.runs.iter().map(fields).collect();
    let used: Vec<usize> = (0..COLUMNS.len()).filter(|&at| rows.iter().any(|row| !row[at].is_empty())).collect();
    let mut writer = csv::Writer::from_writer(writer);
    let failed = |error: csv::Error| ScalingError::Table { table: "the table".to_owned(), reason: error.to_string() };
    writer.write_record(used.iter().map(|&at| COLUMNS[at].0)).map_err(failed)?;
    for row in &rows {
        writer.write_record(used.iter().map(|&at| row[at].as_str())).map_err(failed)?;
    }
    writer.flush().map_err(|error| failed(error.into()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Result<Table, ScalingError> {
        read_table_from(text.as_bytes(), "runs.csv", &ReadOptions::default())
    }

    fn message(text: &str) -> String {
        read(text).unwrap_err().to_string()
    }

    #[test]
    fn columns_go_by_several_names_and_an_unknown_one_gets_the_nearest() {
        let table = read("N,D,validation_loss,lr\n1e6,2e9,3.5,0.003\n").unwrap();
        assert_eq!(table.runs()[0].learning_rate, Some(0.003));
        assert_eq!(message("params,tokns,loss\n1,2,3\n"), "runs.csv: unknown column `tokns`; did you mean `tokens`?");
        let unknown = message("params,tokens,loss,zzz\n1,2,3,4\n");
        assert!(unknown.starts_with("runs.csv: unknown column `zzz`; known are run, modality, params"), "{unknown}");
        assert_eq!(message("params,N,tokens,loss\n1,1,2,3\n"), "runs.csv: two columns are `params`");
        assert_eq!(message("params,loss\n1,3\n"), "runs.csv: there is no column `tokens` or `flops`");
    }

    #[test]
    fn bad_values_are_named_with_their_line() {
        let row = |row: &str| message(&format!("params,tokens,unique_tokens,loss\n1e6,1e9,,3\n{row}\n"));
        assert_eq!(row("1e6,2e9,,NaN"), "runs.csv: line 3: loss must be finite and above 0, found NaN");
        assert_eq!(row("1e6,2e9,,-1"), "runs.csv: line 3: loss must be finite and above 0, found -1");
        assert_eq!(row("1e6,0,,2"), "runs.csv: line 3: tokens must be finite and above 0, found 0");
        assert_eq!(row("1e6,2e9,,low"), "runs.csv: line 3: loss must be a number, found `low`");
        assert_eq!(row("1e6,2e9,,"), "runs.csv: line 3: loss is empty");
        assert_eq!(
            row("1e6,2e9,4e9,2"),
            "runs.csv: line 3: unique_tokens must be no more than tokens, found 4000000000"
        );
        assert_eq!(row("1e6,1e9,,3"), "runs.csv: lines 2 and 3 are the same run; keep one of them");
        assert!(row("1e6,2e9,2").contains("fields"), "{}", row("1e6,2e9,2"));
        assert_eq!(message("params,tokens,loss\n"), "runs.csv: no rows");
    }

    #[test]
    fn one_modality_has_one_tokenizer() {
        let text = "modality,params,tokens,loss,tokenizer\ntext,1,2,3,bytes\ncode,1,2,3,bpe\ntext,2,2,2.5,bpe\n";
        let message = message(text);
        assert!(
            message.starts_with("runs.csv: the losses of text are of different tokenizers, `bytes` in line 2"),
            "{message}"
        );
    }

    #[test]
    fn foreign_tables_are_read_by_options() {
        let text = "set,size,flops,loss,other,keep\na,1e6,6e15,3,x,1\na,1e6,12e15,2.9,x,0\nb,2e6,12e15,2.8,x,1\n";
        let pair = |a: &str, b: &str| (a.to_owned(), b.to_owned());
        let options = ReadOptions {
            rename: vec![pair("set", "modality"), pair("size", "params")],
            ignore: vec!["other".to_owned()],
            only: vec![pair("keep", "1")],
        };
        let table = read_table_from(text.as_bytes(), "theirs.csv", &options).unwrap();
        assert_eq!(table.runs().len(), 2);
        assert_eq!((table.runs()[1].modality.as_str(), table.runs()[1].tokens), ("b", 1e9));
        let wrong = ReadOptions { only: vec![pair("kept", "1")], ..options };
        let error = read_table_from(text.as_bytes(), "theirs.csv", &wrong).unwrap_err().to_string();
        assert_eq!(error, "theirs.csv: there is no column `kept`");
    }

    #[test]
    fn a_written_table_is_read_as_it_was() {
        let text = "modality,params,tokens,first_share,loss,seed\nspeech+text,8e6,5e9,0.25,3.141592653589793,1\ntext,8e6,5e9,,3,2\n";
        let table = read(text).unwrap();
        assert_eq!(table.runs()[0].pair(), Some(("speech", "text")));
        let mut bytes = vec![];
        table.write_csv(&mut bytes).unwrap();
        let text = String::from_utf8(bytes).unwrap();
        assert!(text.starts_with("modality,params,tokens,first_share,loss,seed\n"), "{text}");
        assert_eq!(read(&text).unwrap(), table);
    }

    #[test]
    fn a_missing_file_is_named() {
        let error = read_table(Path::new("nowhere/runs.csv"), &ReadOptions::default()).unwrap_err().to_string();
        assert_eq!(error, "cannot read nowhere/runs.csv");
    }
}
