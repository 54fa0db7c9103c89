//! Settings of the backbone.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use thiserror::Error;

use crate::feed_forward::config::FeedForwardConfig;

/// Settings of the backbone.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct BackboneConfig {
    /// Width of the residual stream, from 1 to 65,536.
    pub d_model: usize,
    /// Number of layers, from 1 to 1024.
    pub n_layers: usize,
    /// Number of query heads; a divisor of `d_model` unless `head_dim` is given.
    pub n_heads: usize,
    /// Width of a head, even, to 65,536; `d_model / n_heads` if absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub head_dim: Option<usize>,
    /// Number of key/value heads, a divisor of `n_heads`; as many as query heads if absent.
    #[serde(default)]
    pub n_kv_heads: Option<usize>,
    /// Width of the feed-forward, or of each expert; Llama's `256 · ceil(⌊8/3 d_model⌋ / 256)` if absent.
    #[serde(default)]
    pub d_ff: Option<usize>,
    /// Where the norms stand.
    #[serde(default)]
    pub norm: NormPlacement,
    /// Whether queries and keys are normed head by head (Chameleon, 2405.09818, section 2.3).
    #[serde(default)]
    pub qk_norm: bool,
    /// Whether the projections to queries, keys and values add a bias (Qwen2).
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub qkv_bias: bool,
    /// Base of the rotary angles, above 1.
    #[serde(default = "default_rope_theta")]
    pub rope_theta: f64,
    /// How angles are slowed down for sequences longer than those that a language model was trained on; not if absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rope_scaling: Option<RopeScaling>,
    /// Added to the mean square under the root; in (0, 1).
    #[serde(default = "default_norm_epsilon")]
    pub norm_epsilon: f64,
    /// The probability, from 0 and below 1, with which an element of what attention or the feed-forward adds is left out in
    /// training (Chameleon, 2405.09818, has 0.1 in its 7B model); never when a model is measured or sampled from.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub dropout: f64,
    /// What every row passes by itself between two attentions.
    #[serde(default)]
    pub feed_forward: FeedForwardConfig,
    /// Which weights each part of the partition has of its own; all if absent. The others are common to all parts: with none,
    /// any partition is the dense model.
    #[serde(default = "WeightKind::all")]
    pub untie: Vec<WeightKind>,
    /// The first layer, counted from 0, in which they are its own, to `n_layers`; in those before it parts have all in common.
    #[serde(default)]
    pub untie_from: usize,
    /// What is otherwise in some parts of the partition, by the part's name: that of its modality, or those of several joined
    /// by `+`.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub parts: BTreeMap<String, PartConfig>,
}

/// Kinds of weights that the parts of the partition have of their own or in common.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum WeightKind {
    /// The feed-forward.
    Ffn,
    /// The projections to queries, keys and values.
    Qkv,
    /// The projection of what attention gathered.
    O,
    /// All norms, those of queries and keys and the last one included, and what modulates them.
    Norm,
}

impl WeightKind {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::Ffn, Self::Qkv, Self::O, Self::Norm];

    fn all() -> Vec<Self> {
        Self::ALL.to_vec()
    }
}

/// What is otherwise in one part of the partition.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PartConfig {
    /// The feed-forward of this part; that of the backbone if absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub feed_forward: Option<FeedForwardConfig>,
}

fn default_rope_theta() -> f64 {
    1e4
}

fn default_norm_epsilon() -> f64 {
    1e-5
}

fn is_zero(rate: &f64) -> bool {
    *rate == 0.0
}

/// Where the norms stand.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum NormPlacement {
    /// On the input of a sub-layer (Llama, and Transfusion): `x + f(norm(x))`.
    #[default]
    Pre,
    /// On the output of a sub-layer, inside the residual (Algorithm 1 of MoT; Chameleon 34B): `x + norm(f(x))`.
    Post,
}

impl BackboneConfig {
    /// A backbone of this width, so many layers and heads, and otherwise as if nothing were said of it.
    pub fn of(d_model: usize, n_layers: usize, n_heads: usize) -> Self {
        Self {
            d_model,
            n_layers,
            n_heads,
            head_dim: None,
            n_kv_heads: None,
            d_ff: None,
            norm: NormPlacement::default(),
            qk_norm: false,
            qkv_bias: false,
            rope_theta: default_rope_theta(),
            rope_scaling: None,
            norm_epsilon: default_norm_epsilon(),
            dropout: 0.0,
            feed_forward: FeedForwardConfig::default(),
            untie: WeightKind::all(),
            untie_from: 0,
            parts: BTreeMap::new(),
        }
    }

    /// Number of key/value heads.
    pub fn kv_heads(&self) -> usize {
        self.n_kv_heads.unwrap_or(self.n_heads)
    }

    /// Width of a head.
    pub fn head_dim(&self) -> usize {
        self.head_dim.unwrap_or(self.d_model / self.n_heads)
    }

    /// Width of all query heads together.
    pub fn query_width(&self) -> usize {
        self.n_heads * self.head_dim()
    }

    /// Width of the feed-forward.
    pub fn d_ff(&self) -> usize {
        self.d_ff.unwrap_or_else(|| (8 * self.d_model / 3).div_ceil(256) * 256)
    }

    /// The feed-forward of a part.
    pub fn feed_forward_of(&self, part: &str) -> &FeedForwardConfig {
        self.parts.get(part).and_then(|part| part.feed_forward.as_ref()).unwrap_or(&self.feed_forward)
    }

    /// Whether parts have weights of a kind of their own in a layer, counted from 0.
    pub fn is_untied(&self, kind: WeightKind, layer: usize) -> bool {
        layer >= self.untie_from && self.untie.contains(&kind)
    }

    /// Whether parts have weights of a kind in common in some layer.
    pub fn is_tied_somewhere(&self, kind: WeightKind) -> bool {
        (0..self.n_layers).any(|layer| !self.is_untied(kind, layer))
    }

    /// What the matrices that add to the residual stream start scaled by: so the sum over all branches keeps its scale as
    /// the model deepens (GPT-2).
    pub(crate) fn branch_scale(&self) -> f64 {
        1.0 / (2.0 * self.n_layers as f64).sqrt()
    }

    /// Checks the settings.
    ///
    /// # Errors
    /// Names the key, what was expected and what was found.
    pub fn validate(&self) -> Result<(), BackboneError> {
        let fail = |key: &str, expected, found| Err(BackboneError { key: key.into(), expected, found });
        // Beyond the larger numbers a typing error is likelier than a wish, and memory runs out without a message.
        let sizes = [
            ("d_model", self.d_model, 1 << 16),
            ("n_layers", self.n_layers, 1 << 10),
            ("n_heads", self.n_heads, 1 << 16),
            ("d_ff", self.d_ff(), 1 << 20),
        ];
        for (key, size, most) in sizes {
            if !(1..=most).contains(&size) {
                return fail(key, format!("from 1 to {most}"), size.to_string());
            }
        }
        if self.head_dim.is_some_and(|width| !(2..=1 << 16).contains(&width) || !width.is_multiple_of(2)) {
            let expected = format!("an even number from 2 to {}", 1 << 16);
            return fail("head_dim", expected, self.head_dim().to_string());
        }
        if self.head_dim.is_none() && !self.d_model.is_multiple_of(self.n_heads) {
            return fail("n_heads", format!("a divisor of d_model = {}", self.d_model), self.n_heads.to_string());
        }
        if !self.head_dim().is_multiple_of(2) {
            let found = format!("{} heads of width {}", self.n_heads, self.head_dim());
            return fail("n_heads", "heads of even width, which rotary positions need".into(), found);
        }
        if self.kv_heads() == 0 || !self.n_heads.is_multiple_of(self.kv_heads()) {
            let expected = format!("a divisor of n_heads = {}", self.n_heads);
            return fail("n_kv_heads", expected, self.kv_heads().to_string());
        }
        if !(self.rope_theta > 1.0 && self.rope_theta.is_finite()) {
            return fail("rope_theta", "a number above 1".into(), self.rope_theta.to_string());
        }
        if let Some(scaling) = &self.rope_scaling {
            scaling.validate().or_else(|expected| fail("rope_scaling", expected, format!("{scaling:?}")))?;
        }
        if !(self.norm_epsilon > 0.0 && self.norm_epsilon < 1.0) {
            return fail("norm_epsilon", "a number in (0, 1)".into(), self.norm_epsilon.to_string());
        }
        if !(0.0..1.0).contains(&self.dropout) {
            return fail("dropout", "from 0 and below 1".into(), self.dropout.to_string());
        }
        if let Some(kind) =
            WeightKind::ALL.into_iter().find(|kind| self.untie.iter().filter(|k| *k == kind).count() > 1)
        {
            return fail("untie", "each kind at most once".into(), format!("{kind:?} more often"));
        }
        if self.untie_from > self.n_layers {
            let expected = format!("a layer, from 0 to n_layers = {}", self.n_layers);
            return fail("untie_from", expected, self.untie_from.to_string());
        }
        self.feed_forward.validate("feed_forward")?;
        let mut of_parts = self.parts.iter().filter_map(|(name, part)| Some((name, part.feed_forward.as_ref()?)));
        of_parts.try_for_each(|(name, config)| config.validate(&format!("parts.{name}.feed_forward")))
    }
}

/// How rotary angles are slowed down.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case", deny_unknown_fields)]
pub enum RopeScaling {
    /// All by one factor (2306.15595).
    Linear {
        /// At least 1.
        factor: f64,
    },
    /// Those that turn less than so often within the positions of training, as Llama 3.1 has it.
    Llama3 {
        /// What the slowest are divided by, at least 1.
        factor: f64,
        /// Angles that turn no more often than this are divided by all of the factor; above 0.
        low_frequency_factor: f64,
        /// Angles that turn more often than this stay as they are; above `low_frequency_factor`.
        high_frequency_factor: f64,
        /// Positions of training, at least 1.
        original_positions: usize,
    },
}

impl RopeScaling {
    /// The angular speed, in radians a position, that takes the place of another.
    pub fn slowed(&self, speed: f64) -> f64 {
        match *self {
            Self::Linear { factor } => speed / factor,
            Self::Llama3 { factor, low_frequency_factor: low, high_frequency_factor: high, original_positions } => {
                let turns = original_positions as f64 * speed / std::f64::consts::TAU;
                let kept = ((turns - low) / (high - low)).clamp(0.0, 1.0);
                (1.0 - kept) * speed / factor + kept * speed
            }
        }
    }

    /// What is expected where a number is out of its range.
    fn validate(&self) -> Result<(), String> {
        let is_factor = |factor: f64| factor >= 1.0 && factor.is_finite();
        let fits = match *self {
            Self::Linear { factor } => is_factor(factor),
            Self::Llama3 { factor, low_frequency_factor: low, high_frequency_factor: high, original_positions } => {
                is_factor(factor) && low > 0.0 && high > low && high.is_finite() && original_positions > 0
            }
        };
        let expected = "a factor of at least 1, frequency factors that rise from above 0, and positions of training";
        if fits { Ok(()) } else { Err(expected.into()) }
    }
}

/// A setting outside its range.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
#[error("{key}: expected {expected}, found {found}")]
pub struct BackboneError {
    /// The key at fault.
    pub key: String,
    /// What fits.
    pub expected: String,
    /// What it says.
    pub found: String,
}
