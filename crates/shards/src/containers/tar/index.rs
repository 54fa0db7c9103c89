//! Where the rows of a tar lie, by its headers alone.

use std::collections::HashSet;
use std::hash::{BuildHasher, RandomState};
use std::io;
use std::path::Path;

use super::super::Remarks;
use super::super::bytes::ByteStream;
use super::described::Described;
use super::{BLOCK, named};
use crate::error::ShardError;

/// How many members out of order are named.
const MOST_NAMED: usize = 3;

/// What is learned from the headers.
pub(super) struct Index {
    name: String,
    /// Where each row's first header lies; once closed, where the last row ends as well.
    pub(super) starts: Vec<u64>,
    pub(super) remarks: Remarks,
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
    pub(super) fn new(path: &Path) -> Self {
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

    /// Goes through all headers; what `described` wants of the members is read on the way.
    pub(super) fn walk(&mut self, stream: &mut ByteStream, described: &mut Described<'_>) -> io::Result<()> {
        let mut archive = tar::Archive::new(stream);
        for entry in archive.entries_with_seek()? {
            let mut entry = entry?;
            let start = self.next;
            let stored =
                if entry.header().entry_type().is_gnu_sparse() { entry.header().entry_size()? } else { entry.size() };
            self.data_end = entry.raw_file_position().saturating_add(stored);
            self.next = self.data_end.div_ceil(BLOCK).saturating_mul(BLOCK);
            let named = named(&entry);
            self.last_entry = (start, named.is_some());
            if let Some((key, suffix)) = named
                && self.see(&key, &suffix, start)
            {
                described.member(self.starts.len() as u64 - 1, (key, suffix), &mut entry)?;
            }
        }
        Ok(())
    }

    /// A member that belongs to a row; whether it is the first of its name there.
    fn see(&mut self, key: &str, suffix: &str, start: u64) -> bool {
        if self.key.as_deref() != Some(key) {
            self.starts.push(start);
            self.suffixes.clear();
            if !self.seen.insert(self.hasher.hash_one(key)) {
                self.remarks.out_of_order += 1;
                self.say(self.remarks.out_of_order, format!("the key `{key}` comes up again after another"));
            }
            self.key = Some(key.into());
        } else if self.suffixes.iter().any(|seen| seen == suffix) {
            self.remarks.repeated += 1;
            self.say(self.remarks.repeated, format!("`{key}.{suffix}` comes up twice in a row, and the first is kept"));
            return false;
        }
        self.suffixes.push(suffix.into());
        true
    }

    fn say(&mut self, count: u64, what: String) {
        if count <= MOST_NAMED as u64 {
            self.remarks.sentences.push(format!("`{}`: {what}", self.name));
        }
    }

    /// Leaves out the row that is torn, if the tar is, and closes the list.
    pub(super) fn close(&mut self, walked: io::Result<()>, stream: &ByteStream) -> Result<(), ShardError> {
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
