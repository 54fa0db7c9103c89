//! What every image of a run is brought to, and how.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::pixels::ImageShape;
use crate::error::DataError;

/// What becomes of an image whose sides have another ratio than those that it is brought to.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Fit {
    /// The short side fits and the long side is cropped at its centre: what lies at its ends is lost.
    #[default]
    Crop,
    /// The same, but the long side is cropped somewhere, each time elsewhere; at its centre where nothing is trained.
    RandomCrop,
    /// The whole image fits, and what it leaves free on both sides is white.
    Pad,
    /// Each side fits by itself: nothing is lost, and proportions change.
    Stretch,
}

impl Fit {
    /// By how much an image of one size, height and width, is enlarged on its way to another; below 1 it is reduced.
    fn scale(self, [height, width]: [usize; 2], to: [usize; 2]) -> f64 {
        let [vertical, horizontal] = [to[0] as f64 / height.max(1) as f64, to[1] as f64 / width.max(1) as f64];
        match self {
            Self::Pad => vertical.min(horizontal),
            Self::Crop | Self::RandomCrop | Self::Stretch => vertical.max(horizontal),
        }
    }
}

/// One shape or several, and how an image is brought to one of them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Framing {
    /// Channels, height and width where no image says otherwise.
    pub shape: ImageShape,
    /// Heights and widths beside it, of which an image takes those whose proportions are nearest to its own.
    pub sizes: Arc<[[usize; 2]]>,
    /// What becomes of other proportions.
    pub fit: Fit,
    /// Whether an image may be enlarged.
    pub upscale: bool,
}

impl From<ImageShape> for Framing {
    /// As [`Fit::Crop`] has it, enlarged where need be.
    fn from(shape: ImageShape) -> Self {
        Self { shape, sizes: Arc::default(), fit: Fit::default(), upscale: true }
    }
}

/// Proportions that differ by less are alike: 5 %, in logarithms.
const ALIKE: f64 = 0.05;

impl Framing {
    /// The same for one shape alone.
    #[must_use]
    pub fn of_one_size(&self) -> Self {
        Self { sizes: Arc::default(), ..self.clone() }
    }

    /// The same for any image that a user brings, however small. One that is padded stays as it is, as in training.
    #[must_use]
    pub fn of_any_image(&self) -> Self {
        Self { upscale: self.upscale || self.fit != Fit::Pad, ..self.clone() }
    }

    /// All heights and widths, that of `shape` first.
    pub fn all_sizes(&self) -> impl Iterator<Item = [usize; 2]> {
        let first = [self.shape.height, self.shape.width];
        std::iter::once(first).chain(self.sizes.iter().copied().filter(move |size| *size != first))
    }

    /// The height and width that an image of a height and width is brought to: of those for which it need not be enlarged the
    /// ones whose proportions are nearest to its own, and of several alike the largest. Where it must be enlarged whatever is
    /// taken, of all sizes, and of several alike the smallest.
    pub fn size_of(&self, native: [usize; 2]) -> [usize; 2] {
        let ratio = |[height, width]: [usize; 2]| (height.max(1) as f64 / width.max(1) as f64).ln();
        let gap = |size: &[usize; 2]| (ratio(*size) - ratio(native)).abs();
        let area = |size: &[usize; 2]| size[0] * size[1];
        let large_enough: Vec<_> = self.all_sizes().filter(|size| self.fit.scale(native, *size) <= 1.0).collect();
        let is_small = large_enough.is_empty();
        let sizes = if is_small { self.all_sizes().collect() } else { large_enough };
        let least = sizes.iter().map(gap).fold(f64::INFINITY, f64::min);
        let alike = sizes.iter().filter(|size| gap(size) <= least + ALIKE);
        // Of the same area the nearer one, and then the first.
        let nearer = |a: &[usize; 2], b: &[usize; 2]| gap(b).total_cmp(&gap(a));
        let chosen = match is_small {
            true => alike.rev().max_by(|a, b| area(b).cmp(&area(a)).then(nearer(a, b))),
            false => alike.rev().max_by(|a, b| area(a).cmp(&area(b)).then(nearer(a, b))),
        };
        chosen.copied().unwrap_or([self.shape.height, self.shape.width])
    }

    /// Refuses an image of a height and width that would have to be enlarged and may not be.
    ///
    /// # Errors
    ///
    /// Says how large it must be.
    pub(crate) fn check(&self, native: [usize; 2]) -> Result<(), DataError> {
        if self.upscale || !self.must_enlarge(native) {
            return Ok(());
        }
        let [height, width] = self.size_of(native);
        let expected = format!("at least {height} × {width} pixels, or data.upscale = true");
        Err(DataError::malformed("image", expected, format!("{} × {}", native[0], native[1])))
    }

    /// Whether an image of a height and width would have to be enlarged for the size that it is brought to. An image that is
    /// padded need not be.
    pub fn must_enlarge(&self, native: [usize; 2]) -> bool {
        self.fit != Fit::Pad && self.fit.scale(native, self.size_of(native)) > 1.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn framing(sizes: &[[usize; 2]], fit: Fit) -> Framing {
        let shape = ImageShape { channels: 3, height: 64, width: 64 };
        Framing { sizes: sizes.into(), fit, upscale: false, ..shape.into() }
    }

    #[test]
    fn an_image_takes_the_size_of_the_nearest_proportions() {
        let framing = framing(&[[48, 80], [80, 48], [40, 96]], Fit::Crop);
        let cases = [
            ([640, 640], [64, 64]),
            ([500, 600], [64, 64]),
            ([480, 640], [48, 80]),
            ([480, 720], [48, 80]),
            ([720, 480], [80, 48]),
            ([1080, 1920], [48, 80]),
            ([500, 1500], [40, 96]),
            ([3000, 100], [80, 48]),
        ];
        for (native, expected) in cases {
            assert_eq!(framing.size_of(native), expected, "{native:?}");
        }
    }

    #[test]
    fn of_like_proportions_it_is_the_largest_that_needs_no_enlarging() {
        let framing = framing(&[[128, 128], [32, 32], [96, 160]], Fit::Crop);
        for (side, expected) in [(300, 128), (128, 128), (127, 64), (64, 64), (40, 32), (20, 32)] {
            assert_eq!(framing.size_of([side, side]), [expected; 2], "{side}");
        }
        assert_eq!(framing.size_of([100, 166]), [96, 160]);
        // Of the nearest proportions there is none that small.
        assert_eq!(framing.size_of([80, 133]), [64, 64]);
        assert!(!framing.must_enlarge([40, 40]) && framing.must_enlarge([20, 20]));
    }

    #[test]
    fn what_is_padded_is_never_enlarged() {
        let crop = framing(&[], Fit::Crop);
        assert!(crop.must_enlarge([63, 200]) && !crop.must_enlarge([64, 64]));
        assert!(framing(&[], Fit::Stretch).must_enlarge([63, 200]));
        assert!(!framing(&[], Fit::Pad).must_enlarge([10, 10]));
    }
}
