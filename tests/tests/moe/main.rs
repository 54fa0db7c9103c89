//! Mixtures of experts: against NumPy, against the dense model, in batches, against the future, in training.

// A panic is how a test reports.
#![allow(clippy::unwrap_used)]

mod configuration;
mod identities;
mod reference;
mod training;

use burn::tensor::Device;
use interfuse_image_tower::{NoiseKey, TimestepChoice};
use interfuse_mot::{CacheUse, FeedForwardConfig};
use interfuse_sequence::{RowShape, Sample};
use interfuse_tests::*;
use interfuse_transfusion::{ModelConfig, Predictions, TrainBatch, Transfusion};

/// A feed-forward as a user writes it.
fn feed_forward(text: &str) -> FeedForwardConfig {
    toml::from_str(&format!("kind = 'moe'\n{text}")).unwrap()
}

/// The small model with experts in every part.
fn with_experts(parts: &[&[&str]], text: &str) -> ModelConfig {
    let mut config = small_config(parts);
    config.backbone.feed_forward = feed_forward(text);
    config.validate().unwrap();
    config
}

const EXPERT_CHOICE: &str = "experts = 4\ncapacity = 1.25";
const TOP_1: &str = "experts = 4\nrouting = 'top_k'";
const TOP_2: &str = "experts = 4\nrouting = 'top_k'\ntop_k = 2";
const ALL: [&str; 3] = [EXPERT_CHOICE, TOP_1, TOP_2];

fn mixed_sequences() -> Vec<Vec<Sample>> {
    vec![
        vec![caption_first(1, &[7, 8, 9]), image_first(2, &[10])],
        vec![interleaved(3), text_only(4, &[5, 6])],
        vec![text_only(5, &[11, 12, 13])],
    ]
}

fn batch(config: &ModelConfig, sequences: &[Vec<Sample>], shape: &RowShape, device: &Device) -> TrainBatch {
    let layouts: Vec<_> = sequences.iter().map(|samples| pack(config, samples, shape)).collect();
    TrainBatch::new(&layouts, config, NoiseKey { seed: 5, step: 7 }, TimestepChoice::Sampled, device)
}

fn predict(model: &Transfusion, batch: &TrainBatch) -> Predictions {
    model.forward(batch.input(), CacheUse::None)
}
