//! Coloured shapes with captions, made by the program: unlimited images whose content is known exactly, so that what a
//! model draws and writes can be scored without a learned classifier.
//!
//! A scene has five attributes, and a caption that names them all:
//!
//! ```text
//! two small red circles at the top left
//! ```
//!
//! **Held-out combinations.** A scene is held out when `(colour + 2 · shape + 3 · place) mod 8 = 0`, with the attributes
//! numbered as their enums list them. Training then sees every colour, shape and place, and every pair of them, but not these
//! triples: a model that draws them has combined what it knows.

mod render;
mod scene;

use ndarray::Array3;
use rand::Rng;
use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::SeedableRng;
use serde::{Deserialize, Serialize};

pub use render::{BACKGROUND, Jitter, coverage, render};
pub use scene::{Attribute, Colour, Count, Place, Scene, Shape, Size};

use super::{DataSet, Source, SourceSettings, Split, validate_images};
use crate::error::DataError;
use crate::images::{Framing, Image, ImageShape};

/// One held-out image for so many training images.
const HELD_OUT: usize = 8;

/// Options of `kind = "shapes"`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct ShapesConfig {
    /// Training images, at least 1; an eighth as many are held out, of combinations that training does not see.
    pub images: usize,
}

impl Default for ShapesConfig {
    fn default() -> Self {
        Self { images: 8192 }
    }
}

impl SourceSettings for ShapesConfig {
    fn validate(&self, shape: ImageShape) -> Result<(), DataError> {
        if shape.channels != 3 {
            return Err(DataError::config("data.channels", "3, for shapes are told by their colours", shape.channels));
        }
        validate_images(self.images)
    }

    fn open(&self, Framing { shape, .. }: Framing) -> Result<DataSet, DataError> {
        let [train, held_out] = [Split::Train, Split::HeldOut].map(|split| ShapesSource::new(self, shape, split));
        Ok(DataSet::kept(train, Some(held_out)))
    }
}

/// Scenes generated at random from those that a split may see.
struct ShapesSource {
    scenes: Vec<Scene>,
    shape: ImageShape,
    split: Split,
}

impl ShapesSource {
    /// Draws the scenes; an image is rendered when it is asked for.
    fn new(config: &ShapesConfig, shape: ImageShape, split: Split) -> Self {
        let held_out = split == Split::HeldOut;
        let possible: Vec<Scene> = Scene::all().filter(|scene| scene.is_held_out() == held_out).collect();
        let images = if held_out { (config.images / HELD_OUT).max(1) } else { config.images };
        let draw = |index: usize| possible[generator(split, index, 0).next_u64() as usize % possible.len()];
        Self { scenes: (0..images).map(draw).collect(), shape, split }
    }
}

impl Source for ShapesSource {
    fn len(&self) -> usize {
        self.scenes.len()
    }

    fn name(&self, index: usize) -> String {
        format!("shapes/{:?}/{index:06}", self.split).to_lowercase()
    }

    fn captions(&self, index: usize) -> Result<Vec<String>, DataError> {
        Ok(vec![self.scenes[index].caption()])
    }

    fn image(&self, index: usize) -> Result<Image, DataError> {
        let ImageShape { channels, height, width } = self.shape;
        let jitter = Jitter::draw(&mut generator(self.split, index, 1));
        let pixels: Array3<u8> = render(self.scenes[index], [height, width], jitter);
        Image::new(pixels)?.with_channels(channels)
    }

    fn shape(&self) -> ImageShape {
        self.shape
    }

    fn native_size(&self, _: usize) -> Result<[usize; 2], DataError> {
        Ok([self.shape.height, self.shape.width])
    }
}

fn generator(split: Split, index: usize, stream: u8) -> ChaCha8Rng {
    let mut key = [stream; 32];
    key[..8].copy_from_slice(&(index as u64).to_le_bytes());
    key[8] = split as u8;
    ChaCha8Rng::from_seed(key)
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    fn source(split: Split) -> ShapesSource {
        let shape = ImageShape { channels: 3, height: 32, width: 32 };
        ShapesSource::new(&ShapesConfig { images: 2000 }, shape, split)
    }

    #[test]
    fn training_sees_every_pair_of_attributes_and_no_held_out_triple() {
        let [train, held_out] = [Split::Train, Split::HeldOut].map(source);
        assert_eq!((train.len(), held_out.len()), (2000, 250));
        let triples = |source: &ShapesSource| -> HashSet<_> {
            source.scenes.iter().map(|scene| (scene.colour, scene.shape, scene.place)).collect()
        };
        let (seen, unseen) = (triples(&train), triples(&held_out));
        assert!(seen.is_disjoint(&unseen) && !unseen.is_empty());
        for &(colour, shape, place) in &unseen {
            assert!(seen.iter().any(|&(c, s, _)| (c, s) == (colour, shape)));
            assert!(seen.iter().any(|&(c, _, p)| (c, p) == (colour, place)));
            assert!(seen.iter().any(|&(_, s, p)| (s, p) == (shape, place)));
        }
    }

    #[test]
    fn images_are_the_same_each_time_and_differ_from_one_another() {
        let (once, again) = (source(Split::Train), source(Split::Train));
        for index in [0, 7, 1999] {
            assert_eq!(once.image(index).unwrap(), again.image(index).unwrap());
        }
        assert_ne!(once.image(0).unwrap(), once.image(1).unwrap());
        assert_eq!(once.caption(5).unwrap(), again.caption(5).unwrap());
    }
}
