//! Three kinds of data, each with what a preset was tuned to on such data.
//!
//! Which images are noised how, how many documents are enough, and how images are sampled go together; mixing them is what
//! LOG.md's failed attempts did.

/// Captions that stand for so many images or more, on average, stand for a kind of image.
const IMAGES_PER_CAPTION: f64 = 4.0;
/// Up to so many images each can be learned by heart. The quickstart has 291 and the shapes have 8,192; between them nothing was
/// measured.
const FEW_IMAGES: usize = 2000;

/// Which preset's data a data set is most like.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Recipe {
    /// Few images, and a caption leads to its image: `configs/quickstart.toml`.
    ByHeart,
    /// Many images, and captions that differ: `configs/shapes.toml`.
    Composed,
    /// A caption stands for many images: `configs/fashion.toml`.
    Kinds,
}

impl Recipe {
    /// Of so many images, of which so many captions differ.
    pub(super) fn of(images: usize, distinct_captions: usize) -> Self {
        let per_caption = images as f64 / distinct_captions.max(1) as f64;
        match per_caption >= IMAGES_PER_CAPTION {
            true => Self::Kinds,
            false if images <= FEW_IMAGES => Self::ByHeart,
            false => Self::Composed,
        }
    }

    /// The preset whose settings these are.
    pub fn preset(self) -> &'static str {
        match self {
            Self::ByHeart => "quickstart",
            Self::Composed => "shapes",
            Self::Kinds => "fashion",
        }
    }

    /// How often each image should come up, and how many documents there should be at least, before minutes are spent on a larger
    /// model.
    fn wanted(self) -> (f64, f64) {
        match self {
            Self::ByHeart => (250.0, 40_000.0),
            Self::Composed => (8.0, 60_000.0),
            Self::Kinds => (6.0, 100_000.0),
        }
    }

    /// Documents that should be trained on before minutes are spent on smaller patches or a larger model.
    pub(super) fn wanted_documents(self, images: usize) -> f64 {
        let (sights, least) = self.wanted();
        (sights * images as f64).max(least)
    }

    /// Shift of the times for an image of so many pixels: the preset's for those of 32 × 32, and beyond by the root of the pixels
    /// (2403.03206, equation 23).
    pub(super) fn shift(self, pixels: usize) -> f64 {
        let preset = match self {
            Self::ByHeart => 8.0,
            Self::Composed => 3.0,
            Self::Kinds => 1.5,
        };
        let larger = (pixels as f64 / 1024.0).sqrt().max(1.0);
        ((preset * larger).min(8.0) * 10.0).round() / 10.0
    }

    /// Denoise steps of an image, and the scale of guidance.
    pub(super) fn sampling(self) -> (usize, f64) {
        match self {
            Self::ByHeart => (4, 1.0),
            Self::Composed => (12, 1.5),
            Self::Kinds => (25, 2.0),
        }
    }

    /// Fraction of the documents whose image comes before its caption.
    pub(super) fn image_first(self) -> f64 {
        match self {
            Self::Composed => 0.3,
            Self::ByHeart | Self::Kinds => 0.2,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_presets_data_have_the_presets_recipes() {
        assert_eq!(Recipe::of(291, 291), Recipe::ByHeart);
        assert_eq!(Recipe::of(8192, 1000 * 5), Recipe::Composed);
        assert_eq!(Recipe::of(60_000, 10), Recipe::Kinds);
        assert_eq!(Recipe::of(100, 1), Recipe::Kinds);
        let shifts = [Recipe::ByHeart, Recipe::Composed, Recipe::Kinds].map(|recipe| recipe.shift(28 * 28));
        assert_eq!(shifts, [8.0, 3.0, 1.5]);
        assert_eq!(Recipe::Composed.shift(64 * 64), 6.0);
    }
}
