//! One layer of one part: all the weights that its rows meet.
//!
//! Dimensions: `B` batch, `S` rows of the part's stream, `D` width, `H` query heads, `G` key/value heads, `Dh` width of
//! a head.

use burn::module::Module;
use burn::tensor::Tensor;
use interfuse_kernels::{Linear, RopeTable, WeightInit, add_rows, rotate};

use crate::adaptive::{Modulation, StreamCondition, Terms};
use crate::config::{BackboneConfig, NormPlacement};
use crate::feed_forward::router::RouterOutput;
use crate::feed_forward::{FeedForward, FeedForwardOutput};
use crate::layer::PartSettings;
use crate::norm::RmsNorm;

/// One layer of one part.
#[derive(Module, Debug)]
pub struct PartLayer {
    /// Before attention, or on its output.
    pub attention_norm: RmsNorm,
    /// `D → H · Dh`
    pub query: Linear,
    /// `D → G · Dh`
    pub key: Linear,
    /// `D → G · Dh`
    pub value: Linear,
    /// `H · Dh → D`
    pub output: Linear,
    /// Over `Dh`, if queries and keys are normed.
    pub query_norm: Option<RmsNorm>,
    /// Over `Dh`, if queries and keys are normed.
    pub key_norm: Option<RmsNorm>,
    /// Before the feed-forward, or on its output.
    pub feed_forward_norm: RmsNorm,
    /// What every row passes by itself.
    pub feed_forward: FeedForward,
    /// Makes shift, scale and gate of a condition, if rows of this part have one.
    pub modulation: Option<Modulation>,
    #[module(skip)]
    dimensions: PartDimensions,
}

/// What the weights' shapes alone do not tell.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PartDimensions {
    /// Width of a head.
    pub head_dim: usize,
    /// Where the norms stand.
    pub norm: NormPlacement,
}

/// The rows of one stream, ready for attention.
#[derive(Clone, Debug)]
pub struct Projected {
    /// `[B, S, H, Dh]`
    pub queries: Tensor<4>,
    /// `[B, S, G, Dh]`
    pub keys: Tensor<4>,
    /// `[B, S, G, Dh]`
    pub values: Tensor<4>,
}

impl PartLayer {
    /// Fresh weights.
    pub fn new(config: &BackboneConfig, part: &PartSettings, init: &mut WeightInit) -> Self {
        let (d_model, head_dim) = (config.d_model, config.head_dim());
        let kv_width = config.kv_heads() * head_dim;
        let head_norm =
            |init: &mut WeightInit| config.qk_norm.then(|| RmsNorm::new(head_dim, config.norm_epsilon, init));
        Self {
            attention_norm: RmsNorm::new(d_model, config.norm_epsilon, init),
            query: Linear::new(d_model, d_model, init),
            key: Linear::new(d_model, kv_width, init),
            value: Linear::new(d_model, kv_width, init),
            output: Linear::scaled(d_model, d_model, config.branch_scale(), init),
            query_norm: head_norm(init),
            key_norm: head_norm(init),
            feed_forward_norm: RmsNorm::new(d_model, config.norm_epsilon, init),
            feed_forward: FeedForward::new(config, &part.name, init),
            modulation: part.conditioned.then(|| Modulation::new(d_model, init)),
            dimensions: PartDimensions { head_dim, norm: config.norm },
        }
    }

    /// Shift, scale and gate of attention and of the feed-forward, if there is a condition.
    pub fn terms(&self, condition: Option<&StreamCondition>) -> Option<[Terms; 2]> {
        Some(self.modulation.as_ref()?.forward(condition?))
    }

    /// Queries, keys and values of a stream `[B, S, D]`; queries and keys are normed, if the model does that, and rotated by
    /// their rows' angles.
    pub fn project(&self, x: Tensor<3>, terms: Option<&Terms>, rope: &RopeTable) -> Projected {
        let x = self.enter(x, &self.attention_norm, terms);
        let queries = self.heads(self.query.forward(x.clone()));
        let keys = self.heads(self.key.forward(x.clone()));
        let rotated = |norm: &Option<RmsNorm>, x: Tensor<4>| match norm {
            Some(norm) => norm.forward_rotated(x, rope),
            None => rotate(x, rope),
        };
        Projected {
            queries: rotated(&self.query_norm, queries),
            keys: rotated(&self.key_norm, keys),
            values: self.heads(self.value.forward(x)),
        }
    }

    /// Adds what attention gave, `[B, S, H, Dh]`, and then the feed-forward, to the stream `[B, S, D]`; `filled` is 1 for a
    /// row and 0 for padding, `[B, S]`.
    pub fn finish(
        &self,
        x: Tensor<3>,
        attended: Tensor<4>,
        filled: &Tensor<2>,
        terms: Option<&[Terms; 2]>,
    ) -> (Tensor<3>, Option<RouterOutput>) {
        let [batch, rows, heads, head_dim] = attended.dims();
        let attended = self.output.forward(attended.reshape([batch, rows, heads * head_dim]));
        let x = add_rows(x, self.leave(attended, &self.attention_norm, terms.map(|terms| &terms[0])));
        let terms = terms.map(|terms| &terms[1]);
        let hidden = self.enter(x.clone(), &self.feed_forward_norm, terms);
        let FeedForwardOutput { rows, router } = self.feed_forward.forward(hidden, filled);
        (add_rows(x, self.leave(rows, &self.feed_forward_norm, terms)), router)
    }

    /// What a sub-layer reads of the stream.
    fn enter(&self, x: Tensor<3>, norm: &RmsNorm, terms: Option<&Terms>) -> Tensor<3> {
        let x = match self.dimensions.norm {
            NormPlacement::Pre => norm.forward(x),
            NormPlacement::Post => x,
        };
        match terms {
            Some(terms) => terms.modulate(x),
            None => x,
        }
    }

    /// What a sub-layer adds to the stream.
    fn leave(&self, x: Tensor<3>, norm: &RmsNorm, terms: Option<&Terms>) -> Tensor<3> {
        let x = match self.dimensions.norm {
            NormPlacement::Pre => x,
            NormPlacement::Post => norm.forward(x),
        };
        match terms {
            Some(terms) => terms.gate(x),
            None => x,
        }
    }

    fn heads(&self, x: Tensor<3>) -> Tensor<4> {
        let [batch, rows, width] = x.dims();
        x.reshape([batch, rows, width / self.dimensions.head_dim, self.dimensions.head_dim])
    }
}
