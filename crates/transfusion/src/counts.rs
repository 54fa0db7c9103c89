//! Exact counts of parameters and of training FLOPs per token.
//!
//! *Stored* parameters are all there are. *Activated* parameters are those that one row meets: its own part and its own
//! tower, and of a mixture of experts the router and as many experts as take a row on average. A Mixture-of-Transformers
//! stores as many backbones as it has parts and activates one.

use interfuse_mot::{PartSettings, WeightKind};
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
    /// In each part, its last norm included, but for what all parts have in common.
    pub parts: Vec<usize>,
    /// What all parts of the backbone have in common.
    pub tied: usize,
    /// Of the backbone, those that a row of each part meets.
    pub activated_parts: Vec<usize>,
    /// In each tower.
    pub towers: Vec<usize>,
}

impl ParameterCounts {
    /// Counts the parameters of a model that exists, which was made of `config`.
    pub fn of(model: &Transfusion, config: &ModelConfig) -> Self {
        let list = parameters(model);
        let sum = |keep: &dyn Fn(&ParameterInfo) -> bool| {
            list.iter().filter(|parameter| keep(parameter)).map(ParameterInfo::count).sum()
        };
        let of_each = |names: &[String], owner: &dyn Fn(&ParameterInfo) -> Option<&str>| {
            names.iter().map(|name| sum(&|parameter| owner(parameter) == Some(name))).collect()
        };
        let names = model.partition().names();
        let (parts, backbone): (Vec<usize>, usize) = (of_each(names, &part_of), sum(&in_backbone));
        let tied = backbone - parts.iter().sum::<usize>();
        let activated = |(name, own): (&String, &usize)| own + tied - idle_parameters(config, name);
        Self {
            stored: sum(&|_| true),
            backbone,
            tied,
            activated_parts: names.iter().zip(&parts).map(activated).collect(),
            parts,
            towers: of_each(model.towers.names(), &tower_of),
        }
    }

    /// Parameters that a row meets which is served by `part` and `tower`.
    pub fn activated(&self, part: usize, tower: usize) -> usize {
        self.activated_parts[part] + self.towers[tower]
    }
}

/// Parameters of a part that a row does not meet, on average: those of the experts that do not take it.
fn idle_parameters(config: &ModelConfig, part: &str) -> usize {
    let backbone = &config.backbone;
    let (d, f, feed_forward) = (backbone.d_model, backbone.d_ff(), backbone.feed_forward_of(part));
    let idle = feed_forward.parameters(d, f) as f64 - feed_forward.activated(d, f);
    (backbone.n_layers as f64 * idle).round() as usize
}

/// Parameters of a kind that an owner has in a layer.
fn kind_parameters(config: &ModelConfig, owner: &PartSettings, kind: WeightKind) -> usize {
    let backbone = &config.backbone;
    let (d, q, kv) = (backbone.d_model, backbone.query_width(), backbone.kv_heads() * backbone.head_dim());
    match kind {
        WeightKind::Ffn => owner.feed_forward.parameters(d, backbone.d_ff()),
        WeightKind::Qkv => d * (q + 2 * kv) + if backbone.qkv_bias { q + 2 * kv } else { 0 },
        WeightKind::O => q * d,
        WeightKind::Norm => {
            let of_heads = if backbone.qk_norm { 2 * backbone.head_dim() } else { 0 };
            let modulation = if owner.conditioned { 6 * d * d + 6 * d } else { 0 };
            2 * d + of_heads + modulation
        }
    }
}

/// Parameters of one part that has all weights of its own, by arithmetic, without making it: what a preset too large for
/// this machine can still show.
pub fn part_parameters(config: &ModelConfig, part: &PartSettings) -> usize {
    let of_layer: usize = WeightKind::ALL.into_iter().map(|kind| kind_parameters(config, part, kind)).sum();
    config.backbone.n_layers * of_layer + config.backbone.d_model
}

/// Parameters of the backbone by arithmetic, without making it: what parts have in common counts once.
///
/// # Errors
/// When the partition is not valid.
pub fn backbone_parameters(config: &ModelConfig) -> Result<usize, crate::ConfigError> {
    let (backbone, parts) = (&config.backbone, config.part_settings()?);
    let all = [PartSettings::of_all(&parts)];
    let owners = |kind, layer| if backbone.is_untied(kind, layer) { parts.as_slice() } else { &all };
    let of_layer = |layer: usize| -> usize {
        let of_kind = |kind| owners(kind, layer).iter().map(move |owner| kind_parameters(config, owner, kind));
        WeightKind::ALL.into_iter().flat_map(of_kind).sum()
    };
    let last_norms = owners(WeightKind::Norm, backbone.n_layers - 1).len() * backbone.d_model;
    Ok((0..backbone.n_layers).map(of_layer).sum::<usize>() + last_norms)
}

/// Floating-point operations of training, forward and backward, per row. A multiplication and an addition are two.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct FlopsPerToken {
    /// `6 ×` the backbone's matrix parameters that a row meets, by lane.
    pub matrices: Vec<f64>,
    /// Scores and weighted sums of attention under the causal mask, `6 L D s`; twice that without a mask.
    pub causal_attention: f64,
    /// `6 ×` the ends of each modality that its rows meet, by lane; the head of a text modality is `6 V D`.
    pub towers: Vec<f64>,
}

impl FlopsPerToken {
    /// For sequences of `rows` rows. Dense and MoT are equal: a row meets one part either way. So is a mixture of experts of
    /// which one takes a row on average, but for its router.
    pub fn of(config: &ModelConfig, rows: usize) -> Self {
        let backbone = &config.backbone;
        let (d, f, q) = (backbone.d_model, backbone.d_ff(), backbone.query_width());
        let kv = backbone.kv_heads() * backbone.head_dim();
        let layers = backbone.n_layers as f64;
        let attention = (2 * d * q + 2 * d * kv) as f64;
        let matrices = |name: &String| 6.0 * layers * (attention + config.feed_forward(name).activated(d, f));
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
            matrices: config.modalities.keys().map(matrices).collect(),
            causal_attention: 6.0 * layers * q as f64 * rows as f64,
            towers: config.modalities.iter().map(tower).collect(),
        }
    }

    /// Operations of a training step over sequences with `rows` rows of each lane.
    pub fn of_rows(config: &ModelConfig, rows: &[usize]) -> f64 {
        let total: usize = rows.iter().sum();
        let flops = Self::of(config, total);
        let of_lane = |((&rows, matrices), tower): ((&usize, &f64), &f64)| rows as f64 * (matrices + tower);
        let lanes = rows.iter().zip(&flops.matrices).zip(&flops.towers);
        total as f64 * flops.causal_attention + lanes.map(of_lane).sum::<f64>()
    }
}
