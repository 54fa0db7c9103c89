//! What every row of a part passes by itself between two attentions. A kind is one variant of [`FeedForward`].
//!
//! Dimensions: `B` batch, `S` rows of the part's stream, `D` width of the model, `F` width of the feed-forward, `E` experts.

pub mod config;
mod expert_choice;
pub mod moe;
pub mod router;
pub mod swiglu;
mod top_k;

use burn::module::Module;
use burn::tensor::Tensor;
use interfuse_kernels::WeightInit;

use self::config::FeedForwardConfig;
use self::moe::Moe;
use self::router::RouterOutput;
use self::swiglu::Swiglu;
use crate::config::BackboneConfig;

/// The feed-forward of one layer of one part.
#[derive(Module, Debug)]
#[allow(clippy::large_enum_variant)] // There are as many as parts of layers.
pub enum FeedForward {
    /// One network for all rows.
    Swiglu(Swiglu),
    /// Several, among which a router distributes the rows.
    Moe(Moe),
}

/// What a feed-forward gives.
#[derive(Clone, Debug)]
pub struct FeedForwardOutput {
    /// `[B, S, D]`
    pub rows: Tensor<3>,
    /// What its router has to say, where rows choose among experts.
    pub router: Option<RouterOutput>,
}

impl FeedForward {
    /// Fresh weights.
    pub fn new(config: &BackboneConfig, kind: &FeedForwardConfig, init: &mut WeightInit) -> Self {
        match kind {
            FeedForwardConfig::Swiglu {} => Self::Swiglu(Swiglu::new(config, init)),
            FeedForwardConfig::Moe(moe) => Self::Moe(Moe::new(config, moe, init)),
        }
    }

    /// # Shapes
    /// - `x`: `[B, S, D]`
    /// - `filled`: 1 for a row, 0 for padding. `[B, S]`
    pub fn forward(&self, x: Tensor<3>, filled: &Tensor<2>) -> FeedForwardOutput {
        match self {
            Self::Swiglu(network) => FeedForwardOutput { rows: network.forward(x), router: None },
            Self::Moe(mixture) => mixture.forward(x, filled),
        }
    }
}
