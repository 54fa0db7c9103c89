//! Lays documents out, row by row, in reading order. Training lays out whole samples; sampling continues a sequence.

use std::sync::Arc;

use ndarray::Array3;

use crate::error::SequenceError;
use crate::format::SequenceFormat;
use crate::layout::{LaneContent, LaneLayout, RowShape, SequenceLayout, Span};
use crate::sample::{Attention, Content, LatentImage, Sample};
use crate::visibility::Visibility;

/// Places rows at the end of a growing sequence.
#[derive(Clone, Debug)]
pub struct LayoutBuilder {
    format: Arc<SequenceFormat>,
    lanes: Vec<LaneLayout>,
    /// The place in reading order of the next row.
    order: i32,
    /// Where the document that is being laid out starts.
    document_start: i32,
    /// The rotary position of the next row on no grid; every document starts at 0.
    position: i32,
    /// The grid that the next rows fill.
    grid: Option<OpenGrid>,
    /// From where on the next rows are hidden.
    hidden_from: i32,
}

/// A grid that is not yet full.
#[derive(Clone, Copy, Debug)]
struct OpenGrid {
    /// `[rows, columns]`
    shape: [i32; 2],
    /// Rows of the sequence placed on it so far.
    placed: i32,
}

impl LayoutBuilder {
    /// An empty sequence with one empty document.
    pub fn new(format: Arc<SequenceFormat>) -> Self {
        let lanes = LaneLayout::empty_of(&format);
        let hidden_from = Visibility::NOBODY;
        Self { format, lanes, order: 0, document_start: 0, position: 0, grid: None, hidden_from }
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
        self.grid = None;
    }

    /// The rows that a sample needs in each lane, which the sequence still has.
    ///
    /// # Errors
    /// When a segment does not fit its modality, or a lane has too few rows left.
    pub fn fit(&self, sample: &Sample, shape: &RowShape) -> Result<Vec<usize>, SequenceError> {
        for segment in &sample.segments {
            self.format.check(segment)?;
        }
        let rows = self.format.rows_of(sample);
        for (modality, &needed) in rows.iter().enumerate() {
            let capacity = shape.capacity[modality];
            let free = capacity.saturating_sub(self.filled(modality));
            if needed > free {
                return Err(SequenceError::LaneFull { modality, needed, free, capacity });
            }
        }
        Ok(rows)
    }

    /// Lays out a whole sample as one document, or nothing of it when it does not fit.
    ///
    /// # Errors
    /// When a segment does not fit its modality, or a lane has too few rows left.
    pub fn push_sample(&mut self, sample: &Sample, shape: &RowShape) -> Result<(), SequenceError> {
        self.fit(sample, shape)?;
        self.begin_document();
        let format = Arc::clone(&self.format);
        let mut image_index = 0;
        for (index, segment) in sample.segments.iter().enumerate() {
            let start = self.position;
            if segment.hidden {
                self.hidden_from = self.order + format.rows_of_segment(segment) as i32;
            }
            match &segment.content {
                Content::NextToken { ids, grid } => {
                    if let Some(grid) = grid {
                        self.begin_grid(*grid);
                    }
                    let next = format.target_across(segment, sample.segments.get(index + 1));
                    match segment.attention {
                        Attention::Causal if segment.given => self.push_given_tokens(segment.modality, ids, next),
                        Attention::Causal => self.push_tokens(segment.modality, ids, next),
                        Attention::Bidirectional => self.push_seen_tokens(segment.modality, ids),
                    }
                }
                Content::Denoise(LatentImage { x_0, precedes_caption }) => {
                    let (precedes_caption, given, x_0) = (*precedes_caption, segment.given, Arc::clone(x_0));
                    let span = Span { sample: sample.id, image_index, precedes_caption, given, x_0 };
                    self.push_span(segment.modality, span);
                    // A hidden image and its copy are one image.
                    image_index += usize::from(!segment.hidden);
                }
            }
            if segment.hidden {
                (self.hidden_from, self.position) = (Visibility::NOBODY, start);
            }
        }
        Ok(())
    }

    /// Lets the next rows fill a grid `[rows, columns]`, row by row.
    pub fn begin_grid(&mut self, [rows, columns]: [usize; 2]) {
        let shape = [rows as i32, columns as i32];
        self.grid = (rows * columns > 0).then_some(OpenGrid { shape, placed: 0 });
    }

    /// Appends ids, each of which predicts the one after it, the last one `next`.
    pub fn push_tokens(&mut self, modality: usize, ids: &[u32], next: Option<u32>) {
        for (index, &id) in ids.iter().enumerate() {
            self.push_row(modality, Visibility::causal(self.order, self.document_start));
            self.push_id(modality, id, ids.get(index + 1).copied().or(next));
        }
    }

    /// Appends ids that are given: the last one predicts `next`, the others nothing.
    fn push_given_tokens(&mut self, modality: usize, ids: &[u32], next: Option<u32>) {
        for (index, &id) in ids.iter().enumerate() {
            self.push_row(modality, Visibility::causal(self.order, self.document_start));
            self.push_id(modality, id, next.filter(|_| index + 1 == ids.len()));
        }
    }

    /// Appends ids that all see one another, and so predict nothing.
    fn push_seen_tokens(&mut self, modality: usize, ids: &[u32]) {
        let end = self.order + ids.len() as i32;
        for &id in ids {
            self.push_row(modality, Visibility::bidirectional(self.order, self.document_start, end));
            self.push_id(modality, id, None);
        }
    }

    /// Lets the images that follow have another size, until the next call. A lane holds images of one size, so nothing may have
    /// been placed since the last [`Self::take`].
    pub fn set_latent_shape(&mut self, latent_shape: [usize; 3]) {
        if self.format.latent_shape != latent_shape {
            self.format = Arc::new(self.format.with_latent_shape(latent_shape));
            self.lanes = LaneLayout::empty_of(&self.format);
        }
    }

    /// Appends an image whose latents are yet to be made; its rows hold zeros.
    pub fn push_blank_image(&mut self, modality: usize, sample: u64, image_index: usize) {
        let [channels, height, width] = self.format.latent_shape;
        let x_0 = Arc::new(Array3::zeros((channels, height, width)));
        self.push_span(modality, Span { sample, image_index, precedes_caption: false, given: false, x_0 });
    }

    /// The patches of an image, left to right and top to bottom.
    fn push_span(&mut self, modality: usize, span: Span) {
        let rows = self.format.rows_per_image();
        let end = self.order + rows as i32;
        self.begin_grid(self.format.patch_grid());
        for _ in 0..rows {
            self.push_row(modality, Visibility::bidirectional(self.order, self.document_start, end));
        }
        if let LaneContent::Denoise { spans, .. } = &mut self.lanes[modality].content {
            spans.push(Some(span));
        }
    }

    fn push_row(&mut self, modality: usize, visibility: Visibility) {
        let position = self.next_position();
        let lane = &mut self.lanes[modality];
        lane.visibility.push(visibility.hidden(self.hidden_from));
        lane.positions.push(position);
        self.order += 1;
    }

    fn push_id(&mut self, modality: usize, id: u32, target: Option<u32>) {
        if let LaneContent::NextToken { ids, targets } = &mut self.lanes[modality].content {
            ids.push(id);
            targets.push(target);
        }
    }

    fn next_position(&mut self) -> [i32; 3] {
        let (scheme, start) = (self.format.positions, self.position);
        let Some(grid) = &mut self.grid else {
            self.position += 1;
            return [start; 3];
        };
        let [rows, columns] = grid.shape;
        let position = scheme.on_grid(start, [grid.placed / columns, grid.placed % columns], columns);
        grid.placed += 1;
        if grid.placed == rows * columns {
            self.grid = None;
            self.position += scheme.advance([rows, columns]);
        }
        position
    }

    /// Takes the rows placed since the last call. The sequence goes on where it was: this is how sampling lays out one
    /// token or one image after what is in the cache.
    pub fn take(&mut self) -> SequenceLayout {
        let lanes = std::mem::replace(&mut self.lanes, LaneLayout::empty_of(&self.format));
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
