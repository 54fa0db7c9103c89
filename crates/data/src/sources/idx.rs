//! IDX, the format of the MNIST family: a header of big-endian integers before unsigned bytes, inside
//! gzip.

use std::fs::File;
use std::io::{BufReader, Read};
use std::path::Path;

use flate2::read::GzDecoder;

use crate::error::DataError;

/// The magic number of unsigned bytes without its last byte, which is the number of dimensions.
const UNSIGNED_BYTES: u32 = 0x0800;

/// Reads a file of `RANK` dimensions: the size of each, and the bytes in row-major order.
///
/// # Errors
///
/// When the file cannot be read, is no gzipped IDX file of this rank, or holds fewer or more bytes
/// than its header says.
pub(super) fn read<const RANK: usize>(path: &Path) -> Result<([usize; RANK], Vec<u8>), DataError> {
    let file = File::open(path).map_err(DataError::io("read", path))?;
    let mut reader = GzDecoder::new(BufReader::new(file));
    let magic = UNSIGNED_BYTES + RANK as u32;
    let found = read_u32(&mut reader, path, "a magic number")?;
    if found != magic {
        let expected = format!("the magic number {magic:#010x}");
        return Err(malformed(path, expected, format!("{found:#010x}")));
    }
    let mut dims = [0; RANK];
    for dim in &mut dims {
        *dim = read_u32(&mut reader, path, "its dimensions")? as usize;
    }
    let size = dims.iter().try_fold(1_usize, |product, &dim| product.checked_mul(dim));
    let Some(size) = size else {
        return Err(malformed(path, "dimensions that fit into memory", format!("{dims:?}")));
    };
    let expected = || format!("{size} bytes after the header");
    let mut bytes = Vec::new();
    // One byte more than announced tells a longer file from a right one.
    reader
        .take((size as u64).saturating_add(1))
        .read_to_end(&mut bytes)
        .map_err(|error| malformed(path, expected(), error.to_string()))?;
    if bytes.len() != size {
        let more = bytes.len() > size;
        let found = if more { "more".into() } else { bytes.len().to_string() };
        return Err(malformed(path, expected(), found));
    }
    Ok((dims, bytes))
}

fn read_u32(reader: &mut impl Read, path: &Path, what: &str) -> Result<u32, DataError> {
    let mut bytes = [0; 4];
    reader
        .read_exact(&mut bytes)
        .map_err(|error| malformed(path, format!("a gzipped IDX file with {what}"), error.to_string()))?;
    Ok(u32::from_be_bytes(bytes))
}

fn malformed(path: &Path, expected: impl Into<String>, found: impl Into<String>) -> DataError {
    DataError::malformed(path.display().to_string(), expected, found)
}

#[cfg(test)]
pub(super) mod tests {
    use std::io::Write;

    use super::*;

    pub(in crate::sources) fn gzip(path: &Path, bytes: &[u8]) {
        let file = File::create(path).unwrap();
        let mut encoder = flate2::write::GzEncoder::new(file, flate2::Compression::fast());
        encoder.write_all(bytes).unwrap();
        encoder.finish().unwrap();
    }

    /// An IDX file before compression.
    pub(in crate::sources) fn encode(dims: &[u32], content: &[u8]) -> Vec<u8> {
        let magic = UNSIGNED_BYTES + dims.len() as u32;
        let header = [magic].into_iter().chain(dims.iter().copied()).flat_map(u32::to_be_bytes);
        header.chain(content.iter().copied()).collect()
    }

    #[test]
    fn dimensions_and_content_are_read() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.gz");
        gzip(&path, &encode(&[2, 1, 3], &[1, 2, 3, 4, 5, 6]));
        assert_eq!(read(&path).unwrap(), ([2, 1, 3], vec![1, 2, 3, 4, 5, 6]));
    }

    #[test]
    fn spoiled_files_are_errors_that_name_file_expected_and_found() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("spoiled.gz");
        let cases = [
            (encode(&[10], &[0; 10]), "0x00000803", "0x00000801"),
            (encode(&[10, 4, 4], &[0; 100]), "160 bytes", "100"),
            (encode(&[10, 4, 4], &[0; 161]), "160 bytes", "more"),
            (encode(&[u32::MAX; 3], &[]), "fit into memory", "4294967295"),
            (vec![0, 0], "magic number", "fill whole buffer"),
        ];
        for (content, expected, found) in cases {
            gzip(&path, &content);
            let message = read::<3>(&path).unwrap_err().to_string();
            for part in ["spoiled.gz", expected, found] {
                assert!(message.contains(part), "{part} is not in: {message}");
            }
        }
    }

    #[test]
    fn a_broken_gzip_stream_is_an_error() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("broken.gz");
        let content: Vec<u8> = (0..4000_u32).map(|n| (n * n % 251) as u8).collect();
        gzip(&path, &encode(&[10, 20, 20], &content));
        let whole = std::fs::read(&path).unwrap();
        for spoiled in [&whole[..whole.len() / 2], b"plain text", b""] {
            std::fs::write(&path, spoiled).unwrap();
            let message = read::<3>(&path).unwrap_err().to_string();
            assert!(message.contains("broken.gz"), "{message}");
        }
    }
}
