//! Images and captions without meaning, in any number and size: what a benchmark trains on, with no data at hand.

use ndarray::Array3;
use rand::Rng;
use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::SeedableRng;
use serde::{Deserialize, Serialize};

use super::{DataSet, Source, SourceSettings, validate_images};
use crate::error::DataError;
use crate::images::{Framing, Image, ImageShape};

/// The most letters of a caption.
const MOST_LETTERS: usize = 100_000;

/// Options of `kind = "noise"`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct NoiseConfig {
    /// How many, at least 1.
    pub images: usize,
    /// Letters of every caption, at least 1.
    pub caption_length: usize,
}

impl Default for NoiseConfig {
    fn default() -> Self {
        Self { images: 256, caption_length: 16 }
    }
}

impl SourceSettings for NoiseConfig {
    fn validate(&self, _: ImageShape) -> Result<(), DataError> {
        validate_images(self.images)?;
        match self.caption_length {
            1..=MOST_LETTERS => Ok(()),
            found => {
                let expected = format!("1 to {MOST_LETTERS}");
                Err(DataError::config("data.source.caption_length", expected, found))
            }
        }
    }

    fn open(&self, Framing { shape, .. }: Framing) -> Result<DataSet, DataError> {
        Ok(DataSet::kept(NoiseSource::new(self, shape), None::<NoiseSource>))
    }
}

/// Random letters and random pixels, a function of their number alone.
pub(crate) struct NoiseSource {
    config: NoiseConfig,
    shape: ImageShape,
}

impl NoiseSource {
    /// Images and captions are made when they are asked for.
    pub(crate) fn new(config: &NoiseConfig, shape: ImageShape) -> Self {
        Self { config: config.clone(), shape }
    }
}

impl Source for NoiseSource {
    fn len(&self) -> usize {
        self.config.images
    }

    fn name(&self, index: usize) -> String {
        format!("noise/{index:05}")
    }

    fn captions(&self, index: usize) -> Result<Vec<String>, DataError> {
        let mut rng = generator(index, 0);
        let letters = (0..self.config.caption_length).map(|_| char::from(b'a' + (rng.next_u32() % 26) as u8));
        Ok(vec![letters.collect()])
    }

    fn image(&self, index: usize) -> Result<Image, DataError> {
        let ImageShape { channels, height, width } = self.shape;
        let mut pixels = Array3::zeros((channels, height, width));
        let mut rng = generator(index, 1);
        pixels.mapv_inplace(|_| rng.next_u32() as u8);
        Image::new(pixels)
    }

    fn shape(&self) -> ImageShape {
        self.shape
    }

    fn native_size(&self, _: usize) -> Result<[usize; 2], DataError> {
        Ok([self.shape.height, self.shape.width])
    }

    fn held_out_is_train(&self) -> bool {
        true
    }
}

fn generator(index: usize, stream: u64) -> ChaCha8Rng {
    let mut rng = ChaCha8Rng::seed_from_u64(index as u64);
    rng.set_stream(stream);
    rng
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn images_and_captions_are_of_the_size_asked_for_and_stay_the_same() {
        let shape = ImageShape { channels: 1, height: 3, width: 5 };
        let config = NoiseConfig { images: 4, caption_length: 7 };
        let (first, again) = (NoiseSource::new(&config, shape), NoiseSource::new(&config, shape));
        assert_eq!(first.len(), 4);
        assert_eq!(first.caption(2).unwrap().len(), 7);
        assert_ne!(first.caption(2).unwrap(), first.caption(3).unwrap());
        assert_eq!(first.image(1).unwrap().pixels(), again.image(1).unwrap().pixels());
        assert_eq!(first.image(1).unwrap().shape(), shape);
    }
}
