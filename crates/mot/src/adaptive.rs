//! Adaptive norms (adaLN-Zero of DiT, 2212.09748): shift, scale and gate of a sub-layer as functions of a condition.
//!
//! Dimensions: `B` batch, `S` rows of a stream, `N` groups of rows that share a condition (images), `D` width.
//!
//! The backbone does not know what the condition says; the image tower makes it of the timestep. Rows of a lane without a
//! condition pass as if shift and scale were zero and the gate one.

use burn::module::Module;
use burn::tensor::Tensor;
use interfuse_kernels::{Linear, WeightInit};

/// What the lanes of a stream are conditioned on, in the stream's order.
#[derive(Clone, Debug)]
pub struct StreamCondition {
    /// Rows of each lane, and its condition `[B, N, D]` if it has one.
    pub lanes: Vec<(usize, Option<Tensor<3>>)>,
}

/// Makes the terms of one layer.
#[derive(Module, Debug)]
pub struct Modulation {
    terms: Linear,
}

/// Shift, scale and gate of one sub-layer, for every lane of a stream.
#[derive(Clone, Debug)]
pub struct Terms {
    lanes: Vec<(usize, Option<LaneTerms>)>,
}

/// Each `[B, N, 1, D]`.
#[derive(Clone, Debug)]
struct LaneTerms {
    shift: Tensor<4>,
    scale: Tensor<4>,
    gate: Tensor<4>,
}

impl Modulation {
    /// All terms zero: a layer starts as the identity.
    pub fn new(d_model: usize, init: &mut WeightInit) -> Self {
        Self { terms: Linear::zero_with_bias(d_model, 6 * d_model, init) }
    }

    /// The terms of attention and of the feed-forward.
    pub fn forward(&self, condition: &StreamCondition) -> [Terms; 2] {
        let mut sub_layers = [Terms { lanes: vec![] }, Terms { lanes: vec![] }];
        for (rows, condition) in &condition.lanes {
            let terms = condition.as_ref().map(|condition| self.terms.forward(condition.clone()).unsqueeze_dim::<4>(2));
            for (index, sub_layer) in sub_layers.iter_mut().enumerate() {
                let lane = terms.clone().map(|terms| {
                    let [_, _, _, six] = terms.dims();
                    let term = |k: usize| terms.clone().narrow(3, (3 * index + k) * six / 6, six / 6);
                    LaneTerms { shift: term(0), scale: term(1).add_scalar(1.0), gate: term(2) }
                });
                sub_layer.lanes.push((*rows, lane));
            }
        }
        sub_layers
    }
}

impl Terms {
    /// `x · (1 + scale) + shift`. `[B, S, D]`
    pub fn modulate(&self, x: Tensor<3>) -> Tensor<3> {
        self.by_lane(x, |x, terms| {
            let [scale, shift] = [&terms.scale, &terms.shift].map(|term| term.clone().cast(x.dtype()));
            x * scale + shift
        })
    }

    /// `x · gate`. `[B, S, D]`
    pub fn gate(&self, x: Tensor<3>) -> Tensor<3> {
        self.by_lane(x, |x, terms| {
            let gate = terms.gate.clone().cast(x.dtype());
            x * gate
        })
    }

    fn by_lane(&self, x: Tensor<3>, f: impl Fn(Tensor<4>, &LaneTerms) -> Tensor<4>) -> Tensor<3> {
        let [batch, _, width] = x.dims();
        let apply = |x: Tensor<3>, rows: usize, terms: &Option<LaneTerms>| match terms {
            None => x,
            Some(terms) => {
                let [_, groups, _, _] = terms.gate.dims();
                f(x.reshape([batch, groups, rows / groups, width]), terms).reshape([batch, rows, width])
            }
        };
        if let [(rows, terms)] = self.lanes.as_slice() {
            return apply(x, *rows, terms);
        }
        let mut start = 0;
        let parts = self.lanes.iter().map(|(rows, terms)| {
            let part = x.clone().narrow(1, start, *rows);
            start += rows;
            apply(part, *rows, terms)
        });
        Tensor::cat(parts.collect(), 1)
    }
}
