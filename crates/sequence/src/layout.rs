//! One sequence laid out on the host: lanes of rows, as plain `Vec`s.

use std::sync::Arc;

use ndarray::Array3;
use serde::{Deserialize, Serialize};

use crate::format::SequenceFormat;
use crate::modality::Objective;
use crate::visibility::Visibility;

/// The size of every lane. All sequences of a batch have one row shape, so the shapes on the device do not change from
/// step to step.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RowShape {
    /// Rows of each lane, in the order of the modalities' names; those of images a multiple of the rows of one image.
    pub capacity: Vec<usize>,
}

impl RowShape {
    /// Rows of all lanes together.
    pub fn rows(&self) -> usize {
        self.capacity.iter().sum()
    }

    /// Room for as many images of another size, and as many other rows; `from` is the format that this shape is made for.
    #[must_use]
    pub fn at(&self, from: &SequenceFormat, to: &SequenceFormat) -> Self {
        let (old, new) = (from.rows_per_image().max(1), to.rows_per_image());
        let lanes = self.capacity.iter().zip(&from.modalities);
        let capacity = lanes.map(|(&rows, modality)| match modality.objective {
            Objective::NextToken => rows,
            Objective::Denoise => rows / old * new,
        });
        Self { capacity: capacity.collect() }
    }
}

/// One packed line of a batch.
#[derive(Clone, Debug)]
pub struct SequenceLayout {
    /// By modality.
    pub lanes: Vec<LaneLayout>,
}

/// The rows of one modality, in reading order among themselves, then padding.
#[derive(Clone, Debug)]
pub struct LaneLayout {
    /// Who each row may see.
    pub visibility: Vec<Visibility>,
    /// Where each row stands for the rotary embedding: place in the sequence, row and column of its grid. A row on no grid has
    /// the same number three times.
    pub positions: Vec<[i32; 3]>,
    /// What the rows hold.
    pub content: LaneContent,
}

/// What the rows of a lane hold.
#[derive(Clone, Debug)]
pub enum LaneContent {
    /// Rows of a next-token modality.
    NextToken {
        /// The id of each row; 0 for padding.
        ids: Vec<u32>,
        /// What each row is to predict, if anything.
        targets: Vec<Option<u32>>,
    },
    /// Rows of a denoise modality: whole images of one size, `rows_per_image` rows each.
    Denoise {
        /// `[latent_channels, height, width]` of every image.
        latent_shape: [usize; 3],
        /// Patches of an image.
        rows_per_image: usize,
        /// The images, by slot; `None` for an empty slot.
        spans: Vec<Option<Span>>,
    },
}

/// One image in a lane.
#[derive(Clone, Debug)]
pub struct Span {
    /// The sample that it belongs to.
    pub sample: u64,
    /// Its number among the images of that sample.
    pub image_index: usize,
    /// See [`crate::LatentImage::precedes_caption`].
    pub precedes_caption: bool,
    /// See [`crate::Segment::given`].
    pub given: bool,
    /// `[latent_channels, height, width]`
    pub x_0: Arc<Array3<f32>>,
}

impl LaneLayout {
    /// An empty lane for each modality of a format.
    pub(crate) fn empty_of(format: &SequenceFormat) -> Vec<Self> {
        let (latent_shape, rows_per_image) = (format.latent_shape, format.rows_per_image());
        let content = |objective| match objective {
            Objective::NextToken => LaneContent::NextToken { ids: vec![], targets: vec![] },
            Objective::Denoise => LaneContent::Denoise { latent_shape, rows_per_image, spans: vec![] },
        };
        format.modalities.iter().map(|modality| Self::empty(content(modality.objective))).collect()
    }

    fn empty(content: LaneContent) -> Self {
        Self { visibility: vec![], positions: vec![], content }
    }

    /// Rows in the lane, padding included.
    pub fn len(&self) -> usize {
        self.visibility.len()
    }

    /// Whether the lane has no row at all.
    pub fn is_empty(&self) -> bool {
        self.visibility.is_empty()
    }

    /// Rows that are not padding.
    pub fn filled(&self) -> usize {
        self.visibility.iter().filter(|row| !row.is_padding()).count()
    }

    /// Adds padding up to `rows` rows. An image lane is padded by whole slots.
    pub fn pad_to(&mut self, rows: usize) {
        self.visibility.resize(rows.max(self.visibility.len()), Visibility::PADDING);
        self.positions.resize(self.visibility.len(), [0; 3]);
        match &mut self.content {
            LaneContent::NextToken { ids, targets } => {
                ids.resize(self.visibility.len(), 0);
                targets.resize(self.visibility.len(), None);
            }
            LaneContent::Denoise { rows_per_image, spans, .. } => {
                spans.resize(self.visibility.len() / (*rows_per_image).max(1), None);
            }
        }
    }
}

impl SequenceLayout {
    /// Rows with a next-token target in the lane of `modality`.
    pub fn targets(&self, modality: usize) -> usize {
        match &self.lanes[modality].content {
            LaneContent::NextToken { targets, .. } => targets.iter().flatten().count(),
            LaneContent::Denoise { .. } => 0,
        }
    }

    /// Images in the lane of `modality`.
    pub fn images(&self, modality: usize) -> usize {
        match &self.lanes[modality].content {
            LaneContent::NextToken { .. } => 0,
            LaneContent::Denoise { spans, .. } => spans.iter().flatten().count(),
        }
    }

    /// `[latent_channels, height, width]` of the images that it has room for, where some lane is of images.
    pub fn latent_shape(&self) -> Option<[usize; 3]> {
        self.lanes.iter().find_map(|lane| match lane.content {
            LaneContent::Denoise { latent_shape, .. } => Some(latent_shape),
            LaneContent::NextToken { .. } => None,
        })
    }

    /// All rows that are not padding as (modality, row of the lane), in reading order.
    pub fn reading_order(&self) -> Vec<(usize, usize)> {
        let mut rows: Vec<(usize, usize)> = Vec::new();
        for (modality, lane) in self.lanes.iter().enumerate() {
            rows.extend((0..lane.len()).filter(|&row| !lane.visibility[row].is_padding()).map(|row| (modality, row)));
        }
        rows.sort_by_key(|&(modality, row)| self.lanes[modality].visibility[row].order);
        rows
    }
}
