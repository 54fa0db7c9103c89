//! One file of an image.

use image::{AnimationDecoder, DynamicImage, ImageFormat};
use interfuse_data::files::decode as files;
use ndarray::Array3;

/// An image and what kind of file it was.
pub(super) struct Decoded {
    /// `[3, height, width]`
    pub(super) pixels: Array3<u8>,
    pub(super) is_jpeg: bool,
    pub(super) is_animated: bool,
    /// Grey of 16 bits a level, of which the upper byte was kept.
    pub(super) is_deep_grey: bool,
}

/// A whole file in memory to an image as Pillow's `convert("RGB")` has it, or the reason why not.
pub(super) fn decode(bytes: &[u8]) -> Result<Decoded, String> {
    let files::Decoded { image, format, is_deep_grey, .. } = files::decode(bytes).map_err(|error| error.to_string())?;
    let (is_jpeg, is_animated) = (format == ImageFormat::Jpeg, is_animated(bytes, format));
    Ok(Decoded { pixels: rgb(image), is_jpeg, is_animated, is_deep_grey })
}

/// `[3, height, width]`, with transparency dropped.
fn rgb(image: DynamicImage) -> Array3<u8> {
    let image = image.into_rgb8();
    let (width, height) = image.dimensions();
    let raw = image.into_raw();
    let (height, width) = (height as usize, width as usize);
    Array3::from_shape_fn((3, height, width), |(channel, y, x)| raw[(y * width + x) * 3 + channel])
}

fn is_animated(bytes: &[u8], format: ImageFormat) -> bool {
    let bytes = std::io::Cursor::new(bytes);
    match format {
        ImageFormat::WebP => {
            let decoder = image::codecs::webp::WebPDecoder::new(bytes);
            decoder.is_ok_and(|decoder| decoder.has_animation() && decoder.into_frames().nth(1).is_some())
        }
        ImageFormat::Png => {
            let decoder = image::codecs::png::PngDecoder::new(bytes);
            decoder.is_ok_and(|decoder| decoder.is_apng().unwrap_or(false))
        }
        _ => false,
    }
}
