//! WebDataset tars: members of one row share the name up to the first dot of the base name, and follow one another.
//!
//! The rules are those of `webdataset` 1.0.2, `tariterators.py`: names without such a key, names between double underscores
//! and what is not a regular file are passed over; suffixes are in lower case; a key that comes up again after another makes
//! a row of its own. A name that comes up twice in a row, which ends a pass there unless a handler is given, is passed over.

mod described;
mod index;

use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use self::described::Described;
use self::index::Index;
use super::bytes::ByteStream;
use super::{LARGEST, Record, Records, Remarks, See};
use crate::error::ShardError;
use crate::example::is_image;
use crate::value::Value;

/// A tar is cut into blocks of so many bytes.
const BLOCK: u64 = 512;

/// A tar and where its rows lie.
pub(super) struct TarShard {
    path: PathBuf,
    stream: ByteStream,
    starts: TarStarts,
    members: Members,
    remarks: Remarks,
}

/// Where each row's first header lies, and where the last row ends.
pub(super) type TarStarts = Arc<[u64]>;

/// Which members of a row are read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Members {
    /// All.
    All,
    /// All but images, which are passed over by seeking: their fields are there, without bytes.
    WithoutImages,
}

impl TarShard {
    /// Opens a tar and reads its headers; one that ends before its end has the rows that are whole.
    pub(super) fn open(path: &Path) -> Result<Self, ShardError> {
        Self::open_seeing(path, None)
    }

    /// The same in one pass in which `see` hears of every row without its images.
    pub(super) fn open_seeing<'a>(path: &'a Path, see: Option<See<'a>>) -> Result<Self, ShardError> {
        let mut stream = ByteStream::open(path)?;
        let (mut index, mut described) = (Index::new(path), Described::new(path, see));
        let walked = index.walk(&mut stream, &mut described);
        index.close(walked, &stream)?;
        let Index { starts, remarks, .. } = index;
        described.end(starts.len() as u64 - 1);
        Ok(Self { path: path.to_path_buf(), stream, starts: starts.into(), members: Members::All, remarks })
    }

    /// Opens a tar of which is known where its rows lie.
    pub(super) fn known(path: &Path, starts: &TarStarts, members: Members) -> Result<Self, ShardError> {
        Ok(Self::over(ByteStream::open(path)?, path, starts, members))
    }

    /// The same for the sake of a single row.
    pub(super) fn for_a_row(path: &Path, starts: &TarStarts, members: Members) -> Result<Self, ShardError> {
        Ok(Self::over(ByteStream::open_for_a_row(path)?, path, starts, members))
    }

    fn over(stream: ByteStream, path: &Path, starts: &TarStarts, members: Members) -> Self {
        Self { path: path.to_path_buf(), stream, starts: Arc::clone(starts), members, remarks: Remarks::default() }
    }

    /// Where its rows lie, to open it again.
    pub(super) fn starts(&self) -> TarStarts {
        Arc::clone(&self.starts)
    }
}

impl Records for TarShard {
    fn rows(&self) -> u64 {
        self.starts.len() as u64 - 1
    }

    fn read(&mut self, row: u64, wanted: &dyn Fn(&str) -> bool) -> Result<Option<Record>, ShardError> {
        let span = span(&self.starts, row);
        record(&mut self.stream, &self.path, (row, span), (self.members, wanted))
    }

    fn remarks(&self) -> &Remarks {
        &self.remarks
    }

    fn seeks(&self) -> bool {
        self.stream.seeks()
    }
}

/// Where a row begins and ends.
pub(super) fn span(starts: &[u64], row: u64) -> (u64, u64) {
    (starts[row as usize], starts[row as usize + 1])
}

/// Which members are read, if the key is not refused.
type Wanted<'a> = (Members, &'a dyn Fn(&str) -> bool);

/// The record of a row that lies in a span of bytes.
fn record(
    stream: &mut ByteStream,
    path: &Path,
    (row, span): (u64, (u64, u64)),
    wanted: Wanted<'_>,
) -> Result<Option<Record>, ShardError> {
    let members = members(stream, span, wanted).map_err(|fault| fault.of(path, row))?;
    Ok(members.map(|(key, fields)| named_record(path, key, fields)))
}

fn named_record(path: &Path, key: String, fields: Fields) -> Record {
    let origin = format!("{}, key {key}", path.display());
    Record { key, origin, value: Value::Struct(fields) }
}

/// Key and members of a row.
fn members(
    stream: &mut ByteStream,
    (start, end): (u64, u64),
    (which, wanted): Wanted<'_>,
) -> Result<Option<(String, Fields)>, Fault> {
    stream.go_to(start)?;
    // The last row may be cut within its padding, which is passed over as if it were there.
    let blocks = (end - start).div_ceil(BLOCK) * BLOCK;
    let mut archive = tar::Archive::new((&mut *stream).take(blocks));
    let (mut key, mut fields) = (None, Fields::new());
    let mut broken = None;
    for entry in archive.entries_with_seek()? {
        let mut entry = match entry {
            Ok(entry) => entry,
            Err(error) => {
                broken = Some(error);
                break;
            }
        };
        let Some((found, suffix)) = named(&entry) else { continue };
        if key.is_none() {
            if !wanted(&found) {
                return Ok(None);
            }
            key = Some(found);
        }
        if fields.iter().any(|(name, _)| *name == suffix) {
            continue;
        }
        let value = match which == Members::WithoutImages && is_image(&suffix) {
            true => Value::Bytes(vec![]),
            false => field(&suffix, content(&mut entry, &suffix, end - start)?)?,
        };
        fields.push((suffix, value));
    }
    // A tar may be cut within the padding behind its last member.
    if let Some(error) = broken.filter(|_| stream.position() < end) {
        return Err(error.into());
    }
    let key = key.ok_or_else(|| io::Error::other("the tar has changed since it was opened"))?;
    Ok(Some((key, fields)))
}

/// The bytes of a member of a row of so many bytes.
fn content<R: Read>(entry: &mut tar::Entry<'_, R>, suffix: &str, row: u64) -> Result<Vec<u8>, Fault> {
    if entry.size() > LARGEST {
        return Err(Fault::member(suffix, format!("at most {LARGEST} bytes"), entry.size()));
    }
    // The header is a claim that memory is not set apart for.
    let mut bytes = Vec::with_capacity(entry.size().min(row) as usize);
    entry.read_to_end(&mut bytes)?;
    if (bytes.len() as u64) < entry.size() {
        return Err(io::Error::from(io::ErrorKind::UnexpectedEof).into());
    }
    Ok(bytes)
}

type Fields = Vec<(String, Value)>;

/// Why a row cannot be read.
enum Fault {
    Read(io::Error),
    Member { suffix: String, expected: String, found: String },
}

impl Fault {
    fn member(suffix: &str, expected: impl Into<String>, found: impl ToString) -> Self {
        Self::Member { suffix: suffix.into(), expected: expected.into(), found: found.to_string() }
    }

    /// The error of a row.
    fn of(self, path: &Path, row: u64) -> ShardError {
        let name = super::origin(path, row);
        match self {
            Self::Read(error) => ShardError::malformed(name, "whole members of a tar", error),
            Self::Member { suffix, expected, found } => {
                ShardError::malformed(format!("{name}, member .{suffix}"), expected, found)
            }
        }
    }
}

impl From<io::Error> for Fault {
    fn from(error: io::Error) -> Self {
        Self::Read(error)
    }
}

/// What a member holds: images are bytes, JSON is taken apart, and other members are texts where they can be.
fn field(suffix: &str, bytes: Vec<u8>) -> Result<Value, Fault> {
    if is_image(suffix) {
        return Ok(Value::Bytes(bytes));
    }
    if suffix == "json" || suffix.ends_with(".json") {
        let bytes = bytes.strip_prefix(b"\xef\xbb\xbf").unwrap_or(&bytes);
        let json: serde_json::Value =
            serde_json::from_slice(bytes).map_err(|error| Fault::member(suffix, "JSON", error))?;
        return Ok(json.into());
    }
    Ok(match String::from_utf8(bytes) {
        Ok(text) => Value::Text(text.strip_prefix('\u{feff}').map(String::from).unwrap_or(text)),
        Err(error) => Value::Bytes(error.into_bytes()),
    })
}

/// Key and suffix of an entry that belongs to a row.
fn named<R: Read>(entry: &tar::Entry<'_, R>) -> Option<(String, String)> {
    let kind = entry.header().entry_type();
    // `tarfile` takes sparse files for regular ones as well.
    if !(kind.is_file() || kind.is_contiguous() || kind.is_gnu_sparse()) {
        return None;
    }
    key_and_suffix(&String::from_utf8_lossy(&entry.path_bytes()))
}

/// `folder/key.suffix`, taken apart at the first dot of the base name.
fn key_and_suffix(name: &str) -> Option<(String, String)> {
    let name = name.trim_end_matches('\0');
    let is_meta =
        name.strip_prefix("__").is_some_and(|rest| rest.split('/').next().is_some_and(|first| first.ends_with("__")));
    let base = name.rfind('/').map_or(0, |slash| slash + 1);
    let dot = base + name[base..].find('.')?;
    (dot > base && !is_meta).then(|| (name[..dot].to_string(), name[dot + 1..].to_lowercase()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_those_of_webdataset() {
        let split = |name| key_and_suffix(name).map(|(key, suffix)| format!("{key} {suffix}"));
        for (name, expected) in [
            ("a.jpg", Some("a jpg")),
            ("x.y/a.b.JPG", Some("x.y/a b.jpg")),
            ("./a.txt", Some("./a txt")),
            ("a", None),
            (".hidden", None),
            ("x/.hidden.txt", None),
            ("__meta__.json", Some("__meta__ json")),
            ("__meta__/a.json", None),
            ("__key__", None),
            ("a.", Some("a ")),
        ] {
            assert_eq!(split(name).as_deref(), expected, "{name}");
        }
    }
}
