//! Documents as `documents.json` has them, and what the model makes of them.

use std::sync::Arc;

use burn::tensor::{Device, Tensor, TensorData};
use interfuse_mot::CacheUse;
use interfuse_sequence::{Batch, LaneRows, LatentImage, LayoutBuilder, Objective, RowShape, Sample, Segment};
use interfuse_tests::values;
use interfuse_transfusion::{LaneInput, LanePrediction, ModelConfig, ModelInput, Transfusion};
use ndarray::Array3;
use serde::{Deserialize, Serialize};

/// Segments in reading order.
pub(crate) type Document = Vec<Piece>;

/// A segment: ids, or a noisy image and its time.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(untagged, deny_unknown_fields)]
pub(crate) enum Piece {
    /// Of a next-token modality.
    Tokens {
        modality: String,
        ids: Vec<u32>,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        grid: Option<[usize; 2]>,
    },
    /// Of a denoise modality; `x_t` lies channel by channel and row by row.
    Image { modality: String, x_t: Vec<f32>, shape: [usize; 3], t: f32 },
}

impl Piece {
    fn modality(&self) -> &str {
        match self {
            Self::Tokens { modality, .. } | Self::Image { modality, .. } => modality,
        }
    }

    fn segment(&self, config: &ModelConfig) -> Segment {
        let lane = config.lane(self.modality()).unwrap();
        match self {
            Self::Tokens { ids, grid: Some(grid), .. } => Segment::codes(lane, ids.clone(), *grid),
            Self::Tokens { ids, .. } => Segment::tokens(lane, ids.clone()),
            Self::Image { x_t, shape: [c, h, w], .. } => {
                let x_0 = Array3::from_shape_vec((*c, *h, *w), x_t.clone()).unwrap();
                Segment::image(lane, LatentImage { x_0: x_0.into(), precedes_caption: false })
            }
        }
    }
}

/// What the model makes of the segments of a document, which lies in a batch with padding behind it.
pub(crate) fn outputs(model: &Transfusion, config: &ModelConfig, document: &[Piece]) -> Vec<Vec<f32>> {
    let segments: Vec<Segment> = document.iter().map(|piece| piece.segment(config)).collect();
    let sample = Sample { id: 0, segments };
    let format = config.sequence_format();
    let format = Arc::new(format.with_latent_shape(sample.latent_shape().unwrap_or(format.latent_shape)));
    let image_rows = format.rows_per_image();
    let padded = |(lane, rows): (usize, usize)| match config.modality(lane).unwrap().objective() {
        Objective::Denoise => rows + image_rows,
        Objective::NextToken => rows + 2,
    };
    let shape = RowShape { capacity: format.rows_of(&sample).into_iter().enumerate().map(padded).collect() };
    let mut builder = LayoutBuilder::new(format);
    builder.push_sample(&sample, &shape).unwrap();
    let batch = Batch::new(&[builder.finish(&shape)], &Device::flex());
    let input = ModelInput {
        lanes: (0..batch.lanes.len()).map(|lane| lane_input(&batch, lane, document)).collect(),
        geometry: batch.lanes.iter().map(|lane| Some(lane.as_ref()?.geometry.clone())).collect(),
        dropout: None,
    };
    let predictions = model.forward(input, CacheUse::None);
    let mut lanes: Vec<std::vec::IntoIter<f32>> = predictions.lanes.into_iter().map(flat).collect();
    let numbers = |piece: &Piece| match piece {
        Piece::Tokens { ids, modality, .. } => ids.len() * config.vocabulary(modality).unwrap().vocab_size,
        Piece::Image { x_t, .. } => x_t.len(),
    };
    document
        .iter()
        .map(|piece| lanes[config.lane(piece.modality()).unwrap()].by_ref().take(numbers(piece)).collect())
        .collect()
}

/// The numbers of a lane, row by row or image by image.
fn flat(prediction: Option<LanePrediction>) -> std::vec::IntoIter<f32> {
    match prediction {
        Some(LanePrediction::NextToken(logits)) => values(logits),
        Some(LanePrediction::Denoise(images)) => values(images),
        None => vec![],
    }
    .into_iter()
}

/// The ids of the batch, or the noisy images of the document with an empty slot behind them.
fn lane_input(batch: &Batch, lane: usize, document: &[Piece]) -> Option<LaneInput> {
    match &batch.lanes[lane].as_ref()?.content {
        LaneRows::NextToken(rows) => Some(LaneInput::NextToken(rows.ids.clone())),
        LaneRows::Denoise(rows) => {
            let (slots, [c, h, w]) = (rows.spans[0].len(), rows.latent_shape);
            let (mut pixels, mut times) = (vec![], vec![]);
            for piece in document {
                if let Piece::Image { x_t, t, .. } = piece {
                    pixels.extend_from_slice(x_t);
                    times.push(*t);
                }
            }
            pixels.resize(slots * c * h * w, 0.0);
            times.resize(slots, 0.0);
            let device = Device::flex();
            Some(LaneInput::Denoise {
                x_t: Tensor::from_data(TensorData::new(pixels, [1, slots, c, h, w]), &device),
                t: Tensor::from_data(TensorData::new(times, [1, slots]), &device),
            })
        }
    }
}
