//! A JSON file that is one list of objects, as LLaVA's instructions are; only where each object lies is kept in memory.

use std::io::{self, BufRead, Read};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::bytes::ByteStream;
use super::{LARGEST, Record, Records, Remarks};
use crate::error::ShardError;

/// A list and where its elements lie.
pub(super) struct ArrayShard {
    path: PathBuf,
    key: Option<String>,
    stream: ByteStream,
    places: ArrayPlaces,
    remarks: Remarks,
}

/// Where each element begins, and how long it is.
pub(super) type ArrayPlaces = Arc<[(u64, u32)]>;

impl ArrayShard {
    /// Opens a file and finds its elements; of a file that ends before its end, those that are whole.
    pub(super) fn open(path: &Path, key: Option<String>) -> Result<Self, ShardError> {
        let mut stream = ByteStream::open(path)?;
        let mut scan = Scan::default();
        let mut remarks = Remarks::default();
        let scanned = scan.all(&mut stream);
        let malformed =
            |found: String| ShardError::malformed(path.display().to_string(), "a list of objects in JSON", found);
        let found = match (scanned, scan.state) {
            (Ok(()), State::Closed) => None,
            (Ok(()), State::Before) => return Err(malformed("nothing".into())),
            (Ok(()), _) => Some("an end before that of the list".to_string()),
            (Err(error), _) => Some(error.to_string()),
        };
        if scan.places.is_empty() {
            return Err(malformed(found.unwrap_or("an empty list".into())));
        }
        if let Some(found) = found {
            remarks.torn = true;
            remarks.lost = u64::from(scan.is_inside());
            let rows = scan.places.len();
            let name = path.display();
            remarks
                .sentences
                .push(format!("`{name}`: expected a whole list, found {found}; {rows} rows before it are used"));
        }
        Ok(Self { path: path.to_path_buf(), key, stream, places: scan.places.into(), remarks })
    }

    /// Opens a file of which is known where its elements lie.
    pub(super) fn known(path: &Path, key: Option<String>, places: &ArrayPlaces) -> Result<Self, ShardError> {
        let (stream, remarks) = (ByteStream::open(path)?, Remarks::default());
        Ok(Self { path: path.to_path_buf(), key, stream, places: Arc::clone(places), remarks })
    }

    /// Where its elements lie, to open it again.
    pub(super) fn places(&self) -> ArrayPlaces {
        Arc::clone(&self.places)
    }
}

impl Records for ArrayShard {
    fn rows(&self) -> u64 {
        self.places.len() as u64
    }

    fn read(&mut self, row: u64, wanted: &dyn Fn(&str) -> bool) -> Result<Option<Record>, ShardError> {
        let (start, length) = self.places[row as usize];
        let mut text = Vec::with_capacity(length as usize);
        let mut read = || -> io::Result<()> {
            self.stream.go_to(start)?;
            (&mut self.stream).take(u64::from(length)).read_to_end(&mut text)?;
            Ok(())
        };
        read().map_err(|error| ShardError::malformed(super::origin(&self.path, row), "an object", error))?;
        let record = super::json_record(&self.path, row, self.key.as_deref(), &text)?;
        Ok(Some(record).filter(|record| wanted(&record.key)))
    }

    fn remarks(&self) -> &Remarks {
        &self.remarks
    }

    fn seeks(&self) -> bool {
        self.stream.seeks()
    }
}

/// Where in the list the scan stands.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
enum State {
    /// Before its bracket.
    #[default]
    Before,
    /// Between two elements.
    Between,
    /// In an element that is no struct, list or text.
    Plain,
    /// In an element, so many brackets deep.
    Deep(u32),
    /// Behind its closing bracket.
    Closed,
}

/// Finds the elements by brackets and quotation marks; whether each is JSON is found out when it is read.
#[derive(Default)]
struct Scan {
    state: State,
    /// In a text, and behind a backslash in it.
    text: bool,
    escaped: bool,
    start: u64,
    places: Vec<(u64, u32)>,
}

impl Scan {
    fn all(&mut self, stream: &mut ByteStream) -> io::Result<()> {
        loop {
            let position = stream.position();
            let bytes = stream.fill_buf()?;
            if bytes.is_empty() {
                return Ok(());
            }
            let count = bytes.len();
            for (offset, &byte) in bytes.iter().enumerate() {
                self.see(byte, position + offset as u64)?;
            }
            stream.consume(count);
        }
    }

    fn is_inside(&self) -> bool {
        matches!(self.state, State::Plain | State::Deep(_))
    }

    fn see(&mut self, byte: u8, at: u64) -> io::Result<()> {
        if self.text {
            match byte {
                _ if self.escaped => self.escaped = false,
                b'\\' => self.escaped = true,
                b'"' => {
                    self.text = false;
                    if self.state == State::Deep(0) {
                        self.end(at + 1)?;
                    }
                }
                _ => {}
            }
            return Ok(());
        }
        match (self.state, byte) {
            (State::Before, b'[') => self.state = State::Between,
            // A byte order mark may stand before it.
            (State::Before, b' ' | b'\n' | b'\r' | b'\t' | 0xef | 0xbb | 0xbf) => {}
            (State::Before, found) => {
                return Err(io::Error::other(format!("`{}` where `[` should be", found.escape_ascii())));
            }
            (State::Between, b']') => self.state = State::Closed,
            (State::Plain, b',' | b']') => {
                self.end(at)?;
                if byte == b']' {
                    self.state = State::Closed;
                }
            }
            (State::Between, b',' | b' ' | b'\n' | b'\r' | b'\t') | (State::Plain | State::Closed, _) => {}
            (State::Between, _) => {
                self.start = at;
                self.text = byte == b'"';
                self.state = match byte {
                    b'{' | b'[' => State::Deep(1),
                    b'"' => State::Deep(0),
                    _ => State::Plain,
                };
            }
            (State::Deep(_), b'"') => self.text = true,
            (State::Deep(depth), b'{' | b'[') => self.state = State::Deep(depth.saturating_add(1)),
            (State::Deep(1), b'}' | b']') => self.end(at + 1)?,
            (State::Deep(depth), b'}' | b']') => self.state = State::Deep(depth.saturating_sub(1)),
            (State::Deep(_), _) => {}
        }
        Ok(())
    }

    fn end(&mut self, end: u64) -> io::Result<()> {
        let length = end - self.start;
        if length > LARGEST {
            return Err(io::Error::other(format!("an element of more than {LARGEST} bytes")));
        }
        self.places.push((self.start, length as u32));
        self.state = State::Between;
        Ok(())
    }
}
