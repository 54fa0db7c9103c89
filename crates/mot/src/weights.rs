//! The weights of one layer by owner: a part of the partition, or all parts together where they have some in common.
//!
//! Dimensions: `D` width, `H` query heads, `G` key/value heads, `Dh` width of a head.
//!
//! A weight has one owner and lies in one place, so it is counted, saved, loaded and updated once, and its gradient is the sum
//! over all rows that met it. What parts have in common is owned by a name of its own, that of all modalities, which is also
//! the name of the dense model's only part: with nothing untied, a Mixture-of-Transformers has the dense model's weights.

use burn::module::Module;
use interfuse_kernels::{Linear, WeightInit};

use crate::adaptive::Modulation;
use crate::config::{BackboneConfig, WeightKind};
use crate::feed_forward::FeedForward;
use crate::feed_forward::config::FeedForwardConfig;
use crate::norm::RmsNorm;

/// The weights that one owner has in a layer; `None` for those that are not its own.
#[derive(Module, Debug)]
pub struct PartWeights {
    /// Before attention, or on its output.
    pub attention_norm: Option<RmsNorm>,
    /// `D → H · Dh`
    pub query: Option<Linear>,
    /// `D → G · Dh`
    pub key: Option<Linear>,
    /// `D → G · Dh`
    pub value: Option<Linear>,
    /// `H · Dh → D`
    pub output: Option<Linear>,
    /// Over `Dh`, if queries and keys are normed.
    pub query_norm: Option<RmsNorm>,
    /// Over `Dh`, if queries and keys are normed.
    pub key_norm: Option<RmsNorm>,
    /// Before the feed-forward, or on its output.
    pub feed_forward_norm: Option<RmsNorm>,
    /// What every row passes by itself.
    pub feed_forward: Option<FeedForward>,
    /// Makes shift, scale and gate of a condition, if rows have one.
    pub modulation: Option<Modulation>,
}

/// What an owner of weights is known by and made for.
#[derive(Clone, Debug, PartialEq)]
pub struct PartSettings {
    /// The names of its modalities, such as `text` or `image+speech`; its weights carry it.
    pub name: String,
    /// Whether its rows may have a condition for adaptive norms.
    pub conditioned: bool,
    /// What its rows pass between two attentions.
    pub feed_forward: FeedForwardConfig,
}

impl PartSettings {
    /// The owner of what all parts have in common; their feed-forwards must be alike where these are.
    pub fn of_all(parts: &[Self]) -> Self {
        Self {
            name: parts.iter().map(|part| part.name.as_str()).collect::<Vec<_>>().join("+"),
            conditioned: parts.iter().any(|part| part.conditioned),
            feed_forward: parts.first().map(|part| part.feed_forward.clone()).unwrap_or_default(),
        }
    }
}

impl PartWeights {
    /// Fresh weights of the kinds that the owner has.
    pub(crate) fn new(
        config: &BackboneConfig,
        owner: &PartSettings,
        has: impl Fn(WeightKind) -> bool,
        init: &mut WeightInit,
    ) -> Self {
        let (d_model, head_dim) = (config.d_model, config.head_dim());
        let (query_width, kv_width) = (config.query_width(), config.kv_heads() * head_dim);
        let projection = |width: usize, init: &mut WeightInit| match config.qkv_bias {
            true => Linear::with_bias(d_model, width, init),
            false => Linear::new(d_model, width, init),
        };
        let norm = |width: usize, init: &mut WeightInit| RmsNorm::new(width, config.norm_epsilon, init);
        let has_head_norms = config.qk_norm && has(WeightKind::Norm);
        Self {
            attention_norm: has(WeightKind::Norm).then(|| norm(d_model, init)),
            query: has(WeightKind::Qkv).then(|| projection(query_width, init)),
            key: has(WeightKind::Qkv).then(|| projection(kv_width, init)),
            value: has(WeightKind::Qkv).then(|| projection(kv_width, init)),
            output: has(WeightKind::O).then(|| Linear::scaled(query_width, d_model, config.branch_scale(), init)),
            query_norm: has_head_norms.then(|| norm(head_dim, init)),
            key_norm: has_head_norms.then(|| norm(head_dim, init)),
            feed_forward_norm: has(WeightKind::Norm).then(|| norm(d_model, init)),
            feed_forward: has(WeightKind::Ffn).then(|| FeedForward::new(config, &owner.feed_forward, init)),
            modulation: (owner.conditioned && has(WeightKind::Norm)).then(|| Modulation::new(d_model, init)),
        }
    }
}
