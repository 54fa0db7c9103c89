//! A mixture of experts: networks side by side, among which a router distributes the rows.
//!
//! Dimensions: `B` sequences, `S` rows of the part's stream, `n = B · S`, `D` width of the model, `F` width of an expert,
//! `E` experts, `A` places at the experts, each of which one row may take.
//!
//! ```text
//! y_i = Σ_a [row of a = i] · gate_a · expert_a(x_i)
//! ```
//!
//! The two routings differ in which row takes which place ([`expert_choice`], [`top_k`]). All shapes are fixed, and
//! nothing is read on the host. A row of padding takes no place.

use burn::module::Module;
use burn::tensor::activation::softmax;
use burn::tensor::{DType, IndexingUpdateOp, Int, Tensor};
use interfuse_kernels::{GroupedLinear, Linear, Precision, RowGroups, WeightInit, swiglu, with_precision};

use super::config::{MoeConfig, Routing};
use super::router::RouterOutput;
use super::{FeedForwardOutput, expert_choice, top_k};
use crate::config::BackboneConfig;

/// Router and experts.
#[derive(Module, Debug)]
pub struct Moe {
    /// `D → E`
    pub router: Linear,
    /// The networks.
    pub experts: Experts,
    #[module(skip)]
    config: MoeConfig,
}

/// [`super::swiglu::Swiglu`] networks side by side, with weights drawn as theirs are.
#[derive(Module, Debug)]
pub struct Experts {
    /// `D → F` of each expert, under the SiLU.
    pub gate: GroupedLinear,
    /// `D → F` of each expert.
    pub up: GroupedLinear,
    /// `F → D` of each expert.
    pub down: GroupedLinear,
}

/// Which rows go where, the places of an expert side by side.
#[derive(Clone, Debug)]
pub(super) struct Places {
    /// The row of each place, among those of all sequences. `[A]`
    pub(super) rows: Tensor<1, Int>,
    /// What the expert's answer is multiplied by; 0 where nobody took the place. `[A]`
    pub(super) gates: Tensor<1>,
    /// Which places are whose.
    pub(super) groups: RowGroups,
    /// Rows that took a place, of each expert in each sequence. `[B, E]`
    pub(super) taken: Tensor<2>,
}

impl Moe {
    /// Fresh weights.
    pub fn new(config: &BackboneConfig, moe: &MoeConfig, init: &mut WeightInit) -> Self {
        let (d_model, d_ff, experts) = (config.d_model, moe.d_ff.unwrap_or_else(|| config.d_ff()), moe.experts);
        Self {
            router: Linear::new(d_model, experts, init),
            experts: Experts {
                gate: GroupedLinear::scaled(experts, [d_model, d_ff], 1.0, init),
                up: GroupedLinear::scaled(experts, [d_model, d_ff], 1.0, init),
                down: GroupedLinear::scaled(experts, [d_ff, d_model], config.branch_scale(), init),
            },
            config: moe.clone(),
        }
    }

    /// # Shapes
    /// - `x`: `[B, S, D]`; returns the same
    /// - `filled`: 1 for a row, 0 for padding. `[B, S]`
    pub fn forward(&self, x: Tensor<3>, filled: &Tensor<2>) -> FeedForwardOutput {
        let [batch, rows, d_model] = x.dims();
        // Few bits in the logits upset the routing (selective precision of Switch, section 2.4).
        let logits = with_precision(Precision::F32, || self.router.forward(x.clone().cast(DType::F32)));
        let probabilities = softmax(logits.clone(), 2);
        let places = match self.config.routing {
            Routing::ExpertChoice => expert_choice::places(&probabilities, filled, self.config.capacity()),
            Routing::TopK => {
                let (top_k, normalizes) = (self.config.top_k(), self.config.normalizes_gates());
                top_k::places(&probabilities, filled, top_k, normalizes)
            }
        };
        let x = x.reshape([batch * rows, d_model]);
        let y = self.experts.forward(x.clone().select(0, places.rows.clone()), &places.groups);
        let gates = places.gates.clone().cast(y.dtype()).unsqueeze_dim::<2>(1);
        let sum = x.zeros_like().detach().select_assign(0, places.rows.clone(), y * gates, IndexingUpdateOp::Add);
        let router = RouterOutput::new(&self.config, logits, probabilities, filled, &places);
        FeedForwardOutput { rows: sum.reshape([batch, rows, d_model]), router: Some(router) }
    }
}

impl Experts {
    /// # Shapes
    /// - `x`: `[A, D]`, by expert; returns the same
    fn forward(&self, x: Tensor<2>, groups: &RowGroups) -> Tensor<2> {
        let (gate, up) = (self.gate.forward(x.clone(), groups), self.up.forward(x, groups));
        self.down.forward(swiglu(gate, up), groups)
    }
}
