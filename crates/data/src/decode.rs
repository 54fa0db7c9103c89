//! From the bytes of a JPEG, PNG or WebP file to pixels the right way up.

use std::io::Cursor;

use image::error::{LimitError, LimitErrorKind};
use image::{DynamicImage, ImageDecoder, ImageError, ImageReader, ImageResult};

/// The most bytes that a decoded image may take: 512 MiB, 179 million RGB pixels.
const LARGEST_DECODED: u64 = 512 << 20;

/// Decodes an image and turns it the way that its EXIF orientation says.
///
/// The format is read from the bytes: images under a wrong extension are common.
pub(crate) fn decode_upright(bytes: &[u8]) -> ImageResult<DynamicImage> {
    let mut decoder = ImageReader::new(Cursor::new(bytes)).with_guessed_format()?.into_decoder()?;
    // A header is a claim: without a limit, thirty bytes could ask for all memory there is.
    if decoder.total_bytes() > LARGEST_DECODED {
        return Err(ImageError::Limits(LimitError::from_kind(LimitErrorKind::InsufficientMemory)));
    }
    let orientation = decoder.orientation()?;
    let mut decoded = DynamicImage::from_decoder(decoder)?;
    decoded.apply_orientation(orientation);
    Ok(decoded)
}

/// Height and width in pixels of an encoded image as it is seen, from its header alone.
pub(crate) fn encoded_size(bytes: &[u8]) -> ImageResult<[usize; 2]> {
    let mut decoder = ImageReader::new(Cursor::new(bytes)).with_guessed_format()?.into_decoder()?;
    let (width, height) = decoder.dimensions();
    // Of the eight EXIF orientations, numbers 5 to 8 lie on their side.
    let on_its_side = decoder.orientation()?.to_exif() >= 5;
    let size = if on_its_side { [width, height] } else { [height, width] };
    Ok(size.map(|side| side as usize))
}

#[cfg(test)]
mod tests {
    use image::{ExtendedColorType, ImageEncoder, codecs::png::PngEncoder};

    use super::*;

    /// EXIF metadata of one entry: the orientation.
    fn exif(orientation: u8) -> Vec<u8> {
        let mut exif = b"II\x2a\0\x08\0\0\0\x01\0\x12\x01\x03\0\x01\0\0\0".to_vec();
        exif.extend([orientation, 0, 0, 0, 0, 0, 0, 0]);
        exif
    }

    /// A PNG of three pixels in a row: 10, 20, 30.
    fn row(orientation: u8) -> Vec<u8> {
        let mut bytes = Vec::new();
        let mut encoder = PngEncoder::new(&mut bytes);
        encoder.set_exif_metadata(exif(orientation)).unwrap();
        encoder.write_image(&[10, 20, 30], 3, 1, ExtendedColorType::L8).unwrap();
        bytes
    }

    #[test]
    fn images_are_turned_upright() {
        for (orientation, size, pixels) in
            [(1, [1, 3], [10, 20, 30]), (3, [1, 3], [30, 20, 10]), (6, [3, 1], [10, 20, 30])]
        {
            let bytes = row(orientation);
            let decoded = decode_upright(&bytes).unwrap();
            assert_eq!([decoded.height(), decoded.width()], size.map(|side| side as u32));
            assert_eq!(decoded.to_luma8().into_raw(), pixels);
            assert_eq!(encoded_size(&bytes).unwrap(), size);
        }
    }

    #[test]
    fn a_header_that_asks_for_too_much_is_refused() {
        let mut bytes = row(1);
        // Width and height are the first eight bytes of the header chunk, at byte 16.
        bytes[16..24].copy_from_slice(&[0, 1, 0, 0, 0, 1, 0, 0]);
        // The chunk's checksum is wrong now, which a decoder may notice first: either is an error.
        assert!(decode_upright(&bytes).is_err());
    }
}
