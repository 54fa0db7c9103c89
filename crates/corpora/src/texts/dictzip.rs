//! Random access to `.dict.dz`, the compressed texts of a dictionary server (format of `dictzip`).
//!
//! The file is gzip (RFC 1952) whose extra field `RA` has a table: version 1, bytes of text in a chunk, number of
//! chunks, and the compressed size of each, all 16 bits little-endian. Chunks can be decompressed one by one.

use std::fs::File;
use std::io::{Read as _, Seek as _, SeekFrom};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use flate2::{Decompress, FlushDecompress};

use crate::error::CorpusError;

/// Bytes of gzip's CRC and length after the last chunk.
const TRAILER: u64 = 8;
/// A header is at most the fixed part, an extra field of 65,535 bytes, and a name and a comment.
const LONGEST_HEADER: u64 = 1 << 17;

/// A file of compressed chunks.
pub(crate) struct Dictzip {
    path: PathBuf,
    /// Bytes of text in every chunk but the last.
    chunk: usize,
    /// Where each chunk begins, and where the last ends.
    starts: Vec<u64>,
    /// The chunk that was read last, for entries are asked for in the order in which they lie.
    last: Mutex<Option<(usize, Arc<Vec<u8>>)>>,
}

impl Dictzip {
    /// Reads the table of a file.
    ///
    /// # Errors
    /// When the file cannot be read, is none of this format, or ends before its last chunk.
    pub(crate) fn open(path: &Path) -> Result<Self, CorpusError> {
        let mut file = File::open(path).map_err(CorpusError::file("read", path))?;
        let size = file.metadata().map_err(CorpusError::file("read", path))?.len();
        let mut header = vec![];
        (&mut file).take(LONGEST_HEADER).read_to_end(&mut header).map_err(CorpusError::file("read", path))?;
        let table = table(&header).ok_or_else(|| {
            CorpusError::malformed(
                path.display().to_string(),
                "gzip with a table of chunks (dictzip)",
                "another format",
            )
        })?;
        let mut starts = vec![table.data as u64];
        for size in &table.sizes {
            starts.push(starts[starts.len() - 1] + u64::from(*size));
        }
        let needed = starts[starts.len() - 1] + TRAILER;
        if size < needed {
            let expected = format!("{needed} bytes by its table of chunks");
            return Err(CorpusError::malformed(
                path.display().to_string(),
                expected,
                format!("{size}, so it is cut off"),
            ));
        }
        Ok(Self { path: path.to_path_buf(), chunk: table.chunk, starts, last: Mutex::new(None) })
    }

    /// Bytes of the uncompressed text.
    ///
    /// # Errors
    /// When they are beyond the end, or their chunks cannot be read or decompressed.
    pub(crate) fn read(&self, offset: u64, length: usize) -> Result<Vec<u8>, CorpusError> {
        let mut bytes = Vec::with_capacity(length.min(1 << 20));
        let mut place = usize::try_from(offset).unwrap_or(usize::MAX);
        while bytes.len() < length {
            let chunk = self.chunk(place / self.chunk)?;
            let start = place % self.chunk;
            let end = chunk.len().min(start.saturating_add(length - bytes.len()));
            if start >= end {
                return Err(self.malformed(
                    "an end beyond that of its entries",
                    format!("the end at {}", place - start + chunk.len()),
                ));
            }
            bytes.extend_from_slice(&chunk[start..end]);
            place += end - start;
        }
        Ok(bytes)
    }

    fn chunk(&self, number: usize) -> Result<Arc<Vec<u8>>, CorpusError> {
        let mut last = self.last.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((known, bytes)) = &*last
            && *known == number
        {
            return Ok(bytes.clone());
        }
        let ends = self.starts.get(number).zip(number.checked_add(1).and_then(|next| self.starts.get(next)));
        let Some((&start, &end)) = ends else {
            return Err(
                self.malformed("an end beyond that of its entries", format!("{} chunks", self.starts.len() - 1))
            );
        };
        let mut compressed = vec![0; (end - start) as usize];
        let mut read = || {
            let mut file = File::open(&self.path)?;
            file.seek(SeekFrom::Start(start))?;
            file.read_exact(&mut compressed)
        };
        read().map_err(CorpusError::file("read", &self.path))?;
        let mut bytes = Vec::with_capacity(self.chunk);
        let done = Decompress::new(false).decompress_vec(&compressed, &mut bytes, FlushDecompress::Sync);
        done.map_err(|error| self.malformed("compressed text", format!("chunk {number} with {error}")))?;
        let bytes = Arc::new(bytes);
        *last = Some((number, bytes.clone()));
        Ok(bytes)
    }

    fn malformed(&self, expected: &str, found: String) -> CorpusError {
        CorpusError::malformed(self.path.display().to_string(), expected, found)
    }
}

struct Table {
    chunk: usize,
    sizes: Vec<u16>,
    /// Where the first chunk begins.
    data: usize,
}

fn table(header: &[u8]) -> Option<Table> {
    const EXTRA: u8 = 4;
    const NAME: u8 = 8;
    const COMMENT: u8 = 16;
    const HEADER_CRC: u8 = 2;
    let number = |place: usize| Some(u16::from_le_bytes([*header.get(place)?, *header.get(place + 1)?]));
    let flags = *header.get(3)?;
    if header.get(..3)? != [0x1f, 0x8b, 8] || flags & EXTRA == 0 {
        return None;
    }
    let extra_end = 12 + usize::from(number(10)?);
    let mut field = 12;
    while field + 4 <= extra_end && header.get(field..field + 2)? != *b"RA" {
        field += 4 + usize::from(number(field + 2)?);
    }
    if field + 10 > extra_end || number(field + 4)? != 1 {
        return None;
    }
    let (chunk, count) = (usize::from(number(field + 6)?), usize::from(number(field + 8)?));
    let sizes: Vec<u16> = (0..count).map(|index| number(field + 10 + 2 * index)).collect::<Option<_>>()?;
    let mut data = extra_end;
    for flag in [NAME, COMMENT] {
        if flags & flag != 0 {
            data += 1 + header.get(data..)?.iter().position(|&byte| byte == 0)?;
        }
    }
    data += if flags & HEADER_CRC != 0 { 2 } else { 0 };
    (chunk > 0).then_some(Table { chunk, sizes, data })
}
