//! The training images that lie nearest to generated ones, and whether they lie suspiciously near.

use interfuse_data::{Source, spread};
use interfuse_evaluation::memorisation::{Memorisation, memorisation};
use interfuse_evaluation::retrieval::{Nearest, nearest};
use ndarray::Array4;

use super::generated::{Generated, array};
use super::page::Pair;
use crate::error::Result;

/// Training images that are looked through, spread evenly.
const MOST_TRAINING: usize = 20_000;
/// Held-out images that generated ones are compared with.
const MOST_HELD_OUT: usize = 1000;

/// The nearest training image of every generated one.
pub(super) struct Neighbours {
    /// Numbers of the training images that were looked through.
    looked_at: Vec<usize>,
    training: Array4<f32>,
    of_generated: Vec<Nearest>,
}

impl Neighbours {
    /// Looks through the training images.
    pub(super) fn find(generated: &Generated, train: &dyn Source) -> Result<Self> {
        let (looked_at, images) = spread(train, MOST_TRAINING);
        let training = array(&images, train.shape())?;
        let of_generated = nearest(array(&generated.images, train.shape())?.view(), training.view())?;
        Ok(Self { looked_at, training, of_generated })
    }

    /// How near generated images lie, against held-out ones; nothing where nothing is held out.
    pub(super) fn memorisation(&self, held_out: &dyn Source) -> Result<Option<Memorisation>> {
        if held_out.held_out_is_train() {
            return Ok(None);
        }
        let (_, images) = spread(held_out, MOST_HELD_OUT);
        let of_held_out = nearest(array(&images, held_out.shape())?.view(), self.training.view())?;
        Ok(Some(memorisation(&self.of_generated, &of_held_out, self.values())?))
    }

    /// Every generated image with its nearest training image.
    pub(super) fn pairs(&self, generated: &Generated, train: &dyn Source) -> Result<Vec<Pair>> {
        let all = generated.requests.iter().zip(&generated.images).zip(&self.of_generated);
        all.enumerate()
            .map(|(place, ((request, image), nearest))| {
                let index = self.looked_at[nearest.index];
                Ok(Pair {
                    prompt: request.prompt.clone(),
                    score: generated.scores.as_ref().map(|scores| scores.values[place]),
                    generated: image.clone(),
                    nearest: train.image(index)?,
                    nearest_caption: train.caption(index)?,
                    distance: (f64::from(nearest.squared_distance) / self.values() as f64).sqrt(),
                })
            })
            .collect()
    }

    /// Numbers of an image.
    fn values(&self) -> usize {
        self.training.shape()[1..].iter().product()
    }
}
