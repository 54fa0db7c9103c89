//! The rows of `metadata.jsonl` and `metadata.csv`, as Hugging Face's imagefolder lays them out.
//!
//! A row that cannot be used is a sentence rather than an error: one slip in a file of a million
//! rows should not stop the other rows.

use std::fs::File;
use std::io::{BufRead, BufReader, Read as _};
use std::path::{Component, Path, PathBuf};

use serde_json::{Map, Value};

use super::listing::extension;
use super::text::{checked, decoded, is_utf16, utf8};
use crate::error::DataError;

/// The keys that may hold the caption, in the order of preference.
const CAPTION_KEYS: [&str; 3] = ["text", "caption", "prompt"];

/// One image according to the metadata.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Row {
    /// Relative to the folder of the metadata file, and never leading out of it.
    pub(super) file_name: PathBuf,
    /// At least one, none of them blank.
    pub(super) captions: Vec<String>,
    pub(super) label: Option<usize>,
}

/// Reads a metadata file, a path below `root`; each row is usable or a sentence that says why not.
///
/// # Errors
///
/// When the file cannot be read, or a CSV file lacks a column for file names or captions.
pub(super) fn read(root: &Path, name: &Path) -> Result<Vec<Result<Row, String>>, DataError> {
    let path = root.join(name);
    let mut file = BufReader::new(File::open(&path).map_err(DataError::io("read", &path))?);
    let start = file.fill_buf().map_err(DataError::io("read", &path))?;
    let read = if extension(name) == "csv" { read_csv } else { read_jsonl };
    if !is_utf16(start) {
        return read(&path, name, &mut file);
    }
    let mut bytes = Vec::new();
    file.read_to_end(&mut bytes).map_err(DataError::io("read", &path))?;
    let text = decoded(&bytes).map_err(|reason| DataError::malformed(path.display().to_string(), "text", reason))?;
    read(&path, name, &mut text.as_bytes())
}

fn read_jsonl(path: &Path, name: &Path, file: &mut dyn BufRead) -> Result<Vec<Result<Row, String>>, DataError> {
    let mut rows = Vec::new();
    for (number, line) in file.split(b'\n').enumerate() {
        let line = line.map_err(DataError::io("read", path))?;
        let line = line.strip_prefix(b"\xef\xbb\xbf").unwrap_or(&line);
        if line.iter().all(u8::is_ascii_whitespace) {
            continue;
        }
        let object = utf8(line).and_then(|line| {
            // serde_json counts lines as well, and each of ours is its first.
            let reason = |error: serde_json::Error| error.to_string().replace(" at line 1 column ", " at column ");
            serde_json::from_str(line).map_err(reason)
        });
        let row = object.and_then(|object| row(&object));
        rows.push(row.map_err(|reason| format!("`{}` line {}: {reason}", name.display(), number + 1)));
    }
    Ok(rows)
}

fn read_csv(path: &Path, name: &Path, file: &mut dyn BufRead) -> Result<Vec<Result<Row, String>>, DataError> {
    let mut reader = csv::ReaderBuilder::new().flexible(true).from_reader(file);
    let malformed = |expected: &str, found| DataError::malformed(path.display().to_string(), expected, found);
    let header = reader.headers().map_err(|error| malformed("a header of column names", error.to_string()))?;
    let header: Vec<String> = header.iter().map(|column| column.trim().to_string()).collect();
    let has = |column: &str| header.iter().any(|found| found == column);
    if !has("file_name") || !CAPTION_KEYS.iter().any(|key| has(key)) {
        let expected = format!("the columns `file_name` and one of {}", CAPTION_KEYS.join(", "));
        return Err(malformed(&expected, format!("the columns {header:?}")));
    }
    let mut rows = Vec::new();
    let mut record = csv::ByteRecord::new();
    loop {
        let line = reader.position().line();
        let read =
            reader.read_byte_record(&mut record).map_err(|error| malformed("rows of cells", error.to_string()))?;
        if !read {
            return Ok(rows);
        }
        let line = record.position().map_or(line, csv::Position::line);
        let cells: Result<Map<String, Value>, String> =
            header.iter().zip(record.iter()).map(|(column, cell)| Ok((column.clone(), utf8(cell)?.into()))).collect();
        let row = cells.and_then(|cells| row(&cells));
        rows.push(row.map_err(|reason| format!("`{}` line {line}: {reason}", name.display())));
    }
}

fn row(object: &Map<String, Value>) -> Result<Row, String> {
    let file_name = match object.get("file_name") {
        Some(Value::String(name)) if !name.is_empty() => inside(name)?,
        Some(other) => return Err(format!("expected `file_name` to be a path, found {other}")),
        None => return Err("expected the key `file_name`, found none".into()),
    };
    let label = match object.get("label") {
        Some(Value::Number(number)) => number.as_u64().map(|label| label as usize),
        Some(Value::String(text)) => text.trim().parse().ok(),
        _ => None,
    };
    Ok(Row { file_name, captions: captions(object)?, label })
}

/// The captions under the first key that has any; a key that is null or blank has none.
fn captions(object: &Map<String, Value>) -> Result<Vec<String>, String> {
    let mut refused = None;
    for key in CAPTION_KEYS {
        match texts(object.get(key).unwrap_or(&Value::Null)) {
            Ok(captions) if captions.is_empty() => {}
            Ok(captions) => {
                captions.iter().try_for_each(|caption| checked(caption))?;
                return Ok(captions);
            }
            Err(found) => refused = refused.or(Some(format!("expected a text under `{key}`, found {found}"))),
        }
    }
    let keys = CAPTION_KEYS.map(|key| format!("`{key}`")).join(", ");
    Err(refused.unwrap_or_else(|| format!("expected a caption under {keys}, found none")))
}

/// A text or a list of texts without the blank ones, or what it is instead.
fn texts(value: &Value) -> Result<Vec<String>, &Value> {
    let texts = match value {
        Value::Null => vec![],
        Value::String(text) => vec![text.as_str()],
        Value::Array(texts) => {
            let text = |value| match value {
                &Value::Null => Ok(""),
                Value::String(text) => Ok(text.as_str()),
                other => Err(other),
            };
            texts.iter().map(text).collect::<Result<_, _>>()?
        }
        other => return Err(other),
    };
    Ok(texts.into_iter().map(str::trim).filter(|text| !text.is_empty()).map(String::from).collect())
}

/// The path that a row names, without `./`; one that leads out of the folder is refused.
fn inside(file_name: &str) -> Result<PathBuf, String> {
    let parts: Vec<Component> = Path::new(file_name).components().filter(|part| *part != Component::CurDir).collect();
    if parts.iter().all(|part| matches!(part, Component::Normal(_))) {
        return Ok(parts.iter().collect());
    }
    Err(format!("expected `file_name` to be a path inside the folder, found `{file_name}`"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read_text(name: &str, text: impl AsRef<[u8]>) -> Result<Vec<Result<Row, String>>, DataError> {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join(name), text).unwrap();
        read(folder.path(), Path::new(name))
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
        assert!(rows[0].as_ref().unwrap_err().contains("`metadata.csv` line 2"));
        let rows = read_text("metadata.csv", b"file_name,text\na.png,caf\xe9\nb.png,\"two\nlines\"\nc.png,\n").unwrap();
        assert!(rows[0].as_ref().unwrap_err().contains("line 2: expected text in UTF-8"), "{rows:?}");
        assert_eq!(rows[1], usable("b.png", &["two\nlines"], None));
        assert!(rows[2].as_ref().unwrap_err().contains("line 5"), "{rows:?}");
    }

    #[test]
    fn a_key_without_a_caption_gives_way_to_the_next() {
        let text = r#"{"file_name": "0.png", "text": null, "caption": "used"}
            {"file_name": "1.png", "text": "", "caption": "used"}
            {"file_name": "2.png", "text": 7}
            {"file_name": "3.png", "text": [null, " "], "prompt": ["used"]}
            {"file_name": "4.png", "text": {"en": "x"}, "caption": "used"}
            {"file_name": "5.png", "text": "a \u0000"}
            {"file_name": "6.png", "text": ["fine", 8]}"#;
        let rows = read_text("metadata.jsonl", text).unwrap();
        for row in [0, 1, 3, 4] {
            assert_eq!(rows[row].as_ref().unwrap().captions, ["used"], "row {row}");
        }
        for (row, reason) in [(2, "text under `text`, found 7"), (5, "NUL"), (6, "text under `text`, found 8")] {
            let found = rows[row].as_ref().unwrap_err();
            assert!(found.contains(reason) && found.contains(&format!("line {}", row + 1)), "{found}");
        }
    }

    #[test]
    fn a_byte_order_mark_is_part_of_no_key_and_no_caption() {
        let utf16 = |text: &str| -> Vec<u8> { text.encode_utf16().flat_map(u16::to_le_bytes).collect() };
        let [jsonl, csv] =
            ["\u{feff}{\"file_name\": \"a.png\", \"text\": \"é\"}\n", "\u{feff}file_name,text\na.png,é\n"];
        for (name, text) in [("metadata.jsonl", jsonl), ("metadata.csv", csv)] {
            assert_eq!(read_text(name, text).unwrap(), [usable("a.png", &["é"], None)]);
            assert_eq!(read_text(name, utf16(text)).unwrap(), [usable("a.png", &["é"], None)]);
        }
    }

    #[test]
    fn a_csv_file_without_the_columns_is_an_error() {
        let message = read_text("metadata.csv", "path,words\na.png,b\n").unwrap_err().to_string();
        assert!(message.contains("file_name") && message.contains("words"), "{message}");
    }
}
