//! What documents are laid out against: the modalities, the image's size, and how rows advance the rotary position.

use serde::{Deserialize, Serialize};

use crate::error::SequenceError;
use crate::modality::{Modality, Objective};
use crate::sample::{Content, Sample, Segment};

/// How the rows of a grid advance the position.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum PositionScheme {
    /// Every row has its own place, as if there were no grid.
    #[default]
    Sequential,
    /// All rows of a grid share one place (transfusion-pytorch's `derive_rotary_positions_from_modality_positions`).
    Shared,
    /// A row stands at the grid's place, plus its row and its column on axes of their own; what follows stands beyond the
    /// largest of the three (Qwen2-VL, 2409.12191).
    Axial,
}

impl PositionScheme {
    /// The position of the row at `[row, column]` of a grid that starts at `start`.
    pub(crate) fn on_grid(self, start: i32, [row, column]: [i32; 2], columns: i32) -> [i32; 3] {
        match self {
            Self::Sequential => [start + row * columns + column; 3],
            Self::Shared => [start; 3],
            Self::Axial => [start, start + row, start + column],
        }
    }

    /// How far a grid moves what follows it.
    pub(crate) fn advance(self, [rows, columns]: [i32; 2]) -> i32 {
        match self {
            Self::Sequential => rows * columns,
            Self::Shared => 1,
            Self::Axial => rows.max(columns),
        }
    }
}

/// What a document is laid out against: the modalities, the image's size and the positions. A model that knows images of
/// several sizes has a format for each.
#[derive(Clone, Debug, PartialEq)]
pub struct SequenceFormat {
    /// By lane.
    pub modalities: Vec<Modality>,
    /// `[latent_channels, height, width]` of every image.
    pub latent_shape: [usize; 3],
    /// Height and width of a patch, in latent pixels.
    pub patch_size: usize,
    /// How grids advance the position.
    pub positions: PositionScheme,
}

impl SequenceFormat {
    /// The same for images of another size.
    pub fn with_latent_shape(&self, latent_shape: [usize; 3]) -> Self {
        Self { latent_shape, ..self.clone() }
    }

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
            if let Some(rows) = rows.get_mut(segment.modality) {
                *rows += self.rows_of_segment(segment);
            }
        }
        rows
    }

    pub(crate) fn rows_of_segment(&self, segment: &Segment) -> usize {
        match &segment.content {
            Content::NextToken { ids, .. } => ids.len(),
            Content::Denoise(_) => self.rows_per_image(),
        }
    }

    /// What the last row of a segment is to predict: the first id of the next one, where both are of one vocabulary. Where
    /// they are not, the row's head cannot say what follows. So the row of BOI before patches has no target (Transfusion,
    /// footnote 8), and before codes of the same vocabulary it has one (Chameleon). What is given is predicted by nobody.
    pub(crate) fn target_across(&self, segment: &Segment, next: Option<&Segment>) -> Option<u32> {
        let next = next?;
        let tower = |segment: &Segment| self.modalities.get(segment.modality).map(|modality| modality.tower);
        next.ids().filter(|_| !next.given && tower(segment) == tower(next))?.first().copied()
    }

    /// Whether a segment fits the modality that it names.
    pub(crate) fn check(&self, segment: &Segment) -> Result<(), SequenceError> {
        let modality = segment.modality;
        let (found, objective) = match &segment.content {
            Content::NextToken { .. } => ("ids", Objective::NextToken),
            Content::Denoise(_) => ("an image", Objective::Denoise),
        };
        if self.modalities.get(modality).map(|m| m.objective) != Some(objective) {
            let expected = match self.modalities.get(modality) {
                Some(m) => format!("`{}` there, learned by {:?}", m.name, m.objective),
                None => format!("only {} modalities", self.modalities.len()),
            };
            return Err(SequenceError::WrongModality { modality, found, expected });
        }
        match &segment.content {
            Content::NextToken { ids, grid: Some(grid) } if ids.len() != grid.iter().product::<usize>() => {
                Err(SequenceError::WrongGrid { found: ids.len(), grid: *grid })
            }
            Content::Denoise(image) => {
                let (channels, height, width) = image.x_0.dim();
                let found = [channels, height, width];
                match found == self.latent_shape {
                    true => Ok(()),
                    false => Err(SequenceError::WrongImage { found, expected: self.latent_shape }),
                }
            }
            Content::NextToken { .. } => Ok(()),
        }
    }
}
