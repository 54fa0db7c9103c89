//! What goes into the model.

use burn::tensor::{Device, Int, Tensor};
use interfuse_image_tower::{NoiseKey, NoisedLatents, TimestepChoice, noise_batch};
use interfuse_kernels::Dropout;
use interfuse_sequence::{Batch, LaneRows, RowGeometry, SequenceLayout};

use crate::config::{ModalityConfig, ModelConfig};

/// Rows of all lanes, as the model sees them.
#[derive(Clone, Debug)]
pub struct ModelInput {
    /// By lane; `None` for a lane without rows.
    pub lanes: Vec<Option<LaneInput>>,
    /// By lane.
    pub geometry: Vec<Option<RowGeometry>>,
    /// What the backbone leaves out; `None` outside training.
    pub dropout: Option<Dropout>,
}

/// What the rows of a lane hold, as the model sees it.
#[derive(Clone, Debug)]
#[allow(clippy::large_enum_variant)] // There are as many as modalities.
pub enum LaneInput {
    /// Ids. `[B, S]`
    NextToken(Tensor<2, Int>),
    /// Noisy images and their times.
    Denoise {
        /// `[B, N, C, H, W]`
        x_t: Tensor<5>,
        /// `[B, N]`
        t: Tensor<2>,
    },
}

/// A batch with its noise: everything that one forward pass and its loss need, on the device.
#[derive(Clone, Debug)]
pub struct TrainBatch {
    /// Rows and targets.
    pub batch: Batch,
    /// By lane; `None` for a lane of tokens or without rows.
    pub noised: Vec<Option<NoisedLatents>>,
    /// What the backbone leaves out; `None` where a model is only measured.
    pub dropout: Option<Dropout>,
}

impl TrainBatch {
    /// The only step from the host to the device.
    pub fn new(
        layouts: &[SequenceLayout],
        config: &ModelConfig,
        key: NoiseKey,
        choice: TimestepChoice,
        device: &Device,
    ) -> Self {
        let batch = Batch::new(layouts, device);
        let noised = batch
            .lanes
            .iter()
            .zip(config.modalities.values())
            .map(|(lane, tower)| match (lane.as_ref().map(|lane| &lane.content), tower) {
                (Some(LaneRows::Denoise(rows)), ModalityConfig::Denoise(image)) => {
                    Some(noise_batch(rows, image, key, choice, device))
                }
                _ => None,
            })
            .collect();
        Self { batch, noised, dropout: None }
    }

    /// The batch as one of training, which leaves out what the model's settings say; `index` is its place among all micro-batches
    /// of the step, whichever rank or worker computes it.
    pub fn with_dropout(self, config: &ModelConfig, key: NoiseKey, index: usize) -> Self {
        Self { dropout: Dropout::new(config.backbone.dropout, &[key.seed, key.step, index as u64]), ..self }
    }

    /// Rows of all sequences in a lane, padding included.
    pub fn rows(&self, lane: usize) -> usize {
        let lane = self.batch.lanes[lane].as_ref();
        lane.map_or(0, |lane| lane.geometry.order.dims().iter().product())
    }

    /// Patches of an image of a lane; 0 for one of tokens or without rows.
    pub fn patches_per_image(&self, lane: usize) -> usize {
        match self.batch.lanes[lane].as_ref().map(|lane| &lane.content) {
            Some(LaneRows::Denoise(rows)) => rows.rows_per_image,
            _ => 0,
        }
    }

    /// The part that the model sees.
    pub fn input(&self) -> ModelInput {
        let lanes =
            self.batch.lanes.iter().zip(&self.noised).map(|(lane, noised)| match (&lane.as_ref()?.content, noised) {
                (LaneRows::NextToken(rows), _) => Some(LaneInput::NextToken(rows.ids.clone())),
                (LaneRows::Denoise(_), Some(noised)) => {
                    Some(LaneInput::Denoise { x_t: noised.x_t.clone(), t: noised.t.clone() })
                }
                (LaneRows::Denoise(_), None) => None,
            });
        ModelInput {
            lanes: lanes.collect(),
            geometry: self.batch.lanes.iter().map(|lane| Some(lane.as_ref()?.geometry.clone())).collect(),
            dropout: self.dropout,
        }
    }
}
