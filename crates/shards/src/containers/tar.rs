//! WebDataset tars: members of one row share the name up to the first dot of the base name, and follow one another.
//!
//! The rules are those of `webdataset` 1.0.2, `tariterators.py`: names without such a key, names between double underscores
//! and what is not a regular file are passed over; suffixes are in lower case; a key that comes up again after another makes
//! a row of its own. A name that comes up twice in a row, which ends a pass there unless a handler is given, is passed over.

use std::collections::HashSet;
use std::hash::{BuildHasher, RandomState};
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use super::bytes::ByteStream;
use super::{LARGEST, Record, Records, Remarks};
use crate::error::ShardError;
use crate::example::is_image;
use crate::value::Value;

/// A tar is cut into blocks of so many bytes.
const BLOCK: u64 = 512;
/// How many members out of order are named.
const MOST_NAMED: usize = 3;

/// A tar and where its rows lie.
pub(super) struct TarShard {
    path: PathBuf,
    stream: ByteStream,
    /// Where each row's first header lies, and where the last row ends.
    starts: Vec<u64>,
    remarks: Remarks,
}

impl TarShard {
    /// Opens a tar and reads its headers; one that ends before its end has the rows that are whole.
    pub(super) fn open(path: &Path) -> Result<Self, ShardError> {
        let mut stream = ByteStream::open(path)?;
        let mut index = Index::new(path);
        let walked = index.walk(&mut stream);
        index.close(walked, &stream)?;
        let Index { starts, remarks, .. } = index;
        Ok(Self { path: path.to_path_buf(), stream, starts, remarks })
    }

    /// The members of a row, unless the key is refused.
    fn members(&mut self, row: u64, wanted: &dyn Fn(&str) -> bool) -> Result<Option<(String, Fields)>, Fault> {
        let (start, end) = (self.starts[row as usize], self.starts[row as usize + 1]);
        self.stream.go_to(start)?;
        let mut archive = tar::Archive::new((&mut self.stream).take(end - start));
        let (mut key, mut fields) = (None, Fields::new());
        let mut broken = None;
        for entry in archive.entries()? {
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
            if entry.size() > LARGEST {
                return Err(Fault::member(&suffix, format!("at most {LARGEST} bytes"), entry.size()));
            }
            // The header is a claim that memory is not set apart for.
            let mut bytes = Vec::with_capacity(entry.size().min(end - start) as usize);
            entry.read_to_end(&mut bytes)?;
            if (bytes.len() as u64) < entry.size() {
                return Err(io::Error::from(io::ErrorKind::UnexpectedEof).into());
            }
            let value = field(&suffix, bytes)?;
            fields.push((suffix, value));
        }
        // A tar may be cut within the padding behind its last member.
        if let Some(error) = broken.filter(|_| self.stream.position() < end) {
            return Err(error.into());
        }
        let key = key.ok_or_else(|| io::Error::other("the tar has changed since it was opened"))?;
        Ok(Some((key, fields)))
    }
}

impl Records for TarShard {
    fn rows(&self) -> u64 {
        self.starts.len() as u64 - 1
    }

    fn read(&mut self, row: u64, wanted: &dyn Fn(&str) -> bool) -> Result<Option<Record>, ShardError> {
        let name = super::origin(&self.path, row);
        let members = self.members(row, wanted).map_err(|fault| match fault {
            Fault::Read(error) => ShardError::malformed(&name, "whole members of a tar", error),
            Fault::Member { suffix, expected, found } => {
                ShardError::malformed(format!("{name}, member .{suffix}"), expected, found)
            }
        })?;
        Ok(members.map(|(key, fields)| {
            let origin = format!("{}, key {key}", self.path.display());
            Record { key, origin, value: Value::Struct(fields) }
        }))
    }

    fn remarks(&self) -> &Remarks {
        &self.remarks
    }

    fn seeks(&self) -> bool {
        self.stream.seeks()
    }
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

/// What is learned from the headers.
struct Index {
    name: String,
    starts: Vec<u64>,
    remarks: Remarks,
    /// Where the last entry's data end, and where the next header would lie.
    data_end: u64,
    next: u64,
    /// Where the last entry begins, and whether it belongs to a row.
    last_entry: (u64, bool),
    key: Option<String>,
    suffixes: Vec<String>,
    /// Hashes of the keys that came up, for those that come up again; gone once the tar is open.
    seen: HashSet<u64>,
    hasher: RandomState,
}

impl Index {
    fn new(path: &Path) -> Self {
        Self {
            name: path.display().to_string(),
            starts: vec![],
            remarks: Remarks::default(),
            data_end: 0,
            next: 0,
            last_entry: (0, false),
            key: None,
            suffixes: vec![],
            seen: HashSet::new(),
            hasher: RandomState::new(),
        }
    }

    /// Goes through all headers.
    fn walk(&mut self, stream: &mut ByteStream) -> io::Result<()> {
        let mut archive = tar::Archive::new(stream);
        for entry in archive.entries_with_seek()? {
            let entry = entry?;
            let start = self.next;
            let stored =
                if entry.header().entry_type().is_gnu_sparse() { entry.header().entry_size()? } else { entry.size() };
            self.data_end = entry.raw_file_position().saturating_add(stored);
            self.next = self.data_end.div_ceil(BLOCK).saturating_mul(BLOCK);
            let named = named(&entry);
            self.last_entry = (start, named.is_some());
            if let Some((key, suffix)) = named {
                self.see(key, suffix, start);
            }
        }
        Ok(())
    }

    /// A member that belongs to a row.
    fn see(&mut self, key: String, suffix: String, start: u64) {
        if self.key.as_ref() != Some(&key) {
            self.starts.push(start);
            self.suffixes.clear();
            if !self.seen.insert(self.hasher.hash_one(&key)) {
                self.remarks.out_of_order += 1;
                self.say(self.remarks.out_of_order, format!("the key `{key}` comes up again after another"));
            }
            self.key = Some(key);
        } else if self.suffixes.contains(&suffix) {
            self.remarks.repeated += 1;
            let key = self.key.clone().unwrap_or_default();
            self.say(self.remarks.repeated, format!("`{key}.{suffix}` comes up twice in a row, and the first is kept"));
            return;
        }
        self.suffixes.push(suffix);
    }

    fn say(&mut self, count: u64, what: String) {
        if count <= MOST_NAMED as u64 {
            self.remarks.sentences.push(format!("`{}`: {what}", self.name));
        }
    }

    /// Leaves out the row that is torn, if the tar is, and closes the list.
    fn close(&mut self, walked: io::Result<()>, stream: &ByteStream) -> Result<(), ShardError> {
        let end = stream.position();
        let mut last = self.next.min(end);
        let reason = match walked {
            // Two empty blocks end a tar; some programs write one.
            Ok(()) if end >= self.next.saturating_add(BLOCK) => None,
            Ok(()) if self.next == 0 => Some("nothing".to_string()),
            Ok(()) => Some("no empty block at its end, so that it may be cut".to_string()),
            Err(error) if end < self.data_end => {
                last = self.last_entry.0;
                if self.last_entry.1 {
                    self.remarks.lost += 1;
                    last = self.starts.pop().unwrap_or(last);
                }
                Some(format!("an end within `{}`: {error}", self.key.as_deref().unwrap_or("the first member")))
            }
            Err(error) => Some(error.to_string()),
        };
        if self.starts.is_empty() {
            let found = reason.unwrap_or("no file whose name has a suffix".into());
            return Err(ShardError::malformed(&self.name, "a tar with whole members", found));
        }
        if let Some(found) = reason {
            self.remarks.torn = true;
            let rows = self.starts.len();
            let sentence =
                format!("`{}`: expected a whole tar, found {found}; {rows} rows before it are used", self.name);
            self.remarks.sentences.push(sentence);
        }
        self.starts.push(last);
        Ok(())
    }
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
