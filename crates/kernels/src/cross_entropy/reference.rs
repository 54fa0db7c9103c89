//! The reference implementation, in Burn primitives.

use burn::tensor::{Int, Tensor};

use super::*;

/// [`cross_entropy`] in Burn primitives.
pub fn reference(logits: Tensor<2>, targets: Tensor<1, Int>, weights: Tensor<1>) -> CrossEntropy {
    let logits = logits.cast(weights.dtype());
    // Subtracting a row's maximum changes nothing but the range, so it needs no gradient.
    let peak = logits.clone().detach().max_dim(1);
    let shifted = logits - peak.clone();
    let log_z = shifted.clone().exp().sum_dim(1).log();
    let picked = shifted.gather(1, targets.unsqueeze_dim(1));
    let weights = weights.unsqueeze_dim(1);
    CrossEntropy {
        next_token: ((log_z.clone() - picked) * weights.clone()).sum(),
        z: ((log_z + peak).square() * weights).sum(),
    }
}
