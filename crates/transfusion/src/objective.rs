//! The hybrid objective (Transfusion, 2408.11039, equation 4), over any number of modalities:
//!
//! ```text
//! total = Σ_m weight_m · L_m  +  losses of routers        (1 for next-token modalities, λ = 5 for denoised ones)
//! ```
//!
//! `L_m` of a next-token modality is the mean over tokens with a target, in nats; of a denoise modality the mean over images
//! of an image's mean squared error. Modalities that share a vocabulary are one language model's and are averaged together:
//! each sums over its own tokens and all divide by the tokens of the vocabulary.
//!
//! Where images have several sizes, the mean is over images, each of which counts alike, or over patches, so that a larger image
//! counts for more ([`ImageAveraging`]).
//!
//! Means run over the whole optimizer step, so accumulating over micro-batches gives the gradient of one large batch exactly:
//! the caller counts first and passes the counts as a [`Normalizer`]. The losses of routers are in [`crate::routing`].

use std::collections::BTreeMap;

use burn::tensor::Tensor;
use interfuse_image_tower::denoising_loss;
use interfuse_sequence::{LaneRows, Modality, Objective};
use interfuse_text_tower::next_token_loss;
use serde::{Deserialize, Serialize};

use crate::config::ConfigError;
use crate::input::TrainBatch;
use crate::model::{LanePrediction, Predictions, Tower, Transfusion};
use crate::routing::{RouterLoads, RouterLoss, router_loss};

/// Weight λ of a denoise modality that is not named (Transfusion, section 4.1).
const DENOISE_WEIGHT: f64 = 5.0;

/// How the losses are weighed.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct ObjectiveConfig {
    /// The weight of a modality's loss, from 0, by its name. A modality that is not named has 1, or 5 if it is denoised.
    pub weights: BTreeMap<String, f64>,
    /// Over what the squared errors of images are averaged; it makes a difference where images have several sizes.
    pub image_averaging: ImageAveraging,
}

/// Over what the squared errors of images are averaged.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ImageAveraging {
    /// Images: each counts alike, whatever its size.
    #[default]
    Image,
    /// Patches: an image counts by its size, as each token of a text does.
    Patch,
}

impl ObjectiveConfig {
    /// The weight of a modality's loss.
    pub fn weight(&self, modality: &Modality) -> f64 {
        let default = match modality.objective {
            Objective::NextToken => 1.0,
            Objective::Denoise => DENOISE_WEIGHT,
        };
        self.weights.get(&modality.name).copied().unwrap_or(default)
    }

    /// Checks the settings against the modalities of the model.
    ///
    /// # Errors
    /// Names the key, what was expected and what was found.
    pub fn validate(&self, modalities: &[Modality]) -> Result<(), ConfigError> {
        let names: Vec<&str> = modalities.iter().map(|modality| modality.name.as_str()).collect();
        for (name, weight) in &self.weights {
            if !names.contains(&name.as_str()) {
                let expected = format!("a modality of the model ({})", names.join(", "));
                return Err(ConfigError(format!("objective.weights: expected {expected}, found `{name}`")));
            }
            if !(*weight >= 0.0 && weight.is_finite()) {
                return Err(ConfigError(format!("objective.weights.{name}: expected a number from 0, found {weight}")));
            }
        }
        match modalities.iter().all(|modality| self.weight(modality) == 0.0) {
            true => Err(ConfigError("objective.weights: expected at least one above 0, found none".into())),
            false => Ok(()),
        }
    }
}

/// Over how much a step takes its means.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Normalizer {
    /// Tokens with a target, or images, by lane.
    pub counts: Vec<usize>,
    /// Patches of the images among them, by lane; 0 for a lane of tokens.
    pub patches: Vec<usize>,
    /// Rows that are not padding, by lane.
    pub rows: Vec<usize>,
    /// Rows with padding, by lane.
    pub all_rows: Vec<usize>,
    /// Micro-batches.
    pub batches: usize,
    /// How routers distribute the rows of the step, where a loss needs it.
    pub loads: Option<RouterLoads>,
}

impl Normalizer {
    /// What one batch holds.
    pub fn of(batch: &TrainBatch) -> Self {
        let images = |lane: usize| batch.noised[lane].as_ref().map_or(0, |noised| noised.images);
        let count = |lane: usize| batch.batch.targets(lane) + images(lane);
        let patches = |lane: usize| images(lane) * batch.patches_per_image(lane);
        let lanes = 0..batch.batch.lanes.len();
        Self {
            counts: lanes.clone().map(count).collect(),
            patches: lanes.clone().map(patches).collect(),
            rows: lanes.clone().map(|lane| batch.batch.filled(lane)).collect(),
            all_rows: lanes.map(|lane| batch.rows(lane)).collect(),
            batches: 1,
            loads: None,
        }
    }

    /// What two batches of one step hold together.
    pub fn and(self, other: Self) -> Self {
        let sums = |mut ours: Vec<usize>, theirs: Vec<usize>| {
            ours.resize(ours.len().max(theirs.len()), 0);
            ours.iter_mut().zip(theirs).for_each(|(count, more)| *count += more);
            ours
        };
        Self {
            counts: sums(self.counts, other.counts),
            patches: sums(self.patches, other.patches),
            rows: sums(self.rows, other.rows),
            all_rows: sums(self.all_rows, other.all_rows),
            batches: self.batches + other.batches,
            loads: None,
        }
    }

    /// As numbers that can be sent to another process; loads are not among them.
    pub fn numbers(&self) -> Vec<f64> {
        let lanes = self.counts.iter().chain(&self.patches).chain(&self.rows).chain(&self.all_rows);
        lanes.chain([&self.batches]).map(|&count| count as f64).collect()
    }

    /// The inverse of [`Self::numbers`].
    pub fn of_numbers(numbers: &[f64]) -> Self {
        let numbers: Vec<usize> = numbers.iter().map(|&count| count as usize).collect();
        let mut lanes = numbers.chunks_exact((numbers.len() / 4).max(1)).map(<[usize]>::to_vec);
        let mut next = || lanes.next().unwrap_or_default();
        let (counts, patches, rows, all_rows) = (next(), next(), next(), next());
        Self { counts, patches, rows, all_rows, batches: numbers.last().copied().unwrap_or_default(), loads: None }
    }

    /// Rows that are not padding, of all lanes.
    pub fn filled(&self) -> usize {
        self.rows.iter().sum()
    }

    /// What a lane's sum is divided by: the count of all lanes of its tower.
    fn divisor(&self, modalities: &[Modality], lane: usize, averaging: ImageAveraging) -> f64 {
        let is_of_patches = averaging == ImageAveraging::Patch && modalities[lane].objective == Objective::Denoise;
        let counts = if is_of_patches { &self.patches } else { &self.counts };
        let of_one_tower = modalities.iter().zip(counts).filter(|(other, _)| other.tower == modalities[lane].tower);
        of_one_tower.map(|(_, count)| *count).sum::<usize>().max(1) as f64
    }
}

/// The loss of one modality: a sum, and what it is a sum over.
#[derive(Clone, Debug)]
pub struct ModalityLoss {
    /// Nats over tokens with a target, or mean squared errors over images. `[1]`
    pub sum: Tensor<1>,
    /// Tokens with a target, or images.
    pub count: usize,
    /// What is minimised: the sum with its regularisation, or of the errors of patches. `[1]`
    regularised_sum: Tensor<1>,
}

/// The loss of a batch.
#[derive(Clone, Debug)]
pub struct HybridLoss {
    /// What is minimised. `[1]`
    pub total: Tensor<1>,
    /// By lane; `None` for a lane without rows.
    pub modalities: Vec<Option<ModalityLoss>>,
    /// Of the routers.
    pub routers: RouterLoss,
}

impl HybridLoss {
    /// The same numbers off the gradient tape.
    pub fn detached(self) -> Self {
        let detach = |loss: ModalityLoss| ModalityLoss {
            sum: loss.sum.inner(),
            regularised_sum: loss.regularised_sum.inner(),
            ..loss
        };
        let modalities = self.modalities.into_iter().map(|loss| loss.map(detach)).collect();
        let inner = |x: Option<Tensor<1>>| x.map(Tensor::inner);
        let sums = self.routers.sums.into_iter().map(|parts| parts.into_iter().map(inner).collect());
        let routers = RouterLoss { total: inner(self.routers.total), sums: sums.collect() };
        Self { total: self.total.inner(), modalities, routers }
    }
}

/// Weighs and adds the losses of all lanes.
pub fn hybrid_loss(
    model: &Transfusion,
    predictions: &Predictions,
    batch: &TrainBatch,
    config: &ObjectiveConfig,
    normalizer: &Normalizer,
) -> HybridLoss {
    let losses: Vec<Option<ModalityLoss>> = predictions
        .lanes
        .iter()
        .enumerate()
        .map(|(lane, prediction)| modality_loss(model.tower(lane), prediction.as_ref()?, (batch, lane), config))
        .collect();
    let weighed = losses.iter().enumerate().filter_map(|(lane, loss)| {
        let weight = config.weight(&model.modalities()[lane])
            / normalizer.divisor(model.modalities(), lane, config.image_averaging);
        Some(loss.as_ref()?.regularised_sum.clone().mul_scalar(weight))
    });
    let parts = model.partition().parts();
    let rows = |part: usize| parts[part].iter().filter_map(|&lane| normalizer.rows.get(lane)).sum::<usize>() as f64;
    let routers = router_loss(&predictions.routers, rows, normalizer.loads.as_ref());
    let total = weighed.chain(routers.total.clone()).reduce(|total, term| total + term);
    let device = || model.backbone.final_norms[0].weight.device();
    HybridLoss { total: total.unwrap_or_else(|| Tensor::zeros([1], &device())), modalities: losses, routers }
}

/// The loss of a lane; `None` for one without rows.
fn modality_loss(
    tower: &Tower,
    prediction: &LanePrediction,
    (batch, lane): (&TrainBatch, usize),
    config: &ObjectiveConfig,
) -> Option<ModalityLoss> {
    match (prediction, tower, &batch.batch.lanes[lane].as_ref()?.content) {
        (LanePrediction::NextToken(logits), Tower::NextToken(tower), LaneRows::NextToken(rows)) => {
            let loss = next_token_loss(logits.clone(), rows, tower.z_loss());
            Some(ModalityLoss { sum: loss.sum, count: loss.count, regularised_sum: loss.regularised_sum })
        }
        (LanePrediction::Denoise(images), _, _) => {
            let loss = denoising_loss(images.clone(), batch.noised[lane].as_ref()?);
            let regularised_sum = match config.image_averaging {
                ImageAveraging::Image => loss.sum.clone(),
                ImageAveraging::Patch => loss.sum.clone().mul_scalar(batch.patches_per_image(lane) as f64),
            };
            Some(ModalityLoss { regularised_sum, sum: loss.sum, count: loss.images })
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn modality(name: &str, objective: Objective, tower: usize) -> Modality {
        Modality { name: name.into(), objective, tower }
    }

    #[test]
    fn an_unnamed_modality_has_transfusions_weight() {
        let weights = BTreeMap::from([("speech".to_string(), 0.5)]);
        let config = ObjectiveConfig { weights, ..ObjectiveConfig::default() };
        let weight = |name, objective| config.weight(&modality(name, objective, 0));
        assert_eq!(weight("text", Objective::NextToken), 1.0);
        assert_eq!(weight("image", Objective::Denoise), 5.0);
        assert_eq!(weight("speech", Objective::NextToken), 0.5);
    }

    #[test]
    fn modalities_of_one_vocabulary_divide_by_all_its_tokens() {
        let text = |name, tower| modality(name, Objective::NextToken, tower);
        let modalities = [text("codes", 0), text("speech", 1), text("text", 0)];
        let part = |counts: [usize; 3]| Normalizer { counts: counts.to_vec(), batches: 1, ..Normalizer::default() };
        let whole = Normalizer::default().and(part([6, 1, 2])).and(part([2, 0, 0]));
        assert_eq!((whole.counts.as_slice(), whole.batches), ([8, 1, 2].as_slice(), 2));
        let divisors = [0, 1, 2].map(|lane| whole.divisor(&modalities, lane, ImageAveraging::Image));
        assert_eq!(divisors, [10.0, 1.0, 10.0]);
        let whole = Normalizer { patches: vec![4, 0, 0], rows: vec![7, 8, 9], all_rows: vec![10, 11, 12], ..whole };
        assert_eq!(Normalizer::of_numbers(&whole.numbers()), whole);
    }

    #[test]
    fn weights_that_no_modality_has_are_refused() {
        let modalities = [modality("text", Objective::NextToken, 0)];
        let refused = |name: &str, weight: f64| {
            let weights = BTreeMap::from([(name.to_string(), weight)]);
            ObjectiveConfig { weights, ..ObjectiveConfig::default() }.validate(&modalities).map_err(|error| error.0)
        };
        assert!(refused("image", 1.0).is_err_and(|message| message.contains("(text), found `image`")));
        assert!(refused("text", -1.0).is_err_and(|message| message.contains("objective.weights.text")));
        assert!(refused("text", 0.0).is_err_and(|message| message.contains("at least one above 0")));
    }
}
