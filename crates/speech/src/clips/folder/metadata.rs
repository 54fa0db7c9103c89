//! Transcripts in a file of metadata, as Hugging Face's audiofolder and as LJSpeech have them.
//!
//! A row that cannot be used is a sentence rather than an error: one slip in a file of many rows does not stop the others.

use std::path::{Component, Path, PathBuf};

use serde_json::{Map, Value};

use super::super::read_text;
use crate::audio::AUDIO_EXTENSIONS;
use crate::error::SpeechError;

/// The keys that may hold the transcript, in the order of preference.
const TEXT_KEYS: [&str; 4] = ["text", "transcription", "sentence", "caption"];

/// One clip according to the metadata.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Row {
    /// Where the row stands, for messages.
    pub(super) line: String,
    pub(super) file: Name,
    /// Not blank.
    pub(super) text: String,
}

/// What a row calls its clip; relative to the folder and never leading out of it.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Name {
    /// A path.
    Path(PathBuf),
    /// LJSpeech's id: a name without its folder and extension.
    Id(String),
}

impl Name {
    /// Where the clip may lie.
    pub(super) fn candidates(&self) -> Vec<PathBuf> {
        match self {
            Self::Path(path) => vec![path.clone()],
            Self::Id(id) => {
                let names = || AUDIO_EXTENSIONS.iter().map(|extension| format!("{id}.{extension}"));
                names().map(|name| Path::new("wavs").join(name)).chain(names().map(PathBuf::from)).collect()
            }
        }
    }
}

impl std::fmt::Display for Name {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Path(path) => write!(f, "`{}`", path.display()),
            Self::Id(id) => write!(f, "`wavs/{id}.wav`"),
        }
    }
}

/// A row, or a sentence that says why it is left out.
type Found = Result<Row, String>;

/// Reads a file of metadata.
///
/// # Errors
/// When it cannot be read, is not UTF-8, or is a table without columns for files and transcripts.
pub(super) fn read(path: &Path) -> Result<Vec<Found>, SpeechError> {
    let text = read_text(path)?;
    if path.extension().is_some_and(|extension| extension == "jsonl") {
        return Ok(jsonl(path, &text));
    }
    let first = text.lines().find(|line| !line.trim().is_empty()).unwrap_or_default();
    if first.contains('|') && !first.contains("file_name") { Ok(ljspeech(path, &text)) } else { csv(path, &text) }
}

fn jsonl(path: &Path, text: &str) -> Vec<Found> {
    let row = |(number, line): (usize, &str)| {
        let place = place(path, number + 1);
        let object = serde_json::from_str(line).map_err(|error| format!("{place}: {error}"))?;
        row(place, &object)
    };
    text.lines().enumerate().filter(|(_, line)| !line.trim().is_empty()).map(row).collect()
}

fn csv(path: &Path, text: &str) -> Result<Vec<Found>, SpeechError> {
    let malformed = |found: String| {
        let expected = format!("the columns `file_name` and one of {}, or lines `id|text`", TEXT_KEYS.join(", "));
        SpeechError::malformed(path.display().to_string(), expected, found)
    };
    let mut reader = csv::ReaderBuilder::new().flexible(true).trim(csv::Trim::Headers).from_reader(text.as_bytes());
    let header = reader.headers().map_err(|error| malformed(error.to_string()))?.clone();
    let has = |column: &str| header.iter().any(|found| found == column);
    if !has("file_name") || !TEXT_KEYS.iter().any(|key| has(key)) {
        return Err(malformed(format!("the columns {:?}", header.iter().collect::<Vec<_>>())));
    }
    let rows = reader.records().map(|record| {
        let record = record.map_err(|error| format!("{}: {error}", path.display()))?;
        let line = record.position().map_or(0, csv::Position::line);
        let cells = header.iter().zip(record.iter()).map(|(column, cell)| (column.to_string(), cell.into()));
        row(place(path, line as usize), &cells.collect())
    });
    Ok(rows.collect())
}

/// `id|text`, or `id|text|as it is said`, of which the last that is not blank is taken. Quotes are letters like others.
fn ljspeech(path: &Path, text: &str) -> Vec<Found> {
    let row = |(number, line): (usize, &str)| {
        let line_place = place(path, number + 1);
        let mut cells = line.split('|').map(str::trim);
        let id = cells.next().filter(|id| !id.is_empty() && !id.contains(['/', '\\']));
        let id = id.ok_or_else(|| format!("{line_place}: expected an id without slashes, found {line:?}"))?;
        let text = cells.rfind(|cell| !cell.is_empty());
        let text = text.ok_or_else(|| format!("{line_place}: expected `id|text`, found {line:?}"))?;
        Ok(Row { line: line_place, file: Name::Id(id.to_string()), text: text.to_string() })
    };
    text.lines().enumerate().filter(|(_, line)| !line.trim().is_empty()).map(row).collect()
}

fn row(line: String, object: &Map<String, Value>) -> Found {
    let file = match object.get("file_name").and_then(Value::as_str).filter(|name| !name.is_empty()) {
        Some(name) => {
            inside(name).ok_or_else(|| format!("{line}: expected a path inside the folder, found `{name}`"))?
        }
        None => return Err(format!("{line}: expected a path under `file_name`")),
    };
    let text =
        TEXT_KEYS.iter().filter_map(|key| object.get(*key)?.as_str()).map(str::trim).find(|text| !text.is_empty());
    match text {
        Some(text) => Ok(Row { line, file: Name::Path(file), text: text.to_string() }),
        None => Err(format!("{line}: expected a transcript under one of {}", TEXT_KEYS.join(", "))),
    }
}

/// The path that a row names, without `./`; nothing where it leads out of the folder.
fn inside(name: &str) -> Option<PathBuf> {
    let parts: Vec<Component> = Path::new(name).components().filter(|part| *part != Component::CurDir).collect();
    parts.iter().all(|part| matches!(part, Component::Normal(_))).then(|| parts.iter().collect())
}

fn place(path: &Path, line: usize) -> String {
    format!("`{}` line {line}", path.display())
}
