//! What compressed tars say of their images, kept while the program runs: captions are read several times before the first step,
//! and a tar that is decompressed for each of them would be passed as often.
//!
//! They lie in a file without a name in the system's temporary folder, which is gone with the program; memory holds 8 bytes an image.

use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::path::Path;
use std::sync::{Mutex, PoisonError};

use interfuse_shards::Example;

use crate::error::DataError;

/// Descriptions of the rows of all shards that need it.
#[derive(Default)]
pub(super) struct Descriptions {
    /// None until the first shard needs it.
    file: Mutex<Option<File>>,
}

/// Where those of a shard lie.
pub(super) struct Described {
    /// Of the file, at which the shard's begin.
    start: u64,
    /// Where each row's ends behind that; a row that cannot be used has none.
    ends: Vec<u64>,
}

/// Those of a shard that is being opened.
#[derive(Default)]
pub(super) struct Collected {
    text: Vec<u8>,
    ends: Vec<u64>,
}

impl Collected {
    /// The next row, if it can be used.
    ///
    /// # Errors
    /// When JSON cannot hold it, which holds every text and number.
    pub(super) fn push(&mut self, example: Option<&Example>) -> io::Result<()> {
        if let Some(Example { key, captions, label, .. }) = example {
            serde_json::to_writer(&mut self.text, &(key, captions, label))?;
        }
        self.ends.push(self.text.len() as u64);
        Ok(())
    }
}

impl Descriptions {
    /// Keeps those of a shard.
    ///
    /// # Errors
    /// When no file can be made in the temporary folder, or it is full.
    pub(super) fn keep(&self, Collected { text, mut ends }: Collected) -> Result<Described, DataError> {
        ends.shrink_to_fit();
        let mut file = self.file.lock().unwrap_or_else(PoisonError::into_inner);
        let file = match &mut *file {
            Some(file) => file,
            none => {
                none.insert(tempfile::tempfile().map_err(DataError::io("create a file in", &std::env::temp_dir()))?)
            }
        };
        let mut write = || -> io::Result<u64> {
            let start = file.seek(SeekFrom::End(0))?;
            file.write_all(&text)?;
            Ok(start)
        };
        let start = write().map_err(DataError::io("write to", &std::env::temp_dir()))?;
        Ok(Described { start, ends })
    }

    /// Key, captions and class of a row of a shard.
    ///
    /// # Errors
    /// When they cannot be read any more.
    pub(super) fn read(&self, described: &Described, row: u32, shard: &Path) -> Result<Example, DataError> {
        let end = |row: usize| described.ends.get(row).copied().unwrap_or_default();
        let first = (row as usize).checked_sub(1).map_or(0, end);
        let mut text = vec![0; end(row as usize).saturating_sub(first) as usize];
        let mut file = self.file.lock().unwrap_or_else(PoisonError::into_inner);
        let mut read = || -> io::Result<()> {
            let file = file.as_mut().ok_or(io::ErrorKind::NotFound)?;
            file.seek(SeekFrom::Start(described.start + first))?;
            file.read_exact(&mut text)
        };
        read().map_err(DataError::io("read what was kept of", shard))?;
        let malformed = |error: serde_json::Error| {
            DataError::malformed(shard.display().to_string(), "what was kept of it", error.to_string())
        };
        let (key, captions, label) = serde_json::from_slice(&text).map_err(malformed)?;
        Ok(Example { key, captions, label, ..Example::default() })
    }
}
