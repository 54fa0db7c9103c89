//! JSON lines: an object a line, blank lines passed over.

use std::io::{self, BufRead, Read};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::bytes::ByteStream;
use super::{LARGEST, Record, Records, Remarks};
use crate::error::ShardError;

/// The place of every so many rows is kept: a file of a hundred million lines then needs 25 MB.
const STRIDE: u64 = 32;

/// Where the rows 0, `STRIDE`, 2 `STRIDE`, … begin.
pub(super) type LineStarts = Arc<[u64]>;

/// JSON lines and where they lie.
pub(super) struct LineShard {
    path: PathBuf,
    key: Option<String>,
    stream: ByteStream,
    starts: LineStarts,
    rows: u64,
    /// The row that the stream stands before.
    next: u64,
    line: Vec<u8>,
    remarks: Remarks,
}

impl LineShard {
    /// Opens a file and counts its lines.
    pub(super) fn open(path: &Path, key: Option<String>) -> Result<Self, ShardError> {
        let mut shard = Self::known(path, key, (&LineStarts::default(), 0))?;
        shard.index()?;
        Ok(shard)
    }

    /// Opens a file of which is known where its rows lie and how many there are.
    pub(super) fn known(
        path: &Path,
        key: Option<String>,
        (starts, rows): (&LineStarts, u64),
    ) -> Result<Self, ShardError> {
        let stream = ByteStream::open(path)?;
        let (path, line, remarks) = (path.to_path_buf(), vec![], Remarks::default());
        Ok(Self { path, key, stream, starts: Arc::clone(starts), rows, next: 0, line, remarks })
    }

    /// Where its rows lie, to open it again.
    pub(super) fn starts(&self) -> LineStarts {
        Arc::clone(&self.starts)
    }

    fn index(&mut self) -> Result<(), ShardError> {
        let mut starts = vec![];
        loop {
            match self.next_line() {
                Ok(Some(start)) => {
                    if self.rows.is_multiple_of(STRIDE) {
                        starts.push(start);
                    }
                    self.rows += 1;
                }
                Ok(None) => break,
                Err(error) if self.rows == 0 => {
                    return Err(ShardError::malformed(self.path.display().to_string(), "lines", error));
                }
                Err(error) => {
                    self.remarks.torn = true;
                    self.remarks.lost = 1;
                    self.remarks.sentences.push(format!(
                        "`{}`: expected a whole file, found {error}; {} rows before it are used",
                        self.path.display(),
                        self.rows
                    ));
                    break;
                }
            }
        }
        if self.rows == 0 {
            return Err(ShardError::malformed(self.path.display().to_string(), "at least one line", "none"));
        }
        self.line = vec![];
        self.next = self.rows;
        self.starts = starts.into();
        Ok(())
    }

    /// Reads the next line that is not blank; says where it begins.
    fn next_line(&mut self) -> io::Result<Option<u64>> {
        loop {
            let start = self.stream.position();
            self.line.clear();
            let count = (&mut self.stream).take(LARGEST).read_until(b'\n', &mut self.line)? as u64;
            if count == 0 {
                return Ok(None);
            }
            if count == LARGEST && !self.line.ends_with(b"\n") {
                return Err(io::Error::other(format!("a line of more than {LARGEST} bytes")));
            }
            if !self.line.iter().all(u8::is_ascii_whitespace) {
                return Ok(Some(start));
            }
        }
    }

    fn read_line(&mut self, row: u64) -> io::Result<()> {
        if row < self.next || row / STRIDE > self.next / STRIDE {
            self.next = self.rows;
            self.stream.go_to(self.starts[(row / STRIDE) as usize])?;
            self.next = row / STRIDE * STRIDE;
        }
        while self.next <= row {
            if self.next_line()?.is_none() {
                self.next = self.rows;
                return Err(io::Error::other("the file has changed since it was opened"));
            }
            self.next += 1;
        }
        Ok(())
    }
}

impl Records for LineShard {
    fn rows(&self) -> u64 {
        self.rows
    }

    fn read(&mut self, row: u64, wanted: &dyn Fn(&str) -> bool) -> Result<Option<Record>, ShardError> {
        // A key that is the place in the file is known before the file is read.
        if self.key.is_none() && !wanted(&super::key_of(&self.path, row, None, &crate::Value::Null)?) {
            return Ok(None);
        }
        let read = self.read_line(row);
        read.map_err(|error| ShardError::malformed(super::origin(&self.path, row), "a line", error))?;
        let record = super::json_record(&self.path, row, self.key.as_deref(), &self.line)?;
        Ok(Some(record).filter(|record| wanted(&record.key)))
    }

    fn remarks(&self) -> &Remarks {
        &self.remarks
    }

    fn seeks(&self) -> bool {
        self.stream.seeks()
    }
}
