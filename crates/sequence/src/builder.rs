//! Lays documents out, row by row, in reading order. Training lays out whole samples; sampling continues a sequence.

use std::sync::Arc;

use ndarray::Array3;
use serde::{Deserialize, Serialize};

use crate::error::SequenceError;
use crate::layout::{LaneContent, LaneLayout, RowShape, SequenceLayout, Span};
use crate::modality::{Modality, Objective};
use crate::sample::{LatentImage, Sample, Segment};
use crate::visibility::Visibility;

/// How the patches of an image advance the position.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum PositionScheme {
    /// Every patch has its own place, as if it were a token.
    #[default]
    Sequential,
    /// All patches of an image share one place (transfusion-pytorch's `derive_rotary_positions_from_modality_positions`).
    Shared,
    /// A patch stands at the image's place, plus its row and its column on axes of their own; what follows stands beyond
    /// the largest of the three (Qwen2-VL, 2409.12191).
    Axial,
}

/// What a document is laid out against: the modalities, the image's size and the positions.
#[derive(Clone, Debug, PartialEq)]
pub struct SequenceFormat {
    /// By lane.
    pub modalities: Vec<Modality>,
    /// `[latent_channels, height, width]` of every image.
    pub latent_shape: [usize; 3],
    /// Height and width of a patch, in latent pixels.
    pub patch_size: usize,
    /// How patches advance the position.
    pub positions: PositionScheme,
}

impl SequenceFormat {
    /// Rows and columns of patches of an image.
    pub fn patch_grid(&self) -> [usize; 2] {
        [self.latent_shape[1] / self.patch_size, self.latent_shape[2] / self.patch_size]
    }

    /// Rows of the sequence that an image takes.
    pub fn rows_per_image(&self) -> usize {
        self.patch_grid().iter().product()
    }

    /// Rows that a sample needs in each lane.
    pub fn rows_of(&self, sample: &Sample) -> Vec<usize> {
        let mut rows = vec![0; self.modalities.len()];
        for segment in &sample.segments {
            match segment {
                Segment::Tokens { modality, ids } if *modality < rows.len() => rows[*modality] += ids.len(),
                Segment::Image { modality, .. } if *modality < rows.len() => rows[*modality] += self.rows_per_image(),
                _ => {}
            }
        }
        rows
    }
}

/// Places rows at the end of a growing sequence.
#[derive(Clone, Debug)]
pub struct LayoutBuilder {
    format: Arc<SequenceFormat>,
    lanes: Vec<LaneLayout>,
    /// The place in reading order of the next row.
    order: i32,
    /// Where the document that is being laid out starts.
    document_start: i32,
    /// The rotary position of the next row; every document starts at 0.
    position: i32,
}

impl LayoutBuilder {
    /// An empty sequence with one empty document.
    pub fn new(format: Arc<SequenceFormat>) -> Self {
        let lanes = Self::empty_lanes(&format);
        Self { format, lanes, order: 0, document_start: 0, position: 0 }
    }

    fn empty_lanes(format: &SequenceFormat) -> Vec<LaneLayout> {
        format.modalities.iter().map(|modality| LaneLayout::empty(modality, format.rows_per_image())).collect()
    }

    /// Rows placed so far in the lane of `modality`, since the last [`Self::take`].
    pub fn filled(&self, modality: usize) -> usize {
        self.lanes[modality].len()
    }

    /// Rows placed so far in all lanes, since the sequence began.
    pub fn rows(&self) -> usize {
        self.order as usize
    }

    /// Starts another document, which sees nothing of what came before.
    pub fn begin_document(&mut self) {
        self.document_start = self.order;
        self.position = 0;
    }

    /// Lays out a whole sample as one document, or nothing of it when it does not fit.
    pub fn push_sample(&mut self, sample: &Sample, shape: &RowShape) -> Result<(), SequenceError> {
        for segment in &sample.segments {
            self.check_segment(segment)?;
        }
        for (modality, needed) in self.format.rows_of(sample).into_iter().enumerate() {
            let capacity = shape.capacity[modality];
            let free = capacity.saturating_sub(self.filled(modality));
            if needed > free {
                return Err(SequenceError::LaneFull { modality, needed, free, capacity });
            }
        }
        self.begin_document();
        let mut image_index = 0;
        for (index, segment) in sample.segments.iter().enumerate() {
            match segment {
                Segment::Tokens { modality, ids } => {
                    // The last token of a stretch is followed by something that its own head cannot say: no target.
                    // So the row of BOI is not scored (Transfusion, footnote 8).
                    let next = match sample.segments.get(index + 1) {
                        Some(Segment::Tokens { modality: next, ids }) if next == modality => ids.first().copied(),
                        _ => None,
                    };
                    self.push_tokens(*modality, ids, next);
                }
                Segment::Image { modality, image } => {
                    self.push_image(*modality, sample.id, image_index, image);
                    image_index += 1;
                }
            }
        }
        Ok(())
    }

    fn check_segment(&self, segment: &Segment) -> Result<(), SequenceError> {
        let (modality, found, objective) = match segment {
            Segment::Tokens { modality, .. } => (*modality, "tokens", Objective::NextToken),
            Segment::Image { modality, .. } => (*modality, "an image", Objective::Denoise),
        };
        if self.format.modalities.get(modality).map(|m| m.objective) != Some(objective) {
            let expected = match self.format.modalities.get(modality) {
                Some(m) => format!("`{}` there, learned by {:?}", m.name, m.objective),
                None => format!("only {} modalities", self.format.modalities.len()),
            };
            return Err(SequenceError::WrongModality { modality, found, expected });
        }
        if let Segment::Image { image, .. } = segment {
            let (channels, height, width) = image.x_0.dim();
            let found = [channels, height, width];
            if found != self.format.latent_shape {
                return Err(SequenceError::WrongImage { found, expected: self.format.latent_shape });
            }
        }
        Ok(())
    }

    /// Appends tokens; each predicts the one after it, the last one `next`.
    pub fn push_tokens(&mut self, modality: usize, tokens: &[u32], next: Option<u32>) {
        for (index, &token) in tokens.iter().enumerate() {
            let visibility = Visibility::causal(self.order, self.document_start);
            let position = [self.position; 3];
            let lane = &mut self.lanes[modality];
            lane.visibility.push(visibility);
            lane.positions.push(position);
            if let LaneContent::Tokens { ids, targets } = &mut lane.content {
                ids.push(token);
                targets.push(tokens.get(index + 1).copied().or(next));
            }
            self.order += 1;
            self.position += 1;
        }
    }

    /// Appends the patches of an image, left to right and top to bottom.
    pub fn push_image(&mut self, modality: usize, sample: u64, image_index: usize, image: &LatentImage) {
        let span = Span { sample, image_index, precedes_caption: image.precedes_caption, x_0: Arc::clone(&image.x_0) };
        self.push_span(modality, span);
    }

    /// Appends an image whose latents are yet to be made; its rows hold zeros.
    pub fn push_blank_image(&mut self, modality: usize, sample: u64, image_index: usize) {
        let [channels, height, width] = self.format.latent_shape;
        let x_0 = Arc::new(Array3::zeros((channels, height, width)));
        self.push_span(modality, Span { sample, image_index, precedes_caption: false, x_0 });
    }

    fn push_span(&mut self, modality: usize, span: Span) {
        let [grid_rows, grid_columns] = self.format.patch_grid();
        let end = self.order + (grid_rows * grid_columns) as i32;
        let start = self.position;
        let lane = &mut self.lanes[modality];
        for row in 0..grid_rows as i32 {
            for column in 0..grid_columns as i32 {
                lane.visibility.push(Visibility::within_image(self.order, self.document_start, end));
                lane.positions.push(match self.format.positions {
                    PositionScheme::Sequential => [start + row * grid_columns as i32 + column; 3],
                    PositionScheme::Shared => [start; 3],
                    PositionScheme::Axial => [start, start + row, start + column],
                });
                self.order += 1;
            }
        }
        self.position = start
            + match self.format.positions {
                PositionScheme::Sequential => (grid_rows * grid_columns) as i32,
                PositionScheme::Shared => 1,
                PositionScheme::Axial => grid_rows.max(grid_columns) as i32,
            };
        if let LaneContent::Latents { spans, .. } = &mut lane.content {
            spans.push(Some(span));
        }
    }

    /// Takes the rows placed since the last call. The sequence goes on where it was: this is how sampling lays out one
    /// token or one image after what is in the cache.
    pub fn take(&mut self) -> SequenceLayout {
        let lanes = std::mem::replace(&mut self.lanes, Self::empty_lanes(&self.format));
        SequenceLayout { lanes }
    }

    /// Pads every lane to its capacity and ends the sequence.
    pub fn finish(mut self, shape: &RowShape) -> SequenceLayout {
        for (lane, &capacity) in self.lanes.iter_mut().zip(&shape.capacity) {
            lane.pad_to(capacity);
        }
        SequenceLayout { lanes: self.lanes }
    }
}
