//! Exact counts of parameters and of training FLOPs per token.
//!
//! *Stored* parameters are all there are. *Activated* parameters are those that one row meets: its own part and its own
//! tower. A Mixture-of-Transformers stores as many backbones as it has parts and activates one.

use interfuse_parameters::{ParameterInfo, parameters};
use serde::Serialize;

use crate::config::{ModalityConfig, ModelConfig};
use crate::model::Transfusion;
use crate::ownership::{in_backbone, part_of, tower_of};

/// How many parameters a model has.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct ParameterCounts {
    /// All.
    pub stored: usize,
    /// In the backbone, all parts together.
    pub backbone: usize,
    /// In each part, its last norm included.
    pub parts: Vec<usize>,
    /// In each tower.
    pub towers: Vec<usize>,
}

impl ParameterCounts {
    /// Counts the parameters of a model that exists.
    pub fn of(model: &Transfusion) -> Self {
        let list = parameters(model);
        let sum = |keep: &dyn Fn(&ParameterInfo) -> bool| {
            list.iter().filter(|parameter| keep(parameter)).map(ParameterInfo::count).sum()
        };
        let of_each = |names: &[String], owner: &dyn Fn(&ParameterInfo) -> Option<&str>| {
            names.iter().map(|name| sum(&|parameter| owner(parameter) == Some(name))).collect()
        };
        Self {
            stored: sum(&|_| true),
            backbone: sum(&in_backbone),
            parts: of_each(model.partition().names(), &part_of),
            towers: of_each(model.towers.names(), &tower_of),
        }
    }

    /// Parameters that a row meets which is served by `part` and `tower`.
    pub fn activated(&self, part: usize, tower: usize) -> usize {
        self.parts[part] + self.towers[tower]
    }
}

/// Parameters of one part by arithmetic, without making it: what a preset too large for this machine can still show.
/// Adaptive norms are counted when `conditioned`.
pub fn part_parameters(config: &ModelConfig, conditioned: bool) -> usize {
    let backbone = &config.backbone;
    let (d, f, kv) = (backbone.d_model, backbone.feed_forward(), backbone.kv_heads() * backbone.head_dim());
    let linear = 2 * d * d + 2 * d * kv + 3 * d * f;
    let norms = 2 * d + if backbone.qk_norm { 2 * backbone.head_dim() } else { 0 };
    let modulation = if conditioned { 6 * d * d + 6 * d } else { 0 };
    backbone.n_layers * (linear + norms + modulation) + d
}

/// Parameters of the backbone by arithmetic, without making it.
///
/// # Errors
/// When the partition is not valid.
pub fn backbone_parameters(config: &ModelConfig) -> Result<usize, crate::ConfigError> {
    let partition = config.partition()?;
    let conditioned = |lanes: &Vec<usize>| lanes.iter().any(|&lane| config.is_conditioned(lane));
    Ok(partition.parts().iter().map(|lanes| part_parameters(config, conditioned(lanes))).sum())
}

/// Floating-point operations of training, forward and backward, per row. A multiplication and an addition are two.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct FlopsPerToken {
    /// `6 ×` the backbone's matrix parameters that a row meets.
    pub matrices: f64,
    /// Scores and weighted sums of attention under the causal mask, `6 L D s`; twice that without a mask.
    pub causal_attention: f64,
    /// `6 ×` the ends of each modality that its rows meet, by lane; the head of a text modality is `6 V D`.
    pub towers: Vec<f64>,
}

impl FlopsPerToken {
    /// For sequences of `rows` rows. Dense and MoT are equal: a row meets one part either way.
    pub fn of(config: &ModelConfig, rows: usize) -> Self {
        let backbone = &config.backbone;
        let (d, f, kv) = (backbone.d_model, backbone.feed_forward(), backbone.kv_heads() * backbone.head_dim());
        let layers = backbone.n_layers as f64;
        let per_layer = 2 * d * d + 2 * d * kv + 3 * d * f;
        let tower = |(name, modality): (&String, &ModalityConfig)| match modality {
            ModalityConfig::NextToken(_) => 6.0 * (config.vocabulary(name).map_or(0, |ids| ids.vocab_size) * d) as f64,
            ModalityConfig::Denoise(image) => {
                let d_patch = image.patch_size * image.patch_size * config.latent_shape[0];
                match &image.unet {
                    None => 6.0 * (2 * d_patch * d) as f64,
                    Some(unet) => {
                        let width = unet.widths.last().copied().unwrap_or_default();
                        let rows = config.sequence_format().rows_per_image().max(1);
                        6.0 * (2 * width * d) as f64 + 3.0 * unet.flops(config.latent_shape) / rows as f64
                    }
                }
            }
        };
        Self {
            matrices: 6.0 * layers * per_layer as f64,
            causal_attention: 6.0 * layers * d as f64 * rows as f64,
            towers: config.modalities.iter().map(tower).collect(),
        }
    }

    /// Operations of a training step over sequences with `rows` rows of each lane.
    pub fn of_rows(config: &ModelConfig, rows: &[usize]) -> f64 {
        let total: usize = rows.iter().sum();
        let flops = Self::of(config, total);
        let backbone = total as f64 * (flops.matrices + flops.causal_attention);
        backbone + rows.iter().zip(&flops.towers).map(|(&rows, tower)| rows as f64 * tower).sum::<f64>()
    }
}
