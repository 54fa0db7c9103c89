//! One image on the host: whole bytes, planes first, no alpha.
//!
//! Bytes rather than floats, because an image is kept, mirrored, gridded and written far more
//! often than it is trained on, and a byte is a quarter of the memory and exact.

use std::path::Path;

use image::{DynamicImage, ExtendedColorType, ImageEncoder};
use ndarray::{Array3, ArrayView3, Axis, s};
use serde::Serialize;

use super::covering::{CENTRE, Covering};
use super::framing::{Fit, Framing};
use super::resize::{padded, resize};
use crate::error::DataError;
use crate::files::decode::decode_upright;

/// Channels, height and width of an image, the last two in pixels.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
pub struct ImageShape {
    /// 1 (luma) or 3 (RGB).
    pub channels: usize,
    /// Height in pixels.
    pub height: usize,
    /// Width in pixels.
    pub width: usize,
}

/// An image of 1 (luma) or 3 (RGB) channels, sRGB bytes in `[channels, height, width]`, at least
/// one pixel.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Image(Array3<u8>);

impl Image {
    /// Takes pixels as they are.
    ///
    /// # Shapes
    ///
    /// - pixels: `[channels, height, width]`
    ///
    /// # Errors
    ///
    /// When there are not 1 or 3 channels, or no pixels.
    pub fn new(pixels: Array3<u8>) -> Result<Self, DataError> {
        let (channels, height, width) = pixels.dim();
        if ![1, 3].contains(&channels) || height == 0 || width == 0 {
            let found = format!("[{channels}, {height}, {width}]");
            return Err(DataError::malformed("image", "[1 or 3 channels, height, width], none of them 0", found));
        }
        // Row-major memory is what the resizer and the encoder read.
        Ok(Self(pixels.as_standard_layout().into_owned()))
    }

    /// Takes a decoded image of any colour type at its own size; transparency becomes white.
    ///
    /// # Errors
    ///
    /// When `channels` is not 1 or 3, or the image has no pixels.
    pub fn from_dynamic_image(image: &DynamicImage, channels: usize) -> Result<Self, DataError> {
        let (height, width) = (image.height() as usize, image.width() as usize);
        let interleaved = match (channels, image.color().has_alpha()) {
            (1, false) => image.to_luma8().into_raw(),
            (1, true) => DynamicImage::ImageRgb8(over_white(image)).to_luma8().into_raw(),
            (3, false) => image.to_rgb8().into_raw(),
            (3, true) => over_white(image).into_raw(),
            _ => {
                return Err(DataError::malformed("image", "1 or 3 channels", format!("{channels}")));
            }
        };
        Self::new(Array3::from_shape_fn((channels, height, width), |(channel, row, column)| {
            interleaved[(row * width + column) * channels + channel]
        }))
    }

    /// Decodes the bytes of an image file at the image's own size.
    ///
    /// The format is read from the bytes and the EXIF orientation is applied. `name` is for the
    /// error message.
    ///
    /// # Errors
    ///
    /// When the bytes are not a complete image, or `channels` is not 1 or 3.
    pub fn decode(bytes: &[u8], name: &str, channels: usize) -> Result<Self, DataError> {
        let decoded = decode_upright(bytes).map_err(DataError::image(name))?;
        Self::from_dynamic_image(&decoded, channels)
    }

    /// Reads an image file at the image's own size. See [`Image::decode`].
    ///
    /// # Errors
    ///
    /// When the file cannot be read or is not a complete image, or `channels` is not 1 or 3.
    pub fn open(path: &Path, channels: usize) -> Result<Self, DataError> {
        let bytes = std::fs::read(path).map_err(DataError::io("read", path))?;
        Self::decode(&bytes, &path.display().to_string(), channels)
    }

    /// Turns a model's output into bytes: [-1, 1] becomes 0 to 255, what lies beyond is clamped,
    /// NaN becomes 0.
    ///
    /// # Shapes
    ///
    /// - pixels: `[channels, height, width]`
    ///
    /// # Errors
    ///
    /// When there are not 1 or 3 channels, or no pixels.
    pub fn from_unit_range(pixels: ArrayView3<f32>) -> Result<Self, DataError> {
        // A cast from float to integer saturates in Rust, and takes NaN to 0.
        Self::new(pixels.mapv(|value| ((value + 1.0) * 127.5).round() as u8))
    }

    /// The pixels in [-1, 1]: `x / 127.5 - 1`. [`Image::from_unit_range`] takes them back
    /// exactly.
    pub fn to_unit_range(&self) -> Array3<f32> {
        self.0.mapv(|value| f32::from(value) / 127.5 - 1.0)
    }

    /// The pixels, `[channels, height, width]`.
    pub fn pixels(&self) -> ArrayView3<'_, u8> {
        self.0.view()
    }

    /// Channels, height and width.
    pub fn shape(&self) -> ImageShape {
        let (channels, height, width) = self.0.dim();
        ImageShape { channels, height, width }
    }

    /// The image at another size in pixels, the long side cropped at its centre ([`Fit::Crop`]).
    ///
    /// # Errors
    ///
    /// When height or width is 0.
    pub fn fitted(&self, size: [usize; 2]) -> Result<Self, DataError> {
        self.resized(size, Fit::Crop)
    }

    /// The image in the shape of a framing that suits its proportions.
    ///
    /// # Errors
    ///
    /// When height or width is 0, there are not 1 or 3 channels, or the image is smaller than that shape and may not be
    /// enlarged.
    pub fn framed(&self, framing: &Framing) -> Result<Self, DataError> {
        if framing.fit == Fit::RandomCrop {
            return Covering::of(self, framing)?.cropped(CENTRE);
        }
        let native = [self.shape().height, self.shape().width];
        framing.check(native)?;
        let size = framing.size_of(native);
        let resized = match framing.upscale {
            true => self.resized(size, framing.fit)?,
            false => self.reduced(size, framing.fit)?,
        };
        resized.with_channels(framing.shape.channels)
    }

    /// The image at another size in pixels.
    ///
    /// Antialiased Catmull-Rom, like Pillow's `BICUBIC`. Alpha is long gone at this point:
    /// compositing on white and resizing premultiplied colours are both linear, so their order does
    /// not matter but for rounding.
    ///
    /// # Errors
    ///
    /// When height or width is 0.
    pub fn resized(&self, [height, width]: [usize; 2], fit: Fit) -> Result<Self, DataError> {
        let old = self.shape();
        if [height, width] == [old.height, old.width] {
            return Ok(self.clone());
        }
        Self::new(resize(self.0.view(), [height, width], fit)?)
    }

    /// As [`Image::resized`], but an image that would be padded is not enlarged for it.
    fn reduced(&self, [height, width]: [usize; 2], fit: Fit) -> Result<Self, DataError> {
        let ImageShape { height: old_height, width: old_width, .. } = self.shape();
        match fit == Fit::Pad && old_height <= height && old_width <= width {
            true => Ok(Self(padded(self.0.view(), [height, width]))),
            false => self.resized([height, width], fit),
        }
    }

    /// The image in 1 or 3 channels: luma is repeated, RGB becomes luma (Rec. 709 weights).
    ///
    /// # Errors
    ///
    /// When `channels` is not 1 or 3.
    pub fn with_channels(&self, channels: usize) -> Result<Self, DataError> {
        match (self.shape().channels, channels) {
            (from, to) if from == to => Ok(self.clone()),
            (1, 3) => Ok(Self(ndarray::concatenate![Axis(0), self.0, self.0, self.0])),
            _ => Self::from_dynamic_image(&self.to_dynamic_image(), channels),
        }
    }

    /// The mirror image: left and right change places.
    pub fn flipped_horizontally(&self) -> Self {
        Self(self.0.slice(s![.., .., ..;-1]).as_standard_layout().into_owned())
    }

    /// The image as a PNG file in memory.
    ///
    /// # Errors
    ///
    /// When the encoder refuses, as for images beyond 2³¹ pixels a side.
    pub fn to_png(&self) -> Result<Vec<u8>, DataError> {
        let ImageShape { channels, height, width } = self.shape();
        let colour = if channels == 1 { ExtendedColorType::L8 } else { ExtendedColorType::Rgb8 };
        let mut bytes = Vec::new();
        image::codecs::png::PngEncoder::new(&mut bytes)
            .write_image(&self.interleaved(), width as u32, height as u32, colour)
            .map_err(DataError::image("image"))?;
        Ok(bytes)
    }

    /// Writes the image as a PNG file; its folder must exist.
    ///
    /// # Errors
    ///
    /// When the file cannot be written.
    pub fn save_png(&self, path: &Path) -> Result<(), DataError> {
        std::fs::write(path, self.to_png()?).map_err(DataError::io("write", path))
    }

    /// Bytes in `[height, width, channels]`, the order of files.
    fn interleaved(&self) -> Vec<u8> {
        self.0.view().permuted_axes([1, 2, 0]).iter().copied().collect()
    }

    fn to_dynamic_image(&self) -> DynamicImage {
        let ImageShape { channels, height, width } = self.shape();
        let (height, width, bytes) = (height as u32, width as u32, self.interleaved());
        // The byte count is channels * height * width by construction, so neither constructor can
        // refuse.
        let image = match channels {
            1 => image::GrayImage::from_raw(width, height, bytes).map(DynamicImage::ImageLuma8),
            _ => image::RgbImage::from_raw(width, height, bytes).map(DynamicImage::ImageRgb8),
        };
        image.unwrap_or_default()
    }
}

/// Composites an image with alpha on white.
fn over_white(image: &DynamicImage) -> image::RgbImage {
    let rgba = image.to_rgba8();
    image::RgbImage::from_fn(rgba.width(), rgba.height(), |x, y| {
        let [red, green, blue, alpha] = rgba.get_pixel(x, y).0.map(u32::from);
        let blend = |colour: u32| ((colour * alpha + 255 * (255 - alpha) + 127) / 255) as u8;
        image::Rgb([blend(red), blend(green), blend(blue)])
    })
}

#[cfg(test)]
mod tests {
    use ndarray::array;

    use super::*;

    fn gradient(channels: usize, height: usize, width: usize) -> Image {
        let pixels = Array3::from_shape_fn((channels, height, width), |(channel, row, column)| {
            (channel * 80 + row * 7 + column * 3) as u8
        });
        Image::new(pixels).unwrap()
    }

    #[test]
    fn every_byte_survives_the_unit_range() {
        let bytes = Array3::from_shape_fn((1, 16, 16), |(_, row, column)| (row * 16 + column) as u8);
        let image = Image::new(bytes).unwrap();
        let unit = image.to_unit_range();
        assert_eq!((unit[[0, 0, 0]], unit[[0, 15, 15]]), (-1.0, 1.0));
        assert_eq!(Image::from_unit_range(unit.view()).unwrap(), image);
    }

    #[test]
    fn values_beyond_the_unit_range_are_clamped() {
        let image = Image::from_unit_range(array![[[-3.0, 3.0, f32::NAN, 0.0]]].view()).unwrap();
        assert_eq!(image.pixels().iter().copied().collect::<Vec<_>>(), [0, 255, 0, 128]);
    }

    #[test]
    fn transparency_becomes_white() {
        let mut rgba = image::RgbaImage::from_pixel(2, 1, image::Rgba([200, 0, 0, 0]));
        rgba.put_pixel(1, 0, image::Rgba([255, 0, 0, 128]));
        let image = Image::from_dynamic_image(&DynamicImage::ImageRgba8(rgba), 3).unwrap();
        assert_eq!(image.pixels(), array![[[255, 255]], [[255, 127]], [[255, 127]]]);
    }

    #[test]
    fn a_transparent_colour_does_not_bleed_when_resized() {
        // Black under full transparency must not darken the edge of the opaque white half.
        let rgba = image::RgbaImage::from_fn(64, 64, |x, _| {
            if x < 31 { image::Rgba([0, 0, 0, 0]) } else { image::Rgba([255, 255, 255, 255]) }
        });
        let image = Image::from_dynamic_image(&DynamicImage::ImageRgba8(rgba), 3).unwrap();
        assert!(image.fitted([16, 16]).unwrap().pixels().iter().all(|&byte| byte == 255));
    }

    #[test]
    fn channels_change_there_and_back() {
        let grey = gradient(1, 4, 5);
        let rgb = grey.with_channels(3).unwrap();
        assert_eq!(rgb.shape().channels, 3);
        assert_eq!(rgb.with_channels(1).unwrap(), grey);
        assert!(rgb.with_channels(2).is_err());
    }

    #[test]
    fn two_mirrors_are_none() {
        let image = gradient(3, 3, 4);
        let mirrored = image.flipped_horizontally();
        assert_eq!(mirrored.pixels()[[0, 0, 0]], image.pixels()[[0, 0, 3]]);
        assert_eq!(mirrored.flipped_horizontally(), image);
    }

    #[test]
    fn png_files_are_exact() {
        let folder = tempfile::tempdir().unwrap();
        for channels in [1, 3] {
            let path = folder.path().join("a.png");
            let image = gradient(channels, 5, 7);
            image.save_png(&path).unwrap();
            assert_eq!(Image::open(&path, channels).unwrap(), image);
        }
    }

    #[test]
    fn broken_files_are_errors_that_name_the_file() {
        let png = gradient(3, 40, 40).to_png().unwrap();
        for bytes in [&b""[..], b"not an image", &png[..40], &png[..png.len() / 2]] {
            let error = Image::decode(bytes, "cat.png", 3).unwrap_err();
            assert!(error.to_string().contains("cat.png"), "{error}");
        }
        assert!(Image::open(Path::new("/nowhere/cat.png"), 3).unwrap_err().to_string().contains("/nowhere/cat.png"));
        assert!(Image::new(Array3::zeros((3, 0, 4))).is_err());
    }
}
