//! From the bytes of an image file to pixels of 8 bits.
//!
//! Formats are read from the bytes: images under a wrong extension are common. JPEG files are decoded as by libjpeg, see
//! `jpeg/`; of levels of 16 bits the upper byte is kept, as Pillow does of colour. (Of grey images of 16 bits Pillow's
//! `convert("RGB")` makes 255 of every level above 255, which leaves nothing to learn from or to measure.)

use std::io::Cursor;

use image::error::{
    DecodingError, ImageFormatHint, LimitError, LimitErrorKind, UnsupportedError, UnsupportedErrorKind,
};
use image::{
    ColorType, DynamicImage, ExtendedColorType, ImageBuffer, ImageDecoder, ImageError, ImageFormat, ImageReader,
    ImageResult, Pixel,
};

use super::jpeg;

/// The most bytes that a decoded image may take: 512 MiB, 179 million RGB pixels.
const LARGEST_DECODED: u64 = 512 << 20;

/// An image file, decoded.
pub struct Decoded {
    /// 8 bits a level, with its own colours and transparency, as it lies in the file.
    pub image: DynamicImage,
    /// What kind of file it is.
    pub format: ImageFormat,
    /// Whether it is a grey image of 16 bits a level, whose upper bytes were kept.
    pub is_deep_grey: bool,
    orientation: image::metadata::Orientation,
}

/// Decodes an image as it lies in the file.
///
/// # Errors
///
/// When the bytes are not a complete image of a kind that is read, or it would take more than 512 MiB.
pub fn decode(bytes: &[u8]) -> ImageResult<Decoded> {
    let format = image::guess_format(bytes)?;
    let mut decoder = ImageReader::with_format(Cursor::new(bytes), format).into_decoder()?;
    // A header is a claim: without a limit, thirty bytes could ask for all memory there is.
    if decoder.total_bytes() > LARGEST_DECODED {
        return Err(ImageError::Limits(LimitError::from_kind(LimitErrorKind::InsufficientMemory)));
    }
    let orientation = decoder.orientation()?;
    let is_deep_grey = matches!(decoder.color_type(), ColorType::L16 | ColorType::La16);
    let image = match format {
        ImageFormat::Jpeg => jpeg::decode(bytes)
            .map_err(|error| ImageError::Decoding(DecodingError::new(ImageFormatHint::Exact(format), error)))?,
        _ => upper_bytes(DynamicImage::from_decoder(decoder)?, format)?,
    };
    Ok(Decoded { image, format, is_deep_grey, orientation })
}

/// Decodes an image and turns it the way that its EXIF orientation says.
///
/// # Errors
///
/// As [`decode`].
pub fn decode_upright(bytes: &[u8]) -> ImageResult<DynamicImage> {
    let Decoded { mut image, orientation, .. } = decode(bytes)?;
    image.apply_orientation(orientation);
    Ok(image)
}

/// Levels of 16 bits without their lower bytes; levels that are no whole numbers are refused.
fn upper_bytes(image: DynamicImage, format: ImageFormat) -> ImageResult<DynamicImage> {
    fn upper<P, Q>(image: ImageBuffer<P, Vec<u16>>) -> ImageBuffer<Q, Vec<u8>>
    where
        P: Pixel<Subpixel = u16>,
        Q: Pixel<Subpixel = u8>,
    {
        let (width, height) = image.dimensions();
        let levels = image.into_raw().into_iter().map(|level| (level >> 8) as u8).collect();
        // As many levels as before, so the buffer cannot be too short.
        ImageBuffer::from_raw(width, height, levels).unwrap_or_else(|| ImageBuffer::new(0, 0))
    }
    Ok(match image {
        DynamicImage::ImageLuma16(image) => DynamicImage::ImageLuma8(upper(image)),
        DynamicImage::ImageLumaA16(image) => DynamicImage::ImageLumaA8(upper(image)),
        DynamicImage::ImageRgb16(image) => DynamicImage::ImageRgb8(upper(image)),
        DynamicImage::ImageRgba16(image) => DynamicImage::ImageRgba8(upper(image)),
        DynamicImage::ImageRgb32F(_) | DynamicImage::ImageRgba32F(_) => {
            let kind = UnsupportedErrorKind::Color(ExtendedColorType::from(image.color()));
            return Err(ImageError::Unsupported(UnsupportedError::from_format_and_kind(format.into(), kind)));
        }
        image => image,
    })
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
    fn of_16_bits_the_upper_byte_is_kept() {
        let levels: Vec<u16> = vec![0, 255, 256, 257, 0x80ff, 0xffff];
        let bytes: Vec<u8> = levels.iter().flat_map(|level| level.to_ne_bytes()).collect();
        for (width, colour) in [(2, ExtendedColorType::Rgb16), (6, ExtendedColorType::L16)] {
            let mut png = Vec::new();
            PngEncoder::new(&mut png).write_image(&bytes, width, 1, colour).unwrap();
            let decoded = decode(&png).unwrap();
            assert_eq!(decoded.image.as_bytes(), [0, 0, 1, 1, 0x80, 0xff]);
            assert_eq!(decoded.is_deep_grey, colour == ExtendedColorType::L16);
        }
    }

    #[test]
    fn a_file_cut_in_half_is_bad_whatever_its_kind() {
        let pixels = image::RgbImage::from_fn(64, 48, |x, y| image::Rgb([(x * 4) as u8, (y * 5) as u8, (x * y) as u8]));
        for format in [
            ImageFormat::Png,
            ImageFormat::Jpeg,
            ImageFormat::WebP,
            ImageFormat::Bmp,
            ImageFormat::Tiff,
            ImageFormat::Pnm,
        ] {
            let mut file = Cursor::new(vec![]);
            pixels.write_to(&mut file, format).unwrap();
            let bytes = file.into_inner();
            let whole = decode(&bytes).unwrap_or_else(|error| panic!("{format:?}: {error}"));
            assert_eq!((whole.image.width(), whole.image.height()), (64, 48));
            if format != ImageFormat::Jpeg {
                assert_eq!(whole.image.into_rgb8(), pixels, "{format:?}");
            }
            assert!(decode(&bytes[..bytes.len() / 2]).is_err(), "{format:?}");
        }
        let mut jpeg = Cursor::new(vec![]);
        pixels.write_to(&mut jpeg, ImageFormat::Jpeg).unwrap();
        let jpeg = jpeg.into_inner();
        let error = decode(&jpeg[..jpeg.len() - 2]).err().unwrap().to_string();
        assert!(error.contains("image file is truncated"), "{error}");
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
