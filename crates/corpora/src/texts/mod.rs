//! Texts by number, read when they are asked for.
//!
//! What is kept of a text is where it lies. Texts that had to be extracted, or lie in a stream that can only be read
//! from its beginning, are kept in one buffer; all others stay in their files.

mod dictzip;
mod form;

use std::fs::File;
use std::io::{Read as _, Seek as _, SeekFrom};
use std::path::PathBuf;
use std::sync::Arc;

use sha2::{Digest as _, Sha256};

pub(crate) use dictzip::Dictzip;
pub(crate) use form::Form;

use crate::error::CorpusError;

/// What holds texts.
pub(crate) enum Store {
    /// The buffer of the corpus.
    Held,
    /// A file.
    File(PathBuf),
    /// A compressed file with random access.
    Dictzip(Dictzip),
}

/// Texts that come from one place.
pub(crate) struct Group {
    /// The same on any machine.
    pub(crate) name: Box<str>,
    pub(crate) store: Store,
    pub(crate) form: Form,
}

/// Where a text lies.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Entry {
    pub(crate) group: u32,
    /// Its number in the group; [`WHOLE`] where the group is one text.
    pub(crate) part: u32,
    pub(crate) offset: u64,
    /// Bytes where it lies.
    pub(crate) length: u32,
    /// The first bytes of the SHA-256 of the text, by which a file that has changed since is noticed.
    pub(crate) check: u32,
}

/// The part of a group that is one text.
pub(crate) const WHOLE: u32 = u32::MAX;

/// Where all texts of a corpus lie.
pub(crate) struct Shelves {
    pub(crate) groups: Vec<Group>,
    pub(crate) held: String,
}

impl Shelves {
    /// The text of an entry as it is now.
    pub(crate) fn read(&self, entry: &Entry) -> Result<String, CorpusError> {
        let group = &self.groups[entry.group as usize];
        let bytes = match &group.store {
            Store::Held => {
                let start = entry.offset as usize;
                return Ok(self.held[start..start + entry.length as usize].to_string());
            }
            Store::File(path) => {
                let mut bytes = vec![0; entry.length as usize];
                let mut read = || {
                    let mut file = File::open(path)?;
                    file.seek(SeekFrom::Start(entry.offset))?;
                    file.read_exact(&mut bytes)
                };
                read().map_err(CorpusError::file("read", path))?;
                bytes
            }
            Store::Dictzip(file) => file.read(entry.offset, entry.length as usize)?,
        };
        let text = String::from_utf8(bytes).map_err(|error| {
            CorpusError::malformed(
                self.name(entry),
                "text in UTF-8",
                invalid_byte(entry.offset, &error.utf8_error(), error.as_bytes()),
            )
        })?;
        group.form.text(&text).ok_or_else(|| self.changed(entry))
    }

    pub(crate) fn name(&self, entry: &Entry) -> String {
        let name = &self.groups[entry.group as usize].name;
        if entry.part == WHOLE { name.to_string() } else { format!("{name}#{}", entry.part) }
    }

    fn changed(&self, entry: &Entry) -> CorpusError {
        CorpusError::malformed(self.name(entry), "the text that was there when the corpus was opened", "another")
    }
}

/// A byte that is not UTF-8, by its place in the file counted from 0.
pub(crate) fn invalid_byte(start: u64, error: &std::str::Utf8Error, bytes: &[u8]) -> String {
    let place = error.valid_up_to();
    format!("the byte 0x{:02x} at offset {}", bytes.get(place).copied().unwrap_or_default(), start + place as u64)
}

/// The first bytes of the SHA-256 of a text.
pub(crate) fn digest(text: &str) -> [u8; 16] {
    let hash = Sha256::digest(text.as_bytes());
    std::array::from_fn(|index| hash[index])
}

/// What an [`Entry`] keeps of a digest.
pub(crate) fn check_of(digest: &[u8; 16]) -> u32 {
    u32::from_le_bytes([digest[0], digest[1], digest[2], digest[3]])
}

/// The texts of one split in a fixed order, by their numbers from 0. Clones share what they hold.
#[derive(Clone)]
pub struct Texts {
    shelves: Arc<Shelves>,
    entries: Arc<[Entry]>,
    bytes: u64,
}

impl Texts {
    pub(crate) fn new(shelves: Arc<Shelves>, entries: Vec<Entry>, bytes: u64) -> Self {
        Self { shelves, entries: entries.into(), bytes }
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// Bytes of UTF-8 in all of them.
    pub fn bytes(&self) -> u64 {
        self.bytes
    }

    /// The name of a text, which is the same on any machine that has the same packages; none where there is no such
    /// text.
    pub fn name(&self, number: usize) -> Option<String> {
        self.entries.get(number).map(|entry| self.shelves.name(entry))
    }

    /// A text. It is read from its file, unless the corpus holds it.
    ///
    /// # Errors
    /// When there is no text of this number; when its file cannot be read, or holds another text than when the corpus
    /// was opened.
    pub fn text(&self, number: usize) -> Result<String, CorpusError> {
        let Some(entry) = self.entries.get(number) else {
            return Err(CorpusError::Number { number, count: self.entries.len() });
        };
        let text = self.shelves.read(entry)?;
        let held = matches!(self.shelves.groups[entry.group as usize].store, Store::Held);
        // What the buffer holds cannot have changed.
        if !held && check_of(&digest(&text)) != entry.check {
            return Err(self.shelves.changed(entry));
        }
        Ok(text)
    }

    /// All texts in their order.
    pub fn iter(&self) -> impl Iterator<Item = Result<String, CorpusError>> + '_ {
        (0..self.len()).map(|number| self.text(number))
    }
}

/// Texts that can be recognized: 8 bytes of each, so that millions fit into memory.
#[derive(Clone, Debug)]
pub struct KnownTexts {
    /// In rising order.
    hashes: Vec<u64>,
}

impl KnownTexts {
    /// Those of a split.
    ///
    /// # Errors
    /// When a text cannot be read.
    pub fn of(texts: &Texts) -> Result<Self, CorpusError> {
        let mut hashes: Vec<u64> = texts.iter().map(|text| Ok(hash(&text?))).collect::<Result<_, CorpusError>>()?;
        hashes.sort_unstable();
        Ok(Self { hashes })
    }

    /// Whether a text is one of them. Of two million texts, another is taken for one once in 10 million million times.
    pub fn contains(&self, text: &str) -> bool {
        self.hashes.binary_search(&hash(text)).is_ok()
    }
}

/// The first eight bytes of the SHA-256 of a text.
fn hash(text: &str) -> u64 {
    digest(text).iter().take(8).fold(0, |hash, &byte| hash << 8 | u64::from(byte))
}

impl std::fmt::Debug for Texts {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("Texts").field("count", &self.len()).field("bytes", &self.bytes).finish()
    }
}
