//! Images and captions without meaning, in any number and size: what a benchmark trains on, with no data at hand.

use ndarray::Array3;
use rand::Rng;
use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::SeedableRng;

use crate::config::NoiseConfig;
use crate::error::DataError;
use crate::pixels::{Image, ImageShape};
use crate::source::Source;

/// Random letters and random pixels, a function of their number alone.
pub(crate) struct NoiseSource {
    captions: Vec<[String; 1]>,
    shape: ImageShape,
}

impl NoiseSource {
    /// Makes the captions; an image is made when it is asked for.
    pub(crate) fn new(config: &NoiseConfig, shape: ImageShape) -> Self {
        let caption = |index: usize| {
            let mut rng = generator(index, 0);
            [(0..config.caption_length).map(|_| char::from(b'a' + (rng.next_u32() % 26) as u8)).collect()]
        };
        Self { captions: (0..config.images).map(caption).collect(), shape }
    }
}

impl Source for NoiseSource {
    fn len(&self) -> usize {
        self.captions.len()
    }

    fn name(&self, index: usize) -> String {
        format!("noise/{index:05}")
    }

    fn captions(&self, index: usize) -> &[String] {
        &self.captions[index]
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
        assert_eq!(first.captions(2)[0].len(), 7);
        assert_ne!(first.captions(2), first.captions(3));
        assert_eq!(first.image(1).unwrap().pixels(), again.image(1).unwrap().pixels());
        assert_eq!(first.image(1).unwrap().shape(), shape);
    }
}
