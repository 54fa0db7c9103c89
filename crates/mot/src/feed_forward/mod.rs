//! What every row of a part passes by itself between two attentions. A kind is one file here and one variant of
//! [`FeedForward`].
//!
//! Dimensions: `B` batch, `S` rows of the part's stream, `D` width of the model, `F` width of the feed-forward, `E` experts.

pub mod swiglu;

use burn::module::Module;
use burn::tensor::Tensor;
use interfuse_kernels::WeightInit;

use self::swiglu::Swiglu;
use crate::config::BackboneConfig;

/// The feed-forward of one layer of one part.
#[derive(Module, Debug)]
pub enum FeedForward {
    /// One network for all rows.
    Swiglu(Swiglu),
}

/// What a feed-forward gives.
#[derive(Clone, Debug)]
pub struct FeedForwardOutput {
    /// `[B, S, D]`
    pub rows: Tensor<3>,
    /// What its router has to say, where rows choose among experts.
    pub router: Option<RouterOutput>,
}

/// What the router of a mixture of experts has to say of a batch.
#[derive(Clone, Debug)]
pub struct RouterOutput {
    /// What is added to the losses, its weight included. `[1]`
    pub auxiliary_loss: Tensor<1>,
    /// The fraction of rows that went to each expert. `[E]`
    pub load: Tensor<1>,
}

impl FeedForward {
    /// Fresh weights.
    pub fn new(config: &BackboneConfig, init: &mut WeightInit) -> Self {
        Self::Swiglu(Swiglu::new(config, init))
    }

    /// # Shapes
    /// - `x`: `[B, S, D]`
    pub fn forward(&self, x: Tensor<3>) -> FeedForwardOutput {
        match self {
            Self::Swiglu(network) => FeedForwardOutput { rows: network.forward(x), router: None },
        }
    }
}
