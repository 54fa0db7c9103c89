//! An image on the host, as it goes in and out: bytes of known shape.

use std::io::Cursor;

use image::{ExtendedColorType, ImageEncoder as _, ImageFormat, ImageReader, Limits};

/// An image of 8 bits a channel, rows from top to bottom, channels side by side.
#[derive(Clone, PartialEq, Eq)]
pub struct Raster {
    width: u32,
    height: u32,
    channels: u8,
    pixels: Vec<u8>,
}

/// Why there is no such image.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum RasterError {
    /// The bytes do not fit the size.
    #[error(
        "expected {expected} bytes for an image of {width} x {height} pixels and {channels} channels, found {found}"
    )]
    Shape {
        /// Width in pixels.
        width: u32,
        /// Height in pixels.
        height: u32,
        /// Channels, of which there may be 1 or 3.
        channels: u8,
        /// Bytes that an image of this size has; 0 where there can be none.
        expected: u64,
        /// Bytes that were given.
        found: usize,
    },
    /// The file is of no kind that is read.
    #[error("expected a PNG, JPEG or WebP image, found another format")]
    Format,
    /// The image has more pixels than are read.
    #[error("expected an image of at most {limit} pixels, found {width} x {height}")]
    TooLarge {
        /// Width in pixels.
        width: u32,
        /// Height in pixels.
        height: u32,
        /// Pixels that are read at most.
        limit: u64,
    },
    /// The file is torn.
    #[error("the image cannot be read: {0}")]
    Torn(String),
    /// The image could not be written as PNG.
    #[error("the image cannot be written as PNG: {0}")]
    Png(String),
}

impl Raster {
    /// Of bytes.
    ///
    /// # Errors
    /// When there is not a byte for each of 1 or 3 channels of each pixel, or no pixel.
    pub fn new(width: u32, height: u32, channels: u8, pixels: Vec<u8>) -> Result<Self, RasterError> {
        let fits = channels == 1 || channels == 3;
        let expected = if fits { (u64::from(width) * u64::from(height)).saturating_mul(channels.into()) } else { 0 };
        if expected == 0 || pixels.len() as u64 != expected {
            return Err(RasterError::Shape { width, height, channels, expected, found: pixels.len() });
        }
        Ok(Self { width, height, channels, pixels })
    }

    /// Reads a PNG, JPEG or WebP file of at most `limit` pixels; transparent pixels stand on white.
    ///
    /// # Errors
    /// When the file is of another kind, too large or torn. The size is checked before a pixel is decoded.
    pub fn decode(file: &[u8], channels: u8, limit: u64) -> Result<Self, RasterError> {
        let torn = |error: image::ImageError| RasterError::Torn(error.to_string());
        let reader = || ImageReader::new(Cursor::new(file)).with_guessed_format().map_err(|_| RasterError::Format);
        match reader()?.format() {
            Some(ImageFormat::Png | ImageFormat::Jpeg | ImageFormat::WebP) => {}
            _ => return Err(RasterError::Format),
        }
        let (width, height) = reader()?.into_dimensions().map_err(torn)?;
        if u64::from(width) * u64::from(height) > limit {
            return Err(RasterError::TooLarge { width, height, limit });
        }
        let mut reader = reader()?;
        let mut limits = Limits::default();
        // A pixel takes 8 bytes at most, and decoders need as much again for their own buffers.
        limits.max_alloc = Some(limit.saturating_mul(16).saturating_add(1 << 20));
        reader.limits(limits);
        let rgba = reader.decode().map_err(torn)?.into_rgba8();
        let on_white = |value: u8, alpha: u8| {
            let (value, alpha) = (u32::from(value), u32::from(alpha));
            ((value * alpha + 255 * (255 - alpha) + 127) / 255) as u8
        };
        let colours = rgba.pixels().map(|pixel| {
            let [r, g, b, alpha] = pixel.0;
            [r, g, b].map(|value| on_white(value, alpha))
        });
        let pixels = match channels {
            1 => colours.map(grey).collect(),
            _ => colours.flatten().collect(),
        };
        Self::new(width, height, if channels == 1 { 1 } else { 3 }, pixels)
    }

    /// As a PNG file.
    ///
    /// # Errors
    /// When the encoder refuses it.
    pub fn to_png(&self) -> Result<Vec<u8>, RasterError> {
        let mut file = vec![];
        let color = if self.channels == 1 { ExtendedColorType::L8 } else { ExtendedColorType::Rgb8 };
        image::codecs::png::PngEncoder::new(&mut file)
            .write_image(&self.pixels, self.width, self.height, color)
            .map_err(|error| RasterError::Png(error.to_string()))?;
        Ok(file)
    }

    /// Width in pixels.
    pub fn width(&self) -> u32 {
        self.width
    }

    /// Height in pixels.
    pub fn height(&self) -> u32 {
        self.height
    }

    /// 1 or 3.
    pub fn channels(&self) -> u8 {
        self.channels
    }

    /// The bytes, rows from top to bottom.
    pub fn pixels(&self) -> &[u8] {
        &self.pixels
    }
}

/// Luma of ITU-R BT.601, as JPEG has it.
fn grey([r, g, b]: [u8; 3]) -> u8 {
    ((u32::from(r) * 299 + u32::from(g) * 587 + u32::from(b) * 114 + 500) / 1000) as u8
}

impl std::fmt::Debug for Raster {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(formatter, "Raster({} x {} x {})", self.width, self.height, self.channels)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_image_survives_png() {
        for channels in [1, 3] {
            let pixels: Vec<u8> = (0..5 * 4 * u32::from(channels)).map(|i| (i * 37) as u8).collect();
            let raster = Raster::new(5, 4, channels, pixels).unwrap();
            assert_eq!(Raster::decode(&raster.to_png().unwrap(), channels, 20).unwrap(), raster);
        }
    }

    #[test]
    fn a_size_that_does_not_fit_is_refused() {
        assert!(Raster::new(2, 2, 3, vec![0; 11]).is_err());
        assert!(Raster::new(0, 2, 3, vec![]).is_err());
        assert!(Raster::new(u32::MAX, u32::MAX, 3, vec![0; 11]).is_err());
        assert!(Raster::new(2, 2, 4, vec![0; 16]).is_err());
    }

    #[test]
    fn too_many_pixels_and_torn_files_are_refused() {
        let png = Raster::new(5, 4, 1, vec![9; 20]).unwrap().to_png().unwrap();
        assert_eq!(Raster::decode(&png, 1, 19), Err(RasterError::TooLarge { width: 5, height: 4, limit: 19 }));
        for end in 0..png.len() - 12 {
            assert!(Raster::decode(&png[..end], 3, 1000).is_err(), "{end} bytes");
        }
        assert_eq!(Raster::decode(b"GIF89a", 3, 1000), Err(RasterError::Format));
    }

    #[test]
    fn a_transparent_pixel_stands_on_white() {
        let mut file = vec![];
        image::codecs::png::PngEncoder::new(&mut file)
            .write_image(&[10, 20, 30, 0, 10, 20, 30, 255], 2, 1, ExtendedColorType::Rgba8)
            .unwrap();
        assert_eq!(Raster::decode(&file, 3, 10).unwrap().pixels(), [255, 255, 255, 10, 20, 30]);
    }
}
