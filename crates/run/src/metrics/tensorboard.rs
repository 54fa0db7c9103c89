//! TensorBoard's event files, written by hand: scalars, images and text.
//!
//! An event file is a row of records (a length and a payload, each with a checksum), and each payload is an `Event`
//! message of `tensorflow/core/util/event.proto`. The messages in use are few and fixed, so they are written field by
//! field here. `tensorboard_fixture/verify.py` has TensorBoard's own reader confirm the bytes that the tests expect.

mod protobuf;
mod record;

use std::fs::{File, OpenOptions};
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use protobuf::Message;

use crate::error::{Context as _, Result, refuse};

/// An image in the form that TensorBoard takes it.
#[derive(Debug, Clone, Copy)]
pub struct Image<'a> {
    /// A whole PNG file.
    pub png: &'a [u8],
    /// In pixels.
    pub width: u32,
    /// In pixels.
    pub height: u32,
    /// 1 is grey, 3 is RGB, 4 is RGBA.
    pub channels: u32,
}

/// An event file that grows.
#[derive(Debug)]
pub struct EventFile {
    path: PathBuf,
    file: File,
    clock: fn() -> f64,
}

impl EventFile {
    /// Starts a new event file in `folder`.
    ///
    /// A run that resumes starts another file beside the earlier ones; `resumed_at`, the steps it had done, tells
    /// TensorBoard to forget what they say of later steps.
    ///
    /// # Errors
    /// The folder cannot be written.
    pub fn create(folder: &Path, resumed_at: Option<u64>) -> Result<Self> {
        Self::with_clock(folder, resumed_at, seconds_since_1970)
    }

    fn with_clock(folder: &Path, resumed_at: Option<u64>, clock: fn() -> f64) -> Result<Self> {
        let (path, file) = new_file(folder, clock())?;
        let mut events = Self { path, file, clock };
        events.append(0, |event| event.string(event::FILE_VERSION, "brain.Event:2"))?;
        if let Some(step) = resumed_at {
            let started = Message::new().varint(session_log::STATUS, session_log::START);
            events.append(step.saturating_add(1), |event| event.message(event::SESSION_LOG, &started))?;
        }
        Ok(events)
    }

    /// One point of the curve `tag`. Values beyond f32 are recorded as infinities.
    ///
    /// # Errors
    /// The disk is full.
    pub fn scalar(&mut self, tag: &str, step: u64, value: f64) -> Result<()> {
        #[expect(clippy::cast_possible_truncation, reason = "the format holds f32")]
        let value = Message::new().string(value::TAG, tag).float(value::SIMPLE_VALUE, value as f32);
        self.summary(step, &value)
    }

    /// An image under `tag`.
    ///
    /// # Errors
    /// The disk is full.
    pub fn image(&mut self, tag: &str, step: u64, image: Image<'_>) -> Result<()> {
        let image = Message::new()
            .varint(image::HEIGHT, image.height.into())
            .varint(image::WIDTH, image.width.into())
            .varint(image::COLORSPACE, image.channels.into())
            .bytes(image::ENCODED, image.png);
        self.summary(step, &Message::new().string(value::TAG, tag).message(value::IMAGE, &image))
    }

    /// A text under `tag`, which TensorBoard shows as Markdown.
    ///
    /// # Errors
    /// The disk is full.
    pub fn text(&mut self, tag: &str, step: u64, text: &str) -> Result<()> {
        let plugin = Message::new().string(plugin_data::NAME, "text");
        let metadata = Message::new().message(metadata::PLUGIN_DATA, &plugin);
        // A tensor of no dimensions that holds one string.
        let tensor = Message::new()
            .varint(tensor::DTYPE, tensor::DT_STRING)
            .message(tensor::SHAPE, &Message::new())
            .string(tensor::STRING_VAL, text);
        let value =
            Message::new().string(value::TAG, tag).message(value::TENSOR, &tensor).message(value::METADATA, &metadata);
        self.summary(step, &value)
    }

    fn summary(&mut self, step: u64, value: &Message) -> Result<()> {
        let summary = Message::new().message(summary::VALUE, value);
        self.append(step, |event| event.message(event::SUMMARY, &summary))
    }

    fn append(&mut self, step: u64, what: impl FnOnce(Message) -> Message) -> Result<()> {
        let event = Message::new().double(event::WALL_TIME, (self.clock)()).varint(event::STEP, step);
        let record = record::framed(what(event).as_bytes());
        // The whole record in one unbuffered write, so that a reader sees it at once.
        self.file.write_all(&record).with_context(|| format!("cannot write {}", self.path.display()))
    }
}

/// Makes a file whose name TensorBoard knows as an event file's and that no earlier start of the run has taken.
fn new_file(folder: &Path, now: f64) -> Result<(PathBuf, File)> {
    // TensorBoard reads a folder's event files in the order of their names, so the time comes first.
    for attempt in 0..u32::MAX {
        let path = folder.join(format!("events.out.tfevents.{now:010.0}.interfuse.{attempt}"));
        match OpenOptions::new().write(true).create_new(true).open(&path) {
            Err(error) if error.kind() == std::io::ErrorKind::AlreadyExists => {}
            file => {
                let file = file.with_context(|| format!("cannot write {}", path.display()))?;
                return Ok((path, file));
            }
        }
    }
    refuse!("no free name for an event file in {}", folder.display())
}

fn seconds_since_1970() -> f64 {
    SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or(Duration::ZERO).as_secs_f64()
}

// The field numbers, as the .proto files of TensorFlow give them.

/// `Event`
mod event {
    pub(super) const WALL_TIME: u32 = 1;
    pub(super) const STEP: u32 = 2;
    pub(super) const FILE_VERSION: u32 = 3;
    pub(super) const SUMMARY: u32 = 5;
    pub(super) const SESSION_LOG: u32 = 7;
}

/// `SessionLog`
mod session_log {
    pub(super) const STATUS: u32 = 1;
    pub(super) const START: u64 = 1;
}

/// `Summary`
mod summary {
    pub(super) const VALUE: u32 = 1;
}

/// `Summary.Value`
mod value {
    pub(super) const TAG: u32 = 1;
    pub(super) const SIMPLE_VALUE: u32 = 2;
    pub(super) const IMAGE: u32 = 4;
    pub(super) const TENSOR: u32 = 8;
    pub(super) const METADATA: u32 = 9;
}

/// `Summary.Image`
mod image {
    pub(super) const HEIGHT: u32 = 1;
    pub(super) const WIDTH: u32 = 2;
    pub(super) const COLORSPACE: u32 = 3;
    pub(super) const ENCODED: u32 = 4;
}

/// `SummaryMetadata`
mod metadata {
    pub(super) const PLUGIN_DATA: u32 = 1;
}

/// `SummaryMetadata.PluginData`
mod plugin_data {
    pub(super) const NAME: u32 = 1;
}

/// `TensorProto`
mod tensor {
    pub(super) const DTYPE: u32 = 1;
    pub(super) const DT_STRING: u64 = 7;
    pub(super) const SHAPE: u32 = 2;
    pub(super) const STRING_VAL: u32 = 8;
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The smallest grey PNG: one black pixel.
    const PNG: &[u8] = b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR\0\0\0\x01\0\0\0\x01\x08\0\0\0\0\x3a\x7e\x9b\x55\
        \0\0\0\nIDAT\x78\x9c\x63\x60\0\0\0\x02\0\x01\x48\xaf\xa4\x71\0\0\0\0IEND\xae\x42\x60\x82";

    /// Writes one event of each kind, as a run that resumed after 1 step.
    fn one_of_each(folder: &Path) -> Vec<u8> {
        let mut events = EventFile::with_clock(folder, Some(1), || 1_700_000_000.5).unwrap();
        events.scalar("loss/total", 300, 0.125).unwrap();
        let image = Image { png: PNG, width: 1, height: 1, channels: 1 };
        events.image("previews", 300, image).unwrap();
        events.text("caption", 301, "a red circle").unwrap();
        std::fs::read(&events.path).unwrap()
    }

    #[test]
    fn the_bytes_are_those_that_tensorboard_confirmed() {
        let folder = tempfile::tempdir().unwrap();
        let written = one_of_each(folder.path());
        // INTERFUSE_WRITE_FIXTURE=1 renews the fixture, which verify.py must then confirm.
        if std::env::var_os("INTERFUSE_WRITE_FIXTURE").is_some() {
            let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/metrics/tensorboard_fixture/events.bin");
            std::fs::write(path, &written).unwrap();
        }
        assert_eq!(written, include_bytes!("tensorboard_fixture/events.bin"));
    }

    #[test]
    fn a_scalar_is_these_bytes() {
        let event = Message::new().double(event::WALL_TIME, 1.0).varint(event::STEP, 300).message(
            event::SUMMARY,
            &Message::new()
                .message(summary::VALUE, &Message::new().string(value::TAG, "a").float(value::SIMPLE_VALUE, 0.5)),
        );
        #[rustfmt::skip]
        let expected = [
            0x09, 0, 0, 0, 0, 0, 0, 0xf0, 0x3f, // wall_time = 1.0
            0x10, 0xac, 0x02,                   // step = 300
            0x2a, 10, 0x0a, 8,                  // summary { value {
            0x0a, 1, b'a',                      //   tag = "a"
            0x15, 0, 0, 0, 0x3f,                //   simple_value = 0.5
        ];
        assert_eq!(event.as_bytes(), expected);
    }

    #[test]
    fn a_second_start_in_the_same_second_takes_another_name() {
        let folder = tempfile::tempdir().unwrap();
        let first = EventFile::with_clock(folder.path(), None, || 5.0).unwrap();
        let second = EventFile::with_clock(folder.path(), None, || 5.0).unwrap();
        assert!(first.path < second.path);
        assert!(first.path.ends_with("events.out.tfevents.0000000005.interfuse.0"));
    }
}
