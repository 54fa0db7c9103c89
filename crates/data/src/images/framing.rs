//! What every image of a run is brought to, and how.

use serde::{Deserialize, Serialize};

use super::pixels::ImageShape;

/// What becomes of an image whose sides have another ratio than those that it is brought to.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Fit {
    /// The short side fits and the long side is cropped at its centre: what lies at its ends is lost.
    #[default]
    Crop,
    /// The whole image fits, and what it leaves free on both sides is white.
    Pad,
    /// Each side fits by itself: nothing is lost, and proportions change.
    Stretch,
}

/// A shape, and how an image is brought to it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Framing {
    /// Channels, height and width.
    pub shape: ImageShape,
    /// What becomes of other proportions.
    pub fit: Fit,
}

impl From<ImageShape> for Framing {
    /// As [`Fit::Crop`] has it.
    fn from(shape: ImageShape) -> Self {
        Self { shape, fit: Fit::default() }
    }
}
