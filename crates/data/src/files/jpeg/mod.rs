//! JPEG files to pixels, level for level as libjpeg-turbo and so Pillow decode them.
//!
//! Published distances rest on libjpeg: its integer IDCT, and its triangle filter for halved colour, from which other
//! decoders differ by up to four levels. A file that ends too early is an error here, not an image with a grey rest.
//! Baseline and progressive Huffman files of 8 bits are read (ITU-T T.81); arithmetic coding, 12 bits and lossless files
//! are refused by name.

mod bits;
mod colour;
mod idct;
mod scan;

use image::DynamicImage;

use self::bits::HuffmanTable;
use self::scan::Scan;

/// Where coefficient number k of a file lies in a block.
const ZIGZAG: [usize; 64] = [
    0, 1, 8, 16, 9, 2, 3, 10, 17, 24, 32, 25, 18, 11, 4, 5, 12, 19, 26, 33, 40, 48, 41, 34, 27, 20, 13, 6, 7, 14, 21,
    28, 35, 42, 49, 56, 57, 50, 43, 36, 29, 22, 15, 23, 30, 37, 44, 51, 58, 59, 52, 45, 38, 31, 39, 46, 53, 60, 61, 54,
    47, 55, 62, 63,
];

/// Why a file is no image.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(super) enum JpegError {
    /// The file ends before its image does.
    #[error("the image file is truncated")]
    Truncated,
    /// The bytes say what no JPEG can.
    #[error("{0}")]
    Malformed(&'static str),
    /// A kind of JPEG that is not read.
    #[error("expected a baseline or progressive JPEG of 8 bits, found {0}")]
    Unsupported(&'static str),
}

type Result<T> = std::result::Result<T, JpegError>;

/// One plane of the image.
pub(super) struct Component {
    id: u8,
    /// Sampling factors, horizontal and vertical, 1 to 4.
    sampling: [usize; 2],
    /// Which quantization table.
    quantization: usize,
    /// Of the first scan that has this component, in the order of a block.
    table: Option<[u16; 64]>,
    /// Samples that the image has in this plane.
    width: usize,
    height: usize,
    /// Blocks of the plane, padded to whole MCUs.
    blocks: [usize; 2],
    /// Samples, in rows of `8 · blocks[0]`.
    plane: Vec<u8>,
    /// Coefficients of all blocks; only in progressive files, where scans refine one another.
    coefficients: Vec<[i16; 64]>,
}

/// What the frame header says.
struct Frame {
    width: usize,
    height: usize,
    is_progressive: bool,
    components: Vec<Component>,
    /// The largest sampling factors.
    most: [usize; 2],
}

/// What a decoder knows of the file so far.
#[derive(Default)]
struct Decoder {
    quantization: [Option<[u16; 64]>; 4],
    dc_tables: [Option<HuffmanTable>; 4],
    ac_tables: [Option<HuffmanTable>; 4],
    restart_interval: usize,
    is_jfif: bool,
    /// The colour transform that an Adobe marker names.
    adobe: Option<u8>,
    frame: Option<Frame>,
}

/// Decodes a whole file to grey or RGB, without turning it the way that EXIF says.
///
/// # Errors
///
/// When the file is truncated, malformed, or of a kind that is not read.
pub(super) fn decode(bytes: &[u8]) -> Result<DynamicImage> {
    let mut decoder = Decoder::default();
    let mut place = 2;
    let mut scans = 0;
    loop {
        let marker = next_marker(bytes, &mut place)?;
        match marker {
            0xd9 => break,
            // Markers without a segment.
            0x01 | 0xd0..=0xd8 => continue,
            _ => {}
        }
        let segment = segment(bytes, &mut place)?;
        match marker {
            0xda => {
                place = decoder.scan(bytes, segment, place)?;
                scans += 1;
            }
            _ => decoder.header(marker, segment)?,
        }
    }
    let frame = decoder.frame.ok_or(JpegError::Malformed("expected a frame header, found none"))?;
    if scans == 0 {
        return Err(JpegError::Truncated);
    }
    let Frame { width, height, is_progressive, mut components, most } = frame;
    for component in &mut components {
        let table = component.table.ok_or(JpegError::Malformed("expected every component in a scan"))?;
        if is_progressive {
            component.invert(&table);
        }
    }
    colour::image(&components, [width, height], most, (decoder.is_jfif, decoder.adobe))
}

/// The next marker, past fill bytes and what does not belong to anything; `place` comes to lie behind it.
fn next_marker(bytes: &[u8], place: &mut usize) -> Result<u8> {
    loop {
        let found = bytes.get(*place).ok_or(JpegError::Truncated)?;
        let next = bytes.get(*place + 1).ok_or(JpegError::Truncated)?;
        *place += 1;
        if *found == 0xff && !matches!(*next, 0x00 | 0xff) {
            *place += 1;
            return Ok(*next);
        }
    }
}

/// The content of a segment, whose length comes first.
fn segment<'a>(bytes: &'a [u8], place: &mut usize) -> Result<&'a [u8]> {
    let length = bytes.get(*place..*place + 2).ok_or(JpegError::Truncated)?;
    let length = usize::from(u16::from_be_bytes([length[0], length[1]]));
    if length < 2 {
        return Err(JpegError::Malformed("expected a segment of at least 2 bytes"));
    }
    let content = bytes.get(*place + 2..*place + length).ok_or(JpegError::Truncated)?;
    *place += length;
    Ok(content)
}

impl Decoder {
    /// A segment that is no scan.
    fn header(&mut self, marker: u8, segment: &[u8]) -> Result<()> {
        match marker {
            0xc0..=0xc2 => {
                if self.frame.is_some() {
                    return Err(JpegError::Malformed("expected one frame header, found two"));
                }
                self.frame = Some(Frame::new(segment, marker == 0xc2)?);
            }
            0xc3 | 0xc5..=0xc7 => return Err(JpegError::Unsupported("a lossless or hierarchical one")),
            0xc9..=0xcb | 0xcd..=0xcf => return Err(JpegError::Unsupported("arithmetic coding")),
            0xc4 => self.huffman(segment)?,
            0xdb => self.quantization(segment)?,
            0xdd => {
                let [high, low, ..] = segment else { return Err(short()) };
                self.restart_interval = usize::from(u16::from_be_bytes([*high, *low]));
            }
            0xe0 => self.is_jfif |= segment.starts_with(b"JFIF\0"),
            0xee if segment.starts_with(b"Adobe") => self.adobe = segment.get(11).copied(),
            _ => {}
        }
        Ok(())
    }

    fn quantization(&mut self, mut segment: &[u8]) -> Result<()> {
        while let [head, rest @ ..] = segment {
            let (bytes, slot) = (1 + usize::from(head >> 4 != 0), usize::from(head & 15));
            let values = rest.get(..64 * bytes).ok_or_else(short)?;
            let mut table = [0; 64];
            for (value, &at) in values.chunks_exact(bytes).zip(&ZIGZAG) {
                table[at] = value.iter().fold(0, |sum, &byte| (sum << 8) | u16::from(byte));
            }
            *self.quantization.get_mut(slot).ok_or(JpegError::Malformed("expected quantization table 0 to 3"))? =
                Some(table);
            segment = &rest[64 * bytes..];
        }
        Ok(())
    }

    fn huffman(&mut self, mut segment: &[u8]) -> Result<()> {
        while let [head, rest @ ..] = segment {
            let counts = rest.get(..16).ok_or_else(short)?;
            let symbols = counts.iter().map(|&count| usize::from(count)).sum::<usize>();
            let symbols = rest.get(16..16 + symbols).ok_or_else(short)?;
            let tables = if head >> 4 == 0 { &mut self.dc_tables } else { &mut self.ac_tables };
            let slot = tables.get_mut(usize::from(head & 15));
            let slot = slot.ok_or(JpegError::Malformed("expected Huffman table 0 to 3"))?;
            *slot = Some(HuffmanTable::new(counts, symbols)?);
            segment = &rest[16 + symbols.len()..];
        }
        Ok(())
    }

    /// Decodes a scan whose entropy-coded bytes begin at `place`; gives the place behind them.
    fn scan(&mut self, bytes: &[u8], segment: &[u8], place: usize) -> Result<usize> {
        let frame = self.frame.as_mut().ok_or(JpegError::Malformed("expected a frame header before a scan"))?;
        let mut scan = Scan::parse(segment, frame)?;
        for &(index, ..) in &scan.components {
            let component = &mut frame.components[index];
            let table = self.quantization[component.quantization];
            component.table = component.table.or(table);
            if component.table.is_none() {
                return Err(JpegError::Malformed("expected a quantization table before the scan that needs it"));
            }
        }
        scan.restart_interval = self.restart_interval;
        scan.decode(frame, [&self.dc_tables, &self.ac_tables], &bytes[place..]).map(|used| place + used)
    }
}

fn short() -> JpegError {
    JpegError::Malformed("expected a longer segment")
}

impl Frame {
    fn new(segment: &[u8], is_progressive: bool) -> Result<Self> {
        let [precision, h1, h0, w1, w0, count, rest @ ..] = segment else { return Err(short()) };
        if *precision != 8 {
            return Err(JpegError::Unsupported("more than 8 bits a level"));
        }
        let [width, height] = [[*w1, *w0], [*h1, *h0]].map(|bytes| usize::from(u16::from_be_bytes(bytes)));
        let count = usize::from(*count);
        if width * height == 0 {
            return Err(JpegError::Unsupported("no width or no height in the frame header"));
        }
        if ![1, 3, 4].contains(&count) {
            return Err(JpegError::Unsupported("a number of components that is not 1, 3 or 4"));
        }
        let described = rest.get(..3 * count).ok_or_else(short)?;
        let mut most = [1, 1];
        for each in described.chunks_exact(3) {
            most = [most[0].max(usize::from(each[1] >> 4)), most[1].max(usize::from(each[1] & 15))];
        }
        let mcus = [width.div_ceil(8 * most[0]), height.div_ceil(8 * most[1])];
        let mut components = vec![];
        for each in described.chunks_exact(3) {
            let sampling = [usize::from(each[1] >> 4), usize::from(each[1] & 15)];
            let quantization = usize::from(each[2]);
            if sampling.iter().any(|factor| !(1..=4).contains(factor)) || quantization > 3 {
                return Err(JpegError::Malformed(
                    "expected sampling factors from 1 to 4 and quantization table 0 to 3",
                ));
            }
            let blocks = [mcus[0] * sampling[0], mcus[1] * sampling[1]];
            components.push(Component {
                id: each[0],
                sampling,
                quantization,
                table: None,
                width: (width * sampling[0]).div_ceil(most[0]),
                height: (height * sampling[1]).div_ceil(most[1]),
                blocks,
                plane: vec![0; 64 * blocks[0] * blocks[1]],
                coefficients: vec![[0; 64]; if is_progressive { blocks[0] * blocks[1] } else { 0 }],
            });
        }
        Ok(Self { width, height, is_progressive, components, most })
    }

    /// MCUs of a scan with several components, across and down.
    fn mcus(&self) -> [usize; 2] {
        [self.width.div_ceil(8 * self.most[0]), self.height.div_ceil(8 * self.most[1])]
    }
}

impl Component {
    /// Samples of the block at `(column, row)`.
    fn put(&mut self, [column, row]: [usize; 2], coefficients: &[i16; 64], table: &[u16; 64]) {
        let stride = 8 * self.blocks[0];
        let start = 8 * row * stride + 8 * column;
        idct::block(coefficients, table, &mut self.plane[start..], stride);
    }

    /// Samples of all coefficients.
    fn invert(&mut self, table: &[u16; 64]) {
        let coefficients = std::mem::take(&mut self.coefficients);
        for (index, block) in coefficients.iter().enumerate() {
            self.put([index % self.blocks[0], index / self.blocks[0]], block, table);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;

    fn fixture() -> Vec<(String, Vec<u8>)> {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/files/jpeg/fixture");
        let mut files: Vec<_> = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
        files.retain(|path| path.extension().is_some_and(|extension| extension == "jpg"));
        files.sort();
        let name = |path: &Path| path.file_stem().unwrap().to_string_lossy().into_owned();
        files.iter().map(|path| (name(path), std::fs::read(path).unwrap())).collect()
    }

    /// Written by `fixture/generate.py`: Pillow's own pixels of each file, as PNG.
    fn by_pillow(name: &str) -> DynamicImage {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/files/jpeg/fixture");
        image::open(folder.join(format!("{name}.png"))).unwrap()
    }

    #[test]
    fn every_level_is_that_of_pillow() {
        let files = fixture();
        assert!(files.len() >= 16);
        for (name, bytes) in files {
            let ours = decode(&bytes).unwrap_or_else(|error| panic!("{name}: {error}")).into_rgb8();
            assert_eq!(ours, by_pillow(&name).into_rgb8(), "{name}");
        }
    }

    #[test]
    fn a_file_cut_anywhere_is_truncated() {
        for (name, bytes) in fixture() {
            for end in (2..bytes.len()).step_by(7).chain([bytes.len() - 2, bytes.len() - 1]) {
                assert!(decode(&bytes[..end]).is_err(), "{name} cut after {end} bytes");
            }
            assert_eq!(decode(&bytes[..bytes.len() - 2]).err(), Some(JpegError::Truncated), "{name}");
            // What lies behind the end is nobody's business.
            assert!(decode(&[&bytes[..], b"more"].concat()).is_ok());
        }
    }

    #[test]
    fn wrong_bytes_are_an_error_or_an_image_but_no_panic() {
        for (_, bytes) in fixture() {
            for place in 2..bytes.len() {
                for value in [0x00, 0xff, bytes[place] ^ 0x55] {
                    let mut changed = bytes.clone();
                    changed[place] = value;
                    // A larger size costs memory, not more tests.
                    let is_size =
                        bytes[..place].windows(2).rev().take(10).any(|pair| matches!(pair, [0xff, 0xc0..=0xc2]));
                    if !is_size && (place % 5 == 0 || place < 700) {
                        let _ = decode(&changed);
                    }
                }
            }
        }
    }
}
