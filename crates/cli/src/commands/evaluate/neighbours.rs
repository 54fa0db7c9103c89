//! The training pictures that lie nearest to drawn ones, and whether they lie suspiciously near.

use interfuse_data::{Source, spread};
use interfuse_evaluation::memorisation::{Memorisation, memorisation};
use interfuse_evaluation::retrieval::{Nearest, nearest};
use ndarray::Array4;

use super::drawn::{Drawn, array};
use super::page::Pair;

/// Training pictures that are looked through, spread evenly.
const MOST_TRAINING: usize = 20_000;
/// Held-out pictures that drawn ones are compared with.
const MOST_HELD_OUT: usize = 1000;

/// The nearest training picture of every drawn one.
pub(super) struct Neighbours {
    /// Numbers of the training pictures that were looked through.
    looked_at: Vec<usize>,
    training: Array4<f32>,
    of_drawn: Vec<Nearest>,
}

impl Neighbours {
    /// Looks through the training pictures.
    pub(super) fn find(drawn: &Drawn, train: &dyn Source) -> anyhow::Result<Self> {
        let (looked_at, pictures) = spread(train, MOST_TRAINING);
        let training = array(&pictures)?;
        let of_drawn = nearest(array(&drawn.pictures)?.view(), training.view())?;
        Ok(Self { looked_at, training, of_drawn })
    }

    /// How near drawn pictures lie, against held-out ones; nothing where nothing is held out.
    pub(super) fn memorisation(&self, held_out: &dyn Source) -> anyhow::Result<Option<Memorisation>> {
        if held_out.held_out_is_train() {
            return Ok(None);
        }
        let (_, pictures) = spread(held_out, MOST_HELD_OUT);
        let of_held_out = nearest(array(&pictures)?.view(), self.training.view())?;
        Ok(Some(memorisation(&self.of_drawn, &of_held_out, self.values())?))
    }

    /// Every drawn picture with its nearest training picture.
    pub(super) fn pairs(&self, drawn: &Drawn, train: &dyn Source) -> anyhow::Result<Vec<Pair>> {
        let all = drawn.drawings.iter().zip(&drawn.pictures).zip(&self.of_drawn);
        all.enumerate()
            .map(|(place, ((drawing, picture), nearest))| {
                let index = self.looked_at[nearest.index];
                Ok(Pair {
                    prompt: drawing.prompt.clone(),
                    score: drawn.scores.as_ref().map(|scores| scores.values[place]),
                    drawn: picture.clone(),
                    nearest: train.picture(index)?,
                    nearest_caption: train.captions(index)[0].clone(),
                    distance: (f64::from(nearest.squared_distance) / self.values() as f64).sqrt(),
                })
            })
            .collect()
    }

    /// Numbers of a picture.
    fn values(&self) -> usize {
        self.training.shape()[1..].iter().product()
    }
}
