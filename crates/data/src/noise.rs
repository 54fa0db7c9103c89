//! Pictures and captions without meaning, in any number and size: what a benchmark trains on, with no data at hand.

use ndarray::Array3;
use rand::Rng;
use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::SeedableRng;

use crate::config::NoiseConfig;
use crate::error::DataError;
use crate::picture::{Picture, PictureShape};
use crate::source::Source;

/// Random letters and random pixels, a function of their number alone.
pub(crate) struct NoiseSource {
    captions: Vec<[String; 1]>,
    shape: PictureShape,
}

impl NoiseSource {
    /// Makes the captions; a picture is made when it is asked for.
    pub(crate) fn new(config: &NoiseConfig, shape: PictureShape) -> Self {
        let caption = |index: usize| {
            let mut rng = generator(index, 0);
            [(0..config.caption_length).map(|_| char::from(b'a' + (rng.next_u32() % 26) as u8)).collect()]
        };
        Self { captions: (0..config.pictures).map(caption).collect(), shape }
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

    fn picture(&self, index: usize) -> Result<Picture, DataError> {
        let PictureShape { channels, height, width } = self.shape;
        let mut pixels = Array3::zeros((channels, height, width));
        let mut rng = generator(index, 1);
        pixels.mapv_inplace(|_| rng.next_u32() as u8);
        Picture::new(pixels)
    }

    fn shape(&self) -> PictureShape {
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
    fn pictures_and_captions_are_of_the_size_asked_for_and_stay_the_same() {
        let shape = PictureShape { channels: 1, height: 3, width: 5 };
        let config = NoiseConfig { pictures: 4, caption_length: 7 };
        let (first, again) = (NoiseSource::new(&config, shape), NoiseSource::new(&config, shape));
        assert_eq!(first.len(), 4);
        assert_eq!(first.captions(2)[0].len(), 7);
        assert_ne!(first.captions(2), first.captions(3));
        assert_eq!(first.picture(1).unwrap().pixels(), again.picture(1).unwrap().pixels());
        assert_eq!(first.picture(1).unwrap().shape(), shape);
    }
}
