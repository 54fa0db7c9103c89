//! Keeps the images of a small source once they are decoded.
//!
//! Decoding and resizing cost more than a small model's whole step, and a small source is visited
//! hundreds of times. A source that would take more than [`KEPT_BYTES`] bytes is passed through
//! untouched.

use std::sync::OnceLock;

use super::{Source, Stamp};
use crate::error::DataError;
use crate::images::covering::CENTRE;
use crate::images::{Covering, Fit, Framing, Image, ImageShape};
use crate::order::Blocks;

/// The most bytes of decoded images that are kept: 256 MiB, some 87,000 RGB images of 32 × 32.
pub const KEPT_BYTES: usize = 256 << 20;

/// A source that decodes each image at most once, as long as all fit into memory.
pub(super) struct Kept<S> {
    source: S,
    /// One slot per image, or none at all where the source is too large.
    images: Vec<OnceLock<Covering>>,
}

impl<S: Source> Kept<S> {
    pub(super) fn new(source: S) -> Self {
        Self::within(source, KEPT_BYTES)
    }

    fn within(source: S, budget: usize) -> Self {
        let bytes = source.len().saturating_mul(largest(&source));
        let slots = if bytes <= budget { source.len() } else { 0 };
        Self { images: std::iter::repeat_with(OnceLock::new).take(slots).collect(), source }
    }
}

/// Bytes of the largest image that a source may have; of one that is cropped later about half may lie beyond its size.
fn largest(source: &impl Source) -> usize {
    let framing = source.framing();
    let beyond = if framing.fit == Fit::RandomCrop { 2 } else { 1 };
    let area = framing.all_sizes().map(|[height, width]| height * width).max().unwrap_or(0);
    beyond * framing.shape.channels * area
}

impl<S: Source> Source for Kept<S> {
    fn len(&self) -> usize {
        self.source.len()
    }

    fn name(&self, index: usize) -> String {
        self.source.name(index)
    }

    fn captions(&self, index: usize) -> Result<Vec<String>, DataError> {
        self.source.captions(index)
    }

    fn image(&self, index: usize) -> Result<Image, DataError> {
        match self.images.get(index) {
            Some(_) => self.covering(index)?.cropped(CENTRE),
            None => self.source.image(index),
        }
    }

    fn covering(&self, index: usize) -> Result<Covering, DataError> {
        let Some(slot) = self.images.get(index) else {
            return self.source.covering(index);
        };
        if let Some(image) = slot.get() {
            return Ok(image.clone());
        }
        let image = self.source.covering(index)?;
        // Two threads may decode the same image at once; the results are equal, so either may
        // stay.
        Ok(slot.get_or_init(|| image).clone())
    }

    fn shape(&self) -> ImageShape {
        self.source.shape()
    }

    fn framing(&self) -> Framing {
        self.source.framing()
    }

    fn native_size(&self, index: usize) -> Result<[usize; 2], DataError> {
        self.source.native_size(index)
    }

    fn label(&self, index: usize) -> Option<usize> {
        self.source.label(index)
    }

    fn stamp(&self, index: usize) -> Result<Option<Stamp>, DataError> {
        self.source.stamp(index)
    }

    fn sha256(&self, index: usize) -> Result<Option<String>, DataError> {
        self.source.sha256(index)
    }

    fn held_out_is_train(&self) -> bool {
        self.source.held_out_is_train()
    }

    fn blocks(&self) -> Option<Blocks> {
        self.source.blocks()
    }

    fn expect(&self, now: &[usize], next: &[usize]) {
        self.source.expect(now, next);
    }

    fn skipped(&self) -> &[String] {
        self.source.skipped()
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use ndarray::Array3;

    use super::*;

    /// Counts how often it is asked, and fails at its last image.
    struct Counting {
        asked: AtomicUsize,
    }

    impl Source for Counting {
        fn len(&self) -> usize {
            2
        }
        fn name(&self, index: usize) -> String {
            index.to_string()
        }
        fn captions(&self, _: usize) -> Result<Vec<String>, DataError> {
            Ok(vec!["seven".into()])
        }
        fn image(&self, index: usize) -> Result<Image, DataError> {
            self.asked.fetch_add(1, Ordering::Relaxed);
            if index == 1 {
                return Err(DataError::Tokenizer("broken".into()));
            }
            Image::new(Array3::from_elem((1, 2, 2), 7))
        }
        fn shape(&self) -> ImageShape {
            ImageShape { channels: 1, height: 2, width: 2 }
        }
        fn native_size(&self, _: usize) -> Result<[usize; 2], DataError> {
            Ok([2, 2])
        }
    }

    fn ask_thrice(budget: usize, index: usize) -> usize {
        let source = Counting { asked: AtomicUsize::new(0) };
        let kept = Kept::within(source, budget);
        for _ in 0..3 {
            assert_eq!(kept.image(index).is_ok(), index == 0);
        }
        kept.source.asked.into_inner()
    }

    #[test]
    fn an_image_is_decoded_once_when_all_fit() {
        assert_eq!(ask_thrice(8, 0), 1);
        assert_eq!(ask_thrice(7, 0), 3);
    }

    #[test]
    fn a_failure_is_not_kept() {
        assert_eq!(ask_thrice(8, 1), 3);
    }
}
