//! One example of any layout: images as the bytes of their files, and texts, in reading order.

use std::ops::Range;
use std::path::Path;

use serde_json::{Map, Value as Json};

/// What one row of a shard gives.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Example {
    /// A stable name: the key of a tar's members, the value of the key column, or `file#row`.
    pub key: String,
    /// Images and texts in reading order.
    pub parts: Vec<Part>,
    /// Captions of a captioned image, of which a document takes one; none in the other layouts. None of them is blank.
    pub captions: Vec<String>,
    /// The class, where there is one.
    pub label: Option<i64>,
    /// The turns of a conversation, in order; none in the other layouts.
    pub turns: Vec<Turn>,
    /// The fields that were asked for by name, where the record has them.
    pub fields: Map<String, Json>,
    /// Images of an interleaved document that are missing and were left out.
    pub images_left_out: u32,
}

impl Example {
    /// How many images it has.
    pub fn images(&self) -> usize {
        self.parts.iter().filter(|part| matches!(part, Part::Image(_))).count()
    }

    /// Bytes of its images and texts.
    pub fn bytes(&self) -> usize {
        let parts = self.parts.iter().map(|part| match part {
            Part::Text(text) => text.len(),
            Part::Image(image) => image.bytes.len(),
        });
        parts.chain(self.captions.iter().map(String::len)).sum()
    }
}

/// A text or an image of an example.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Part {
    /// A text that is not blank.
    Text(String),
    /// An image's file.
    Image(EncodedImage),
}

/// Who says which parts of a conversation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Turn {
    /// The speaker, as the file names it: `human`, `gpt`, `system`.
    pub from: String,
    /// Which of the example's parts.
    pub parts: Range<usize>,
}

/// The bytes of an image's file; never empty, never decoded here.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EncodedImage {
    /// The whole file.
    pub bytes: Vec<u8>,
    /// The format that the first bytes show, or where they show none the extension of the file's name, in lower case: `jpg`,
    /// `png`, `webp`, `gif`, `bmp`, `tiff`, `avif`, `heic`, `jxl`, `pnm`, or whatever the name ended in; empty where nothing tells.
    pub format: String,
}

impl EncodedImage {
    /// Of bytes under a name, which may be empty; none where there are no bytes.
    pub fn new(bytes: Vec<u8>, name: &str) -> Option<Self> {
        if bytes.is_empty() {
            return None;
        }
        let format = sniffed(&bytes).map_or_else(|| extension(name), String::from);
        Some(Self { bytes, format })
    }
}

/// File extensions of images, in lower case.
const IMAGES: [&str; 18] = [
    "jpg", "jpeg", "jpe", "jfif", "png", "webp", "gif", "bmp", "tif", "tiff", "pgm", "ppm", "pnm", "pbm", "avif",
    "heic", "heif", "jxl",
];

/// Whether a name ends like an image.
pub(crate) fn is_image(name: &str) -> bool {
    IMAGES.contains(&extension(name).as_str())
}

/// What stands behind the last dot, in lower case; a name without a dot is taken whole, as the suffix of a tar's member is.
fn extension(name: &str) -> String {
    let extension = Path::new(name).extension().and_then(|extension| extension.to_str());
    extension.unwrap_or(if name.contains(['/', '.']) { "" } else { name }).to_lowercase()
}

/// The format that the first bytes of a file show.
fn sniffed(bytes: &[u8]) -> Option<&'static str> {
    let brand = bytes.get(4..12).unwrap_or_default();
    match bytes {
        [0xff, 0xd8, 0xff, ..] => Some("jpg"),
        [0x89, b'P', b'N', b'G', ..] => Some("png"),
        [b'G', b'I', b'F', b'8', ..] => Some("gif"),
        [b'B', b'M', ..] => Some("bmp"),
        [b'I', b'I', 42, 0, ..] | [b'M', b'M', 0, 42, ..] => Some("tiff"),
        [b'R', b'I', b'F', b'F', _, _, _, _, b'W', b'E', b'B', b'P', ..] => Some("webp"),
        [0xff, 0x0a, ..] | [0, 0, 0, 12, b'J', b'X', b'L', ..] => Some("jxl"),
        [b'P', b'1'..=b'7', b' ' | b'\n' | b'\r' | b'\t', ..] => Some("pnm"),
        _ if brand == b"ftypavif" => Some("avif"),
        _ if brand == b"ftypheic" || brand == b"ftypheix" || brand == b"ftypmif1" => Some("heic"),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_bytes_decide_before_the_name() {
        let format = |bytes: &[u8], name: &str| EncodedImage::new(bytes.to_vec(), name).map(|image| image.format);
        assert_eq!(format(b"\x89PNG\r\n", "a.jpg").as_deref(), Some("png"));
        assert_eq!(format(b"RIFF\0\0\0\0WEBPVP8 ", "").as_deref(), Some("webp"));
        assert_eq!(format(b"\0\0\0\x1cftypavif", "x").as_deref(), Some("avif"));
        assert_eq!(format(b"????", "x/a.b.JPEG").as_deref(), Some("jpeg"));
        assert_eq!(format(b"????", "jpg").as_deref(), Some("jpg"));
        assert_eq!(format(b"????", "").as_deref(), Some(""));
        assert_eq!(format(b"", "a.jpg"), None);
    }
}
