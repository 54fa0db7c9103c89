//! The hybrid objective (Transfusion, 2408.11039, equation 4):
//!
//! ```text
//! total = text_weight · L_next_token + image_weight · L_denoising          (1 and λ = 5 by default)
//! ```
//!
//! `L_next_token` is the mean over scored tokens, in nats; `L_denoising` the mean over images of an image's mean squared
//! error. Both means run over the whole optimizer step, so accumulating over micro-batches gives the gradient of one large
//! batch exactly: the caller counts first and passes the counts as a [`Normalizer`].

use burn::tensor::Tensor;
use interfuse_image_tower::denoising_loss;
use interfuse_sequence::LaneRows;
use interfuse_text_tower::next_token_loss;
use serde::{Deserialize, Serialize};

use crate::config::ConfigError;
use crate::input::TrainBatch;
use crate::model::{LanePrediction, Predictions, Tower, Transfusion};

/// How the losses are weighed.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct ObjectiveConfig {
    /// Weight of the next-token loss.
    pub text_weight: f64,
    /// Weight λ of the denoising loss.
    pub image_weight: f64,
    /// What the denoising loss is a mean over.
    pub image_averaging: ImageAveraging,
}

/// What the denoising loss is a mean over. The same for images of one size.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ImageAveraging {
    /// Every image counts alike, however many patches it has. Transfusion's wording; the default.
    #[default]
    PerImage,
    /// Every patch counts alike.
    PerPatch,
}

impl Default for ObjectiveConfig {
    fn default() -> Self {
        Self { text_weight: 1.0, image_weight: 5.0, image_averaging: ImageAveraging::PerImage }
    }
}

impl ObjectiveConfig {
    /// Checks the settings.
    ///
    /// # Errors
    /// Names the key, what was expected and what was found.
    pub fn validate(&self) -> Result<(), ConfigError> {
        for (key, weight) in [("text_weight", self.text_weight), ("image_weight", self.image_weight)] {
            if !(weight >= 0.0 && weight.is_finite()) {
                return Err(ConfigError(format!("objective.{key}: expected a number from 0, found {weight}")));
            }
        }
        if self.text_weight + self.image_weight == 0.0 {
            return Err(ConfigError("objective: expected at least one weight above 0, found none".into()));
        }
        Ok(())
    }
}

impl ImageAveraging {
    /// The mean of per-image mean squared errors, each with the patches of its image. 0 without images.
    pub fn mean(&self, errors: &[(f64, usize)]) -> f64 {
        let weight = |patches: usize| match self {
            Self::PerImage => 1.0,
            Self::PerPatch => patches as f64,
        };
        let total: f64 = errors.iter().map(|&(_, patches)| weight(patches)).sum();
        let sum: f64 = errors.iter().map(|&(error, patches)| error * weight(patches)).sum();
        if total > 0.0 { sum / total } else { 0.0 }
    }
}

impl ObjectiveConfig {
    /// `text_weight · text + image_weight · image`
    pub fn total(&self, text: f64, image: f64) -> f64 {
        self.text_weight * text + self.image_weight * image
    }
}

/// Over how much a step takes its means.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Normalizer {
    /// Scored tokens of the step, of all next-token modalities.
    pub tokens: usize,
    /// Images of the step.
    pub images: usize,
}

impl Normalizer {
    /// What one batch holds.
    pub fn of(batch: &TrainBatch) -> Self {
        let lanes = 0..batch.batch.lanes.len();
        Self {
            tokens: lanes.clone().map(|lane| batch.batch.scored_tokens(lane)).sum(),
            images: lanes.map(|lane| batch.batch.images(lane)).sum(),
        }
    }

    /// What two batches of one step hold together.
    pub fn and(self, other: Self) -> Self {
        Self { tokens: self.tokens + other.tokens, images: self.images + other.images }
    }
}

/// The loss of one modality: a sum, and what it is a sum over.
#[derive(Clone, Debug)]
pub struct ModalityLoss {
    /// Nats over scored tokens, or mean squared errors over images. `[1]`
    pub sum: Tensor<1>,
    /// Scored tokens, or images.
    pub count: usize,
}

/// The loss of a batch.
#[derive(Clone, Debug)]
pub struct HybridLoss {
    /// What is minimised. `[1]`
    pub total: Tensor<1>,
    /// By lane; `None` for a lane without rows.
    pub modalities: Vec<Option<ModalityLoss>>,
}

impl HybridLoss {
    /// The same numbers off the gradient tape.
    pub fn detached(self) -> Self {
        let modalities = self.modalities.into_iter();
        let detach = |loss: ModalityLoss| ModalityLoss { sum: loss.sum.inner(), ..loss };
        Self { total: self.total.inner(), modalities: modalities.map(|loss| loss.map(detach)).collect() }
    }
}

/// Weighs and adds the losses of all lanes.
pub fn hybrid_loss(
    model: &Transfusion,
    predictions: &Predictions,
    batch: &TrainBatch,
    config: &ObjectiveConfig,
    normalizer: Normalizer,
) -> HybridLoss {
    let per_token = config.text_weight / normalizer.tokens.max(1) as f64;
    // Images of one batch are of one size, so the mean over images is the mean over patches as well.
    let per_image = config.image_weight / normalizer.images.max(1) as f64;
    let mut total: Option<Tensor<1>> = None;
    let mut modalities = Vec::new();
    for (lane, prediction) in predictions.lanes.iter().enumerate() {
        let (term, loss) = match (prediction, &model.towers[lane], &batch.batch.lanes[lane], &batch.noised[lane]) {
            (Some(LanePrediction::Logits(logits)), Tower::Text(tower), Some(rows), _) => {
                let LaneRows::Tokens(rows) = &rows.content else { continue };
                let loss = next_token_loss(logits.clone(), rows, tower.z_loss());
                let term = loss.regularised_sum.mul_scalar(per_token);
                (term, ModalityLoss { sum: loss.sum, count: loss.scored })
            }
            (Some(LanePrediction::Images(images)), _, _, Some(noised)) => {
                let loss = denoising_loss(images.clone(), noised);
                (loss.sum.clone().mul_scalar(per_image), ModalityLoss { sum: loss.sum, count: loss.images })
            }
            _ => {
                modalities.push(None);
                continue;
            }
        };
        modalities.push(Some(loss));
        total = Some(match total {
            Some(total) => total + term,
            None => term,
        });
    }
    let device = model.backbone.final_norms[0].weight.device();
    HybridLoss { total: total.unwrap_or_else(|| Tensor::zeros([1], &device)), modalities }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Cross-entropies 2, 1, 3 and images of error 0.5 (16 patches) and 0.3 (4 patches), λ = 5.
    #[test]
    fn the_composition_is_transfusions() {
        let text = (2.0 + 1.0 + 3.0) / 3.0;
        let images = [(0.5, 16), (0.3, 4)];
        let config = ObjectiveConfig::default();
        let total = |averaging: ImageAveraging| config.total(text, averaging.mean(&images));
        assert!((total(ImageAveraging::PerImage) - 4.0).abs() < 1e-12);
        assert!((total(ImageAveraging::PerPatch) - 4.3).abs() < 1e-12);
    }
}
