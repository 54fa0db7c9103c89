//! The bytes of a file that may be compressed, as one stream with a position.
//!
//! A plain file is skipped by seeking. A compressed one is skipped by decompressing, and going back begins it again.

use std::fs::File;
use std::io::{self, BufRead, BufReader, ErrorKind, Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};

use flate2::bufread::MultiGzDecoder;
use ruzstd::decoding::StreamingDecoder;

use crate::error::ShardError;

/// Bytes read at a time: enough that neighbouring headers of small members come with one call of the system.
const BUFFER: usize = 64 << 10;
/// The same where one row is read by itself: what lies behind it would be read in vain.
const BUFFER_OF_A_ROW: usize = 8 << 10;

/// An open file, decompressed where its name says that it is compressed.
pub(super) struct ByteStream {
    path: PathBuf,
    reader: Reader,
    position: u64,
    /// The length of a plain file.
    length: Option<u64>,
}

enum Reader {
    Plain(BufReader<File>),
    Packed(BufReader<Box<dyn Read + Send>>),
}

impl ByteStream {
    /// Opens a file.
    pub(super) fn open(path: &Path) -> Result<Self, ShardError> {
        Self::buffered(path, BUFFER)
    }

    /// Opens a file of which little is read.
    pub(super) fn open_for_a_row(path: &Path) -> Result<Self, ShardError> {
        Self::buffered(path, BUFFER_OF_A_ROW)
    }

    fn buffered(path: &Path, buffer: usize) -> Result<Self, ShardError> {
        let file = |path: &Path| -> io::Result<(Reader, Option<u64>)> {
            let reader = reader(path, buffer)?;
            let length = match &reader {
                Reader::Plain(file) => Some(file.get_ref().metadata()?.len()),
                Reader::Packed(_) => None,
            };
            Ok((reader, length))
        };
        let (reader, length) = file(path).map_err(ShardError::file("open", path))?;
        Ok(Self { path: path.to_path_buf(), reader, position: 0, length })
    }

    /// Whether going back costs no more than going on.
    pub(super) fn seeks(&self) -> bool {
        self.length.is_some()
    }

    /// Bytes before the next that is read.
    pub(super) fn position(&self) -> u64 {
        self.position
    }

    /// Goes to a position.
    ///
    /// # Errors
    ///
    /// When the stream ends before it; it then stands at its end.
    pub(super) fn go_to(&mut self, position: u64) -> io::Result<()> {
        if let (Reader::Plain(file), Some(length)) = (&mut self.reader, self.length) {
            let reached = position.min(length);
            // Stays inside the buffer where it can.
            file.seek_relative(reached as i64 - self.position as i64)?;
            self.position = reached;
            return if reached == position { Ok(()) } else { Err(ErrorKind::UnexpectedEof.into()) };
        }
        if position < self.position {
            self.reader = reader(&self.path, BUFFER)?;
            self.position = 0;
        }
        while self.position < position {
            let there = self.fill_buf()?.len();
            if there == 0 {
                return Err(ErrorKind::UnexpectedEof.into());
            }
            self.consume(there.min((position - self.position) as usize));
        }
        Ok(())
    }
}

fn reader(path: &Path, buffer: usize) -> io::Result<Reader> {
    let name = path.file_name().unwrap_or_default().to_string_lossy().to_lowercase();
    let file = File::open(path)?;
    let packed = |packed: Box<dyn Read + Send>| Reader::Packed(BufReader::with_capacity(BUFFER, packed));
    let file = BufReader::with_capacity(buffer, file);
    Ok(if name.ends_with(".gz") || name.ends_with(".tgz") {
        packed(Box::new(MultiGzDecoder::new(file)))
    } else if name.ends_with(".zst") || name.ends_with(".zstd") {
        packed(Box::new(Frames { file: Some(file), frame: None }))
    } else {
        Reader::Plain(file)
    })
}

/// The frames of a Zstandard file, one after another: programs that compress on several cores write many.
struct Frames {
    /// The file between two frames.
    file: Option<BufReader<File>>,
    frame: Option<Box<StreamingDecoder<BufReader<File>, ruzstd::decoding::FrameDecoder>>>,
}

impl Read for Frames {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        loop {
            if let Some(frame) = &mut self.frame {
                let count = frame.read(buffer)?;
                if count > 0 || buffer.is_empty() {
                    return Ok(count);
                }
                self.file = self.frame.take().map(|frame| frame.into_inner());
            }
            let Some(mut file) = self.file.take() else {
                return Err(io::Error::other("a frame before this one is broken"));
            };
            if skip_frames_without_content(&mut file)? {
                self.file = Some(file);
                return Ok(0);
            }
            self.frame = Some(Box::new(StreamingDecoder::new(file).map_err(io::Error::other)?));
        }
    }
}

/// Passes over the frames that a decoder is to skip (RFC 8878, section 3.1.2); whether the file ends there.
fn skip_frames_without_content(file: &mut BufReader<File>) -> io::Result<bool> {
    loop {
        if file.fill_buf()?.is_empty() {
            return Ok(true);
        }
        let mut head = [0; 8];
        let start = file.stream_position()?;
        let is_short = matches!(file.read_exact(&mut head), Err(error) if error.kind() == ErrorKind::UnexpectedEof);
        let magic = u32::from_le_bytes([head[0], head[1], head[2], head[3]]);
        if is_short || magic & 0xffff_fff0 != 0x184d_2a50 {
            file.seek(SeekFrom::Start(start))?;
            return Ok(false);
        }
        file.seek_relative(i64::from(u32::from_le_bytes([head[4], head[5], head[6], head[7]])))?;
    }
}

impl Read for ByteStream {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = match &mut self.reader {
            Reader::Plain(file) => file.read(buffer),
            Reader::Packed(packed) => packed.read(buffer),
        }?;
        self.position += count as u64;
        Ok(count)
    }
}

impl BufRead for ByteStream {
    fn fill_buf(&mut self) -> io::Result<&[u8]> {
        match &mut self.reader {
            Reader::Plain(file) => file.fill_buf(),
            Reader::Packed(packed) => packed.fill_buf(),
        }
    }

    fn consume(&mut self, count: usize) {
        match &mut self.reader {
            Reader::Plain(file) => file.consume(count),
            Reader::Packed(packed) => packed.consume(count),
        }
        self.position += count as u64;
    }
}

impl Seek for ByteStream {
    fn seek(&mut self, to: SeekFrom) -> io::Result<u64> {
        let position = match to {
            SeekFrom::Start(position) => Some(position),
            SeekFrom::Current(by) => self.position.checked_add_signed(by),
            SeekFrom::End(by) => self.length.and_then(|length| length.checked_add_signed(by)),
        };
        self.go_to(position.ok_or(ErrorKind::InvalidInput)?)?;
        Ok(self.position)
    }
}
