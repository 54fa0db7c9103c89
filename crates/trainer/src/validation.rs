//! Held-out losses: the same images, the same noise, at fixed noise levels, so that two numbers differ only by the model.

use burn::tensor::Device;
use interfuse_data::Documents;
use interfuse_image_tower::{NoiseKey, TimestepChoice};
use interfuse_mot::CacheUse;
use interfuse_sequence::{LayoutBuilder, Objective, RowShape, SequenceLayout};
use interfuse_transfusion::{ModelConfig, Normalizer, ObjectiveConfig, TrainBatch, Transfusion, hybrid_loss};
use serde::Serialize;

use crate::config::ValidationConfig;
use crate::error::TrainError;

/// The step under which held-out noise is generated; training never gets there.
const HELD_OUT_STEP: u64 = u64::MAX - 2;

/// Images laid out once, ready to be measured.
#[derive(Debug)]
pub struct Validation {
    layouts: Vec<SequenceLayout>,
    /// Of all captions, in UTF-8.
    caption_bytes: usize,
    config: ValidationConfig,
    /// Whether these are training images, because nothing could be held out.
    is_train: bool,
}

/// What was measured.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct ValidationReport {
    /// Step of the model.
    pub step: u64,
    /// Mean next-token loss, in nats; its exponential is the perplexity.
    pub text: f64,
    /// Bits that the captions' documents take, markers included, a byte of the captions: what models with different tokenizers
    /// can be compared by.
    pub bits_per_byte: f64,
    /// Time t of each level, and the mean denoising loss there.
    pub image: Vec<(f32, f64)>,
    /// Whether these are training images under fixed noise.
    pub is_train: bool,
}

impl ValidationReport {
    /// The mean of the levels.
    pub fn image_mean(&self) -> f64 {
        self.image.iter().map(|(_, loss)| loss).sum::<f64>() / self.image.len().max(1) as f64
    }

    /// The image losses in a line: `t=0.1: 0.0024  t=0.3: 0.0043`.
    pub fn image_by_level(&self) -> String {
        self.image.iter().map(|(t, loss)| format!("t={t}: {loss:.4}")).collect::<Vec<_>>().join("  ")
    }

    /// How many tokens the model wavers between, on average.
    pub fn text_perplexity(&self) -> f64 {
        self.text.exp()
    }
}

impl Validation {
    /// Lays out the first images of a source as plain documents; those that do not fit the row shape are left out.
    pub fn new(documents: &Documents, config: &ValidationConfig, model: &ModelConfig, shape: &RowShape) -> Self {
        let format = model.sequence_format();
        let mut layouts = Vec::new();
        let mut caption_bytes = 0;
        for index in 0..documents.source().len() {
            if layouts.len() == config.images {
                break;
            }
            let mut builder = LayoutBuilder::new(format.clone());
            let laid_out =
                documents.plain_document(index).is_ok_and(|sample| builder.push_sample(&sample, shape).is_ok());
            if laid_out {
                layouts.push(builder.finish(shape));
                caption_bytes += documents.source().captions(index)[0].len();
            }
        }
        Self { layouts, caption_bytes, config: config.clone(), is_train: documents.source().held_out_is_train() }
    }

    /// Whether there is anything to measure.
    pub fn is_empty(&self) -> bool {
        self.layouts.is_empty() || self.config.levels.is_empty()
    }

    /// Measures a model that is off the gradient tape, in batches of `sequences`.
    pub fn measure(
        &self,
        model: &Transfusion,
        config: &ModelConfig,
        run: (u64, u64),
        sequences: usize,
        device: &Device,
    ) -> Result<ValidationReport, TrainError> {
        let (seed, step) = run;
        let key = NoiseKey { seed, step: HELD_OUT_STEP };
        let mut text = (0.0, 0);
        let mut image = Vec::new();
        for &level in &self.config.levels {
            let mut at_level = (0.0, 0);
            for layouts in self.layouts.chunks(sequences.max(1)) {
                let batch = TrainBatch::new(layouts, config, key, TimestepChoice::At(level), device);
                let predictions = model.forward(batch.input(), CacheUse::None);
                let objective = ObjectiveConfig::default();
                let loss = hybrid_loss(model, &predictions, &batch, &objective, Normalizer::of(&batch));
                for (modality, tower) in loss.modalities.iter().zip(config.modalities.values()) {
                    let Some(modality) = modality else { continue };
                    let sum: f32 = modality.sum.clone().into_scalar();
                    let total = match tower.objective() {
                        Objective::NextToken => &mut text,
                        Objective::Denoise => &mut at_level,
                    };
                    *total = (total.0 + f64::from(sum), total.1 + modality.count);
                }
            }
            image.push((level, at_level.0 / at_level.1.max(1) as f64));
        }
        // The text is measured again at every noise level.
        let bytes = (self.caption_bytes * self.config.levels.len()).max(1) as f64;
        let bits_per_byte = text.0 / std::f64::consts::LN_2 / bytes;
        let text = text.0 / text.1.max(1) as f64;
        Ok(ValidationReport { step, text, bits_per_byte, image, is_train: self.is_train })
    }
}
