//! The rows of `metadata.jsonl` and `metadata.csv`, as Hugging Face's imagefolder lays them out.
//!
//! A row that cannot be used is a sentence rather than an error: one slip in a file of a million
//! rows should not stop the other rows.

use std::fs::File;
use std::io::{BufRead, BufReader};
use std::path::{Component, Path, PathBuf};

use serde_json::{Map, Value};

use crate::error::DataError;

/// The keys that may hold the caption, in the order of preference.
const CAPTION_KEYS: [&str; 3] = ["text", "caption", "prompt"];

/// One image according to the metadata.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Row {
    /// Relative to the folder of the metadata file, and never leading out of it.
    pub(crate) file_name: PathBuf,
    /// At least one, none of them blank.
    pub(crate) captions: Vec<String>,
    pub(crate) label: Option<usize>,
}

/// Reads a metadata file; each row is usable or a sentence that says why not.
///
/// # Errors
///
/// When the file cannot be read, or a CSV file lacks a column for file names or captions.
pub(crate) fn read(path: &Path) -> Result<Vec<Result<Row, String>>, DataError> {
    let file = BufReader::new(File::open(path).map_err(DataError::io("read", path))?);
    if path.extension().is_some_and(|extension| extension == "csv") {
        read_csv(path, file)
    } else {
        read_jsonl(path, file)
    }
}

fn read_jsonl(path: &Path, file: impl BufRead) -> Result<Vec<Result<Row, String>>, DataError> {
    let mut rows = Vec::new();
    for (number, line) in file.split(b'\n').enumerate() {
        let line = line.map_err(DataError::io("read", path))?;
        let line = line.strip_prefix(b"\xef\xbb\xbf").unwrap_or(&line);
        if line.iter().all(u8::is_ascii_whitespace) {
            continue;
        }
        let row = serde_json::from_slice(line).map_err(|error| error.to_string()).and_then(|object| row(&object));
        rows.push(row.map_err(|reason| format!("`{}` line {}: {reason}", path.display(), number + 1)));
    }
    Ok(rows)
}

fn read_csv(path: &Path, file: impl BufRead) -> Result<Vec<Result<Row, String>>, DataError> {
    let name = path.display().to_string();
    let mut reader = csv::ReaderBuilder::new().flexible(true).from_reader(file);
    let header = reader
        .headers()
        .map_err(|error| DataError::malformed(&name, "a header of column names", error.to_string()))?
        .clone();
    let has = |column: &str| header.iter().any(|found| found.trim() == column);
    if !has("file_name") || !CAPTION_KEYS.iter().any(|key| has(key)) {
        let expected = format!("the columns `file_name` and one of {}", CAPTION_KEYS.join(", "));
        return Err(DataError::malformed(
            &name,
            expected,
            format!("the columns {:?}", header.iter().collect::<Vec<_>>()),
        ));
    }
    let rows = reader.records().enumerate().map(|(number, record)| {
        let record = record.map_err(|error| format!("`{name}`: {error}"))?;
        let cells = header.iter().map(|column| column.trim().to_string()).zip(record.iter().map(Value::from));
        row(&cells.collect()).map_err(|reason| format!("`{name}` row {}: {reason}", number + 1))
    });
    Ok(rows.collect())
}

fn row(object: &Map<String, Value>) -> Result<Row, String> {
    let file_name = match object.get("file_name") {
        Some(Value::String(name)) if !name.is_empty() => inside(name)?,
        Some(other) => return Err(format!("expected `file_name` to be a path, found {other}")),
        None => return Err("expected the key `file_name`, found none".into()),
    };
    let captions = CAPTION_KEYS.iter().find_map(|key| object.get(*key)).map(captions).unwrap_or_default();
    if captions.is_empty() {
        let keys = CAPTION_KEYS.map(|key| format!("`{key}`")).join(", ");
        return Err(format!("expected a caption under {keys}, found none"));
    }
    let label = match object.get("label") {
        Some(Value::Number(number)) => number.as_u64().map(|label| label as usize),
        Some(Value::String(text)) => text.trim().parse().ok(),
        _ => None,
    };
    Ok(Row { file_name, captions, label })
}

/// The path that a row names, without `./`; one that leads out of the folder is refused.
fn inside(file_name: &str) -> Result<PathBuf, String> {
    let parts: Vec<Component> = Path::new(file_name).components().filter(|part| *part != Component::CurDir).collect();
    if parts.iter().all(|part| matches!(part, Component::Normal(_))) {
        return Ok(parts.iter().collect());
    }
    Err(format!("expected `file_name` to be a path inside the folder, found `{file_name}`"))
}

fn captions(value: &Value) -> Vec<String> {
    let texts: Vec<&str> = match value {
        Value::String(text) => vec![text],
        Value::Array(texts) => texts.iter().filter_map(Value::as_str).collect(),
        _ => Vec::new(),
    };
    texts.into_iter().map(str::trim).filter(|text| !text.is_empty()).map(String::from).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read_text(name: &str, text: &str) -> Result<Vec<Result<Row, String>>, DataError> {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join(name);
        std::fs::write(&path, text).unwrap();
        read(&path)
    }

    fn usable(file_name: &str, captions: &[&str], label: Option<usize>) -> Result<Row, String> {
        let captions = captions.iter().map(|&caption| caption.into()).collect();
        Ok(Row { file_name: file_name.into(), captions, label })
    }

    #[test]
    fn jsonl_rows_have_one_caption_or_several() {
        let text = "\u{feff}{\"file_name\": \"a.png\", \"text\": \" one \"}\n\n\
                    {\"file_name\": \"b.png\", \"caption\": [\"one\", \"\", \"two\"], \"label\": 3}\r\n\
                    {\"prompt\": \"p\", \"file_name\": \"c.png\", \"label\": \"cat\", \"width\": 7}";
        let rows = read_text("metadata.jsonl", text).unwrap();
        let expected =
            [usable("a.png", &["one"], None), usable("b.png", &["one", "two"], Some(3)), usable("c.png", &["p"], None)];
        assert_eq!(rows, expected);
    }

    #[test]
    fn csv_rows_may_quote_and_reorder() {
        let text = "text,label,file_name\n\"a, \"\"quoted\"\" cat\",1,x/a.png\nplain,,b.png\n";
        let rows = read_text("metadata.csv", text).unwrap();
        assert_eq!(rows, [usable("x/a.png", &["a, \"quoted\" cat"], Some(1)), usable("b.png", &["plain"], None)]);
    }

    #[test]
    fn unusable_rows_say_where_and_why() {
        let text = "{\"file_name\": \"a.png\"}\n[1]\n{\"text\": \"b\"}\n{\"file_name\": 3, \"text\": \"c\"}\n\
                    {\"file_name\": \"d\", \"text\": \"  \"}\nnot json\n";
        let rows = read_text("metadata.jsonl", text).unwrap();
        let found = ["`text`", "invalid type", "`file_name`", "found 3", "`text`", "expected"];
        assert_eq!(rows.len(), found.len());
        for (number, (row, part)) in rows.into_iter().zip(found).enumerate() {
            let reason = row.unwrap_err();
            assert!(reason.contains(&format!("line {}", number + 1)) && reason.contains(part), "{reason}");
        }
        let rows = read_text("metadata.csv", "file_name,text\na.png\n").unwrap();
        assert!(rows[0].as_ref().unwrap_err().contains("row 1"));
    }

    #[test]
    fn a_csv_file_without_the_columns_is_an_error() {
        let message = read_text("metadata.csv", "path,words\na.png,b\n").unwrap_err().to_string();
        assert!(message.contains("file_name") && message.contains("words"), "{message}");
    }
}
