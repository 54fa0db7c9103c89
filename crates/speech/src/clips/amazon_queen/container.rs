//! The container `queen.1c`, as the tools of ScummVM write it. Numbers are big-endian:
//!
//! ```text
//! 0    "QTBL"   the format
//! 4    "CEM10"  the version: a CD in English, and a byte 0
//! 12   u8       how voices are compressed: 1 is mp3
//! 13   u16      count
//! 15   count ×  { name [12], bundle u8, offset u32, size u32 }
//! ```

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{Read as _, Seek as _, SeekFrom};
use std::path::{Path, PathBuf};

use interfuse_parameters::FileError;

use crate::error::SpeechError;

const HEADER: usize = 15;
const ENTRY: usize = 21;
const NAME: usize = 12;
const MP3: u8 = 1;

/// An open container.
pub(super) struct Container {
    path: PathBuf,
    entries: BTreeMap<String, Place>,
}

/// Where an entry lies, inside the file.
#[derive(Clone, Copy)]
pub(super) struct Place {
    pub(super) offset: u64,
    pub(super) size: usize,
}

impl Container {
    /// Reads the table of entries.
    ///
    /// # Errors
    /// When the file cannot be read, is another container, or ends before its time.
    pub(super) fn open(path: &Path) -> Result<Self, SpeechError> {
        let failed = |error| FileError::of("read", path)(error);
        let refused =
            |expected: &str, found: String| SpeechError::malformed(path.display().to_string(), expected, found);
        let mut file = File::open(path).map_err(failed)?;
        let length = file.metadata().map_err(failed)?.len();
        let mut header = [0; HEADER];
        file.read_exact(&mut header).map_err(failed)?;
        if &header[..9] != b"QTBLCEM10" {
            let found = String::from_utf8_lossy(&header[..9]).into_owned();
            return Err(refused("`QTBLCEM10` at its start, the voices in English", format!("{found:?}")));
        }
        if header[12] != MP3 {
            return Err(refused("voices compressed as mp3, number 1", header[12].to_string()));
        }
        let mut table = vec![0; usize::from(u16::from_be_bytes([header[13], header[14]])) * ENTRY];
        file.read_exact(&mut table).map_err(failed)?;
        let mut entries = BTreeMap::new();
        for entry in table.chunks_exact(ENTRY) {
            let name = entry[..NAME].split(|&byte| byte == 0).next().unwrap_or_default();
            let number = |at: usize| u32::from_be_bytes([entry[at], entry[at + 1], entry[at + 2], entry[at + 3]]);
            let (offset, size) = (u64::from(number(NAME + 1)), number(NAME + 5));
            if offset + u64::from(size) > length {
                let name = String::from_utf8_lossy(name);
                return Err(refused("all of its entries", format!("an end before that of `{name}`")));
            }
            let place = Place { offset, size: size as usize };
            entries.insert(String::from_utf8_lossy(name).to_ascii_uppercase(), place);
        }
        Ok(Self { path: path.to_path_buf(), entries })
    }

    /// All entries by name.
    pub(super) fn entries(&self) -> impl Iterator<Item = (&str, Place)> {
        self.entries.iter().map(|(name, place)| (name.as_str(), *place))
    }

    /// The bytes of several entries in order.
    ///
    /// # Errors
    /// When the file cannot be read.
    pub(super) fn read(&self, places: impl Iterator<Item = Place>) -> Result<Vec<Vec<u8>>, SpeechError> {
        let failed = |error| SpeechError::from(FileError::of("read", &self.path)(error));
        let mut file = File::open(&self.path).map_err(failed)?;
        let mut entries = vec![];
        for place in places {
            let mut bytes = vec![0; place.size];
            file.seek(SeekFrom::Start(place.offset)).and_then(|_| file.read_exact(&mut bytes)).map_err(failed)?;
            entries.push(bytes);
        }
        Ok(entries)
    }
}
