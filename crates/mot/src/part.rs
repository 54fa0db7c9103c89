//! One layer of one part: all the weights that its rows meet, and what they make of the rows.
//!
//! Dimensions: `B` batch, `S` rows of the part's stream, `D` width, `H` query heads, `G` key/value heads, `Dh` width of
//! a head.

use burn::tensor::Tensor;
use interfuse_kernels::{Dropout, Linear, RopeTable, linear_maps, rotate};

use crate::adaptive::{Modulation, StreamCondition, Terms};
use crate::config::NormPlacement;
use crate::feed_forward::router::RouterOutput;
use crate::feed_forward::{FeedForward, FeedForwardOutput};
use crate::norm::RmsNorm;
use crate::rows::StreamRows;
use crate::stream::Stream;
use crate::weights::PartWeights;

/// One layer of one part, whoever owns its weights.
#[derive(Clone, Copy, Debug)]
pub struct PartLayer<'a> {
    attention_norm: &'a RmsNorm,
    query: &'a Linear,
    key: &'a Linear,
    value: &'a Linear,
    output: &'a Linear,
    query_norm: Option<&'a RmsNorm>,
    key_norm: Option<&'a RmsNorm>,
    feed_forward_norm: &'a RmsNorm,
    feed_forward: &'a FeedForward,
    modulation: Option<&'a Modulation>,
    dimensions: PartDimensions,
}

/// What the weights' shapes alone do not tell.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PartDimensions {
    /// Width of a head.
    pub head_dim: usize,
    /// Where the norms stand.
    pub norm: NormPlacement,
    /// Which layer it is, counted from 0.
    pub layer: usize,
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

impl<'a> PartLayer<'a> {
    /// Of each kind the part's own weights, or those that all parts have in common; `None` if neither has some, which the
    /// same configuration for both rules out.
    pub(crate) fn of(own: &'a PartWeights, tied: Option<&'a PartWeights>, dimensions: PartDimensions) -> Option<Self> {
        let owners = [Some(own), tied];
        fn find<T>(owners: [Option<&PartWeights>; 2], field: fn(&PartWeights) -> &Option<T>) -> Option<&T> {
            owners.into_iter().flatten().find_map(|owner| field(owner).as_ref())
        }
        Some(Self {
            attention_norm: find(owners, |weights| &weights.attention_norm)?,
            query: find(owners, |weights| &weights.query)?,
            key: find(owners, |weights| &weights.key)?,
            value: find(owners, |weights| &weights.value)?,
            output: find(owners, |weights| &weights.output)?,
            query_norm: find(owners, |weights| &weights.query_norm),
            key_norm: find(owners, |weights| &weights.key_norm),
            feed_forward_norm: find(owners, |weights| &weights.feed_forward_norm)?,
            feed_forward: find(owners, |weights| &weights.feed_forward)?,
            modulation: find(owners, |weights| &weights.modulation),
            dimensions,
        })
    }

    /// Shift, scale and gate of attention and of the feed-forward, if there is a condition.
    pub fn terms(&self, condition: Option<&StreamCondition>) -> Option<[Terms; 2]> {
        Some(self.modulation?.forward(condition?))
    }

    /// The stream, and its queries, keys and values; queries and keys are normed, if the model does that, and rotated by their
    /// rows' angles.
    pub fn project(&self, stream: Stream, terms: Option<&Terms>, rope: &RopeTable) -> (Stream, Projected) {
        let (stream, x) = self.enter(stream, self.attention_norm, terms);
        let [queries, keys, values] = linear_maps([self.query, self.key, self.value], x).map(|x| self.heads(x));
        let rotated = |norm: Option<&RmsNorm>, x: Tensor<4>| match norm {
            Some(norm) => norm.forward_rotated(x, rope),
            None => rotate(x, rope),
        };
        let (queries, keys) = (rotated(self.query_norm, queries), rotated(self.key_norm, keys));
        (stream, Projected { queries, keys, values })
    }

    /// The stream with what attention gave, `[B, S, H, Dh]`, and then the feed-forward.
    pub fn finish(
        &self,
        stream: Stream,
        attended: Tensor<4>,
        stands: &StreamRows,
        terms: Option<&[Terms; 2]>,
    ) -> (Stream, Option<RouterOutput>) {
        let [batch, rows, heads, head_dim] = attended.dims();
        let attended = self.output.forward(attended.reshape([batch, rows, heads * head_dim]));
        let attended = self.leave(attended, self.attention_norm, terms.map(|terms| &terms[0]));
        let stream = stream.with_branch(self.thinned(attended, stands.dropout, 0));
        let terms = terms.map(|terms| &terms[1]);
        let (stream, hidden) = self.enter(stream, self.feed_forward_norm, terms);
        let FeedForwardOutput { rows, router } = self.feed_forward.forward(hidden, &stands.filled);
        let rows = self.leave(rows, self.feed_forward_norm, terms);
        (stream.with_branch(self.thinned(rows, stands.dropout, 1)), router)
    }

    /// The stream, and what a sub-layer reads of it, `[B, S, D]`.
    fn enter(&self, stream: Stream, norm: &RmsNorm, terms: Option<&Terms>) -> (Stream, Tensor<3>) {
        let (stream, x) = match self.dimensions.norm {
            NormPlacement::Pre => stream.normed(norm),
            NormPlacement::Post => {
                let x = stream.joined();
                (Stream::new(x.clone()), x)
            }
        };
        let x = match terms {
            Some(terms) => terms.modulate(x),
            None => x,
        };
        (stream, x)
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

    /// What dropout leaves of what a sub-layer of this layer adds, `[B, S, D]`; attention is the place 0, the feed-forward 1.
    fn thinned(&self, x: Tensor<3>, dropout: Option<Dropout>, place: u64) -> Tensor<3> {
        match dropout {
            Some(dropout) => dropout.at(self.dimensions.layer as u64).at(place).apply(x),
            None => x,
        }
    }

    fn heads(&self, x: Tensor<3>) -> Tensor<4> {
        let [batch, rows, width] = x.dims();
        x.reshape([batch, rows, width / self.dimensions.head_dim, self.dimensions.head_dim])
    }
}
