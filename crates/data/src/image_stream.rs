//! Images without captions, as an autoencoder learns from them.

use std::collections::BTreeSet;
use std::sync::Arc;

use ndarray::Array4;
use serde::{Deserialize, Serialize};

use crate::error::DataError;
use crate::images::Image;
use crate::order::{EpochOrder, Stream, generator};
use crate::sources::{Source, View};

/// Where a stream of images stands: all that it needs to go on after a resume.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ImageCursor {
    /// Number of the next image of the stream.
    pub next: u64,
    /// Images left out because they are bad.
    pub bad: u64,
}

/// How many bad images are named; the rest are only counted.
const MOST_NAMED: usize = 16;

/// An endless, reproducible stream of images, mirrored or as they are.
pub struct ImageStream {
    source: Arc<dyn Source>,
    order: EpochOrder,
    horizontal_flip: f64,
    seed: u64,
    cursor: ImageCursor,
    /// What is wrong with the first bad image that has not been named before, until someone asks.
    warning: Option<String>,
    /// Images that have been named; a bad one comes up again in every epoch.
    named: BTreeSet<usize>,
}

impl ImageStream {
    /// A stream over a source that goes on at `cursor`.
    pub fn new(source: Arc<dyn Source>, horizontal_flip: f64, seed: u64, cursor: ImageCursor) -> Self {
        let order = EpochOrder::of(&source, seed);
        Self { source, order, horizontal_flip, seed, cursor, warning: None, named: BTreeSet::new() }
    }

    /// The images.
    pub fn source(&self) -> &dyn Source {
        self.source.as_ref()
    }

    /// Where the stream stands.
    pub fn cursor(&self) -> ImageCursor {
        self.cursor
    }

    /// What is wrong with the first bad image that has not been named before; each is named at most once, and no more than
    /// the first few are.
    pub fn take_warning(&mut self) -> Option<String> {
        self.warning.take()
    }

    /// The next images in [-1, 1], `[count, channels, height, width]`.
    ///
    /// # Errors
    /// When a whole epoch holds no image that can be read.
    pub fn next_batch(&mut self, count: usize) -> Result<Array4<f32>, DataError> {
        let shape = self.source.shape();
        let mut batch = Array4::zeros((count, shape.channels, shape.height, shape.width));
        for mut place in batch.outer_iter_mut() {
            place.assign(&self.next_image()?.to_unit_range());
        }
        Ok(batch)
    }

    fn next_image(&mut self) -> Result<Image, DataError> {
        let mut reason = None;
        for _ in 0..2 * self.source.len() {
            let number = self.cursor.next;
            self.cursor.next += 1;
            let index = self.order.index_of(number);
            let mut rng = generator(self.seed, number, Stream::Document);
            let source = self.source.as_ref();
            match View::drawn(source, self.horizontal_flip, &mut rng).of(source, index) {
                Ok(image) => return Ok(image),
                Err(error) => {
                    self.cursor.bad += 1;
                    if self.warning.is_none() && self.named.len() < MOST_NAMED && self.named.insert(index) {
                        self.warning = Some(error.to_string());
                    }
                    reason = Some(error);
                }
            }
        }
        let found = reason.map_or_else(|| "none".to_string(), |error| format!("only bad ones, such as {error}"));
        Err(DataError::malformed("data", "at least one image that can be read", found))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::images::ImageShape;
    use crate::sources::noise::{NoiseConfig, NoiseSource};

    fn stream(cursor: ImageCursor) -> ImageStream {
        let shape = ImageShape { channels: 3, height: 4, width: 6 };
        let source = NoiseSource::new(&NoiseConfig { images: 7, caption_length: 4 }, shape);
        ImageStream::new(Arc::new(source), 0.5, 3, cursor)
    }

    #[test]
    fn a_resumed_stream_goes_on_with_the_same_images() {
        let mut whole = stream(ImageCursor::default());
        let first = whole.next_batch(5).unwrap();
        assert_eq!(first.dim(), (5, 3, 4, 6));
        let cursor = whole.cursor();
        let second = whole.next_batch(5).unwrap();
        assert_ne!(first, second);
        assert_eq!(stream(cursor).next_batch(5).unwrap(), second);
    }

    #[test]
    fn an_epoch_has_every_image_once() {
        let mut order = EpochOrder::new(7, 1);
        for epoch in 0..3 {
            let mut seen: Vec<usize> = (0..7).map(|place| order.index_of(epoch * 7 + place)).collect();
            seen.sort_unstable();
            assert_eq!(seen, (0..7).collect::<Vec<_>>());
        }
    }
}
