//! A shard as numbered records that can be read from any row, a file for each kind; [`IndexedShard`] is one that was opened before.
//!
//! Opening a shard reads what is needed to count its rows and to find them again: the headers of a tar, the line ends of JSON
//! lines, the footer of Parquet. That costs no memory for what the rows hold. Rows are then read in ascending order or not;
//! what is passed over is skipped by seeking where the format allows, and by decompressing where it does not.

mod array;
mod bytes;
mod indexed;
mod lines;
#[cfg(feature = "parquet")]
mod parquet;
mod tar;

use std::path::Path;

pub use self::indexed::IndexedShard;
pub use self::tar::Members;
use crate::error::ShardError;
use crate::value::Value;

/// One row of a shard.
#[derive(Clone, Debug, PartialEq)]
pub struct Record {
    /// A stable name, see [`crate::Example::key`].
    pub key: String,
    /// The file and the row, for messages.
    pub origin: String,
    /// A [`Value::Struct`] of its fields; of a tar, the members by their suffixes.
    pub value: Value,
}

/// What was wrong with a shard that can be used all the same.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Remarks {
    /// Whether the file ends before its end.
    pub torn: bool,
    /// Rows of which the file holds a part only; they are not among [`Records::rows`].
    pub lost: u64,
    /// Members of a tar whose key came up before, other keys in between; they make rows of their own, as in `webdataset`.
    pub out_of_order: u64,
    /// Members of a tar whose name came up before in the same row; the first is kept.
    pub repeated: u64,
    /// What to tell a person, a sentence each.
    pub sentences: Vec<String>,
}

/// A shard, opened.
pub trait Records: Send {
    /// How many rows there are.
    fn rows(&self) -> u64;

    /// The record of a row, unless `wanted` refuses its key; a tar is then not read any further.
    ///
    /// # Errors
    ///
    /// When this one record cannot be read. The others are not affected: skip it and count it.
    fn read(&mut self, row: u64, wanted: &dyn Fn(&str) -> bool) -> Result<Option<Record>, ShardError>;

    /// The record of a row, whatever its key.
    ///
    /// # Errors
    ///
    /// As [`Records::read`].
    fn record(&mut self, row: u64) -> Result<Record, ShardError> {
        let none = || ShardError::malformed(format!("row {row}"), "a row, for no key is refused", "none");
        self.read(row, &|_| true)?.ok_or_else(none)
    }

    /// What was wrong with it when it was opened.
    fn remarks(&self) -> &Remarks;

    /// Whether any row is found by seeking, so that rows need not be read in their order.
    fn seeks(&self) -> bool;

    /// The first row of each block that can be entered without what precedes it: the row groups of Parquet; other files are one
    /// block.
    fn blocks(&self) -> Vec<u64> {
        vec![0]
    }
}

/// Hears of a row, by its number, what was read of it.
type See<'a> = &'a mut dyn FnMut(u64, Result<Record, ShardError>);

/// Which fields a reader asks for.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Columns {
    /// The field whose text or number is the key; tars have keys of their own.
    pub key: Option<String>,
    /// Paths of fields that a record must have, one of each group.
    pub required: Vec<Vec<String>>,
    /// Paths of fields that are read where they exist.
    pub optional: Vec<String>,
    /// Paths of fields that need not be read where that costs less: a record then has the field without bytes.
    pub left_out: Vec<String>,
}

/// Endings of what is read, for messages.
pub(crate) const ENDINGS: &str =
    ".tar, .tar.gz, .tgz, .tar.zst, .parquet, .jsonl, .jsonl.gz, .jsonl.zst, .json or .json.gz";

/// The kinds of containers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Tar,
    Lines,
    Array,
    Parquet,
}

/// The kind that a file's name shows.
fn kind(path: &Path) -> Option<Kind> {
    let name = path.file_name()?.to_str()?.to_lowercase();
    let name = [".gz", ".zst", ".zstd"].iter().find_map(|packed| name.strip_suffix(packed)).unwrap_or(&name);
    let (_, ending) = name.rsplit_once('.')?;
    match ending {
        "tar" | "tgz" => Some(Kind::Tar),
        "jsonl" | "ndjson" => Some(Kind::Lines),
        "json" => Some(Kind::Array),
        "parquet" => Some(Kind::Parquet),
        _ => None,
    }
}

/// Whether a file's name ends like a shard. A `.json` counts only if it is named, for folders hold many that are not.
pub(crate) fn is_shard(path: &Path) -> bool {
    !matches!(kind(path), None | Some(Kind::Array))
}

/// Whether a file is a tar by its name, compressed or not.
pub fn is_tar(path: &Path) -> bool {
    kind(path) == Some(Kind::Tar)
}

/// Opens a shard.
///
/// # Errors
///
/// When it cannot be read, is not of a known kind, holds nothing whole, or lacks a column that is asked for.
pub fn open(path: &Path, columns: &Columns) -> Result<Box<dyn Records>, ShardError> {
    Ok(match known_kind(path)? {
        Kind::Tar => Box::new(tar::TarShard::open(path)?),
        Kind::Lines => Box::new(lines::LineShard::open(path, columns.key.clone())?),
        Kind::Array => Box::new(array::ArrayShard::open(path, columns.key.clone())?),
        Kind::Parquet => open_parquet(path, columns)?,
    })
}

/// Checks by its name that a file is of a kind that this program reads.
///
/// # Errors
///
/// When it is not, or is Parquet in a program without it.
pub fn check_kind(path: &Path) -> Result<(), ShardError> {
    known_kind(path).map(|_| ())
}

fn known_kind(path: &Path) -> Result<Kind, ShardError> {
    let name = path.display().to_string();
    match kind(path) {
        Some(Kind::Parquet) if !cfg!(feature = "parquet") => {
            let expected = "a program that was built with the feature `parquet`, for this file";
            Err(ShardError::malformed(name, expected, "one without it"))
        }
        Some(kind) => Ok(kind),
        None => {
            let found = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
            Err(ShardError::malformed(name, format!("a file that ends in {ENDINGS}"), found))
        }
    }
}

#[cfg(feature = "parquet")]
fn open_parquet(path: &Path, columns: &Columns) -> Result<Box<dyn Records>, ShardError> {
    Ok(Box::new(parquet::ParquetShard::open(path, columns)?))
}

#[cfg(not(feature = "parquet"))]
fn open_parquet(path: &Path, _: &Columns) -> Result<Box<dyn Records>, ShardError> {
    Err(check_kind(path).err().unwrap_or_else(|| ShardError::malformed(path.display().to_string(), "Parquet", "none")))
}

/// The largest record that is read, in bytes: 512 MiB.
const LARGEST: u64 = 512 << 20;

/// The key of a record: the text or number of its key field, or its place in the file.
fn key_of(path: &Path, row: u64, key: Option<&str>, value: &Value) -> Result<String, ShardError> {
    let Some(field) = key else {
        return Ok(format!("{}#{row}", path.file_name().unwrap_or_default().to_string_lossy()));
    };
    match value.get(field) {
        Some(Value::Text(text)) => Ok(text.clone()),
        Some(Value::Number(number)) => Ok(number.to_string()),
        found => {
            let nearest = if found.is_none() { crate::error::nearest(field, value.names()) } else { String::new() };
            let found = found.map_or("nothing".into(), Value::described);
            Err(ShardError::malformed(
                origin(path, row),
                format!("a text or number under the key field `{field}`"),
                found + &nearest,
            ))
        }
    }
}

/// File and row for messages; rows are numbered from 0.
fn origin(path: &Path, row: u64) -> String {
    format!("{}, row {row}", path.display())
}

/// JSON's object as a record.
fn json_record(path: &Path, row: u64, key: Option<&str>, text: &[u8]) -> Result<Record, ShardError> {
    let text = text.strip_prefix(b"\xef\xbb\xbf").unwrap_or(text);
    let malformed = |found: String| ShardError::malformed(origin(path, row), "an object in JSON", found);
    let json: serde_json::Value = serde_json::from_slice(text).map_err(|error| malformed(error.to_string()))?;
    let value = Value::from(json);
    if !matches!(value, Value::Struct(_)) {
        return Err(malformed(value.described()));
    }
    Ok(Record { key: key_of(path, row, key, &value)?, origin: origin(path, row), value })
}
