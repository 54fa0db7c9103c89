//! Why a sample could not be laid out.

use thiserror::Error;

/// A sample that does not fit the model or the row shape. All of these are a matter of one sample: the loader skips and
/// counts it.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
pub enum SequenceError {
    /// A lane is too short for what remains to be placed.
    #[error("lane {modality} has {free} free rows of {capacity}, but the document needs {needed}")]
    LaneFull {
        /// Index of the lane.
        modality: usize,
        /// Rows that the document needs.
        needed: usize,
        /// Rows that are left.
        free: usize,
        /// Rows in all.
        capacity: usize,
    },
    /// The segment names a modality that the model does not have, or one of the other objective.
    #[error("a segment names modality {modality} as {found}, but the model has {expected}")]
    WrongModality {
        /// Index that the segment names.
        modality: usize,
        /// What the segment holds.
        found: &'static str,
        /// What the model has there.
        expected: String,
    },
    /// The ids of a segment do not fill its grid.
    #[error("a segment has {found} ids for a grid of {} × {}", grid[0], grid[1])]
    WrongGrid {
        /// Ids of the segment.
        found: usize,
        /// `[rows, columns]`
        grid: [usize; 2],
    },
    /// The image is of another size than the model's.
    #[error("an image has latents {found:?}, but the model takes {expected:?} (channels, height, width)")]
    WrongImage {
        /// `[channels, height, width]` of the image.
        found: [usize; 3],
        /// `[channels, height, width]` that the model takes.
        expected: [usize; 3],
    },
}
