//! How far a reconstruction lies from its image, pixel by pixel.

use burn::tensor::Tensor;
use serde::{Deserialize, Serialize};

/// The distance of two pixels.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ReconstructionLoss {
    /// The absolute difference, as in latent diffusion.
    #[default]
    L1,
    /// The squared difference, which is what PSNR measures.
    L2,
}

impl ReconstructionLoss {
    /// The mean over all numbers. `[1]`
    pub fn of(self, reconstruction: Tensor<4>, image: Tensor<4>) -> Tensor<1> {
        let difference = reconstruction - image;
        match self {
            Self::L1 => difference.abs().mean(),
            Self::L2 => difference.square().mean(),
        }
    }
}
