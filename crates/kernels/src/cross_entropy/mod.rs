//! Softmax cross-entropy with the z-loss of PaLM (2204.02311, section 5): `log² Z` keeps the logits from drifting.

mod cpu;
#[cfg(feature = "gpu")]
mod gpu;
mod reference;

use burn::backend::Dispatch;
use burn::tensor::{Int, Tensor};

use self::cpu::CrossEntropyCpu;
use crate::place::{Place, place_of};

pub use self::reference::reference;

/// Sums over the scored rows; dividing by their number is the caller's business, since only the caller knows how many
/// rows a whole optimizer step scores.
#[derive(Clone, Debug)]
pub struct CrossEntropy {
    /// `Σ weight · (log Z − logit of the target)`, in nats. `[1]`
    pub next_token: Tensor<1>,
    /// `Σ weight · log² Z`. `[1]`
    pub z: Tensor<1>,
}

/// Cross-entropy of every row with its target, each row times its weight; a row of weight zero is not scored and its
/// target is not looked at beyond being a valid index.
///
/// # Shapes
/// - `logits`: `[N, V]`, `targets`: `[N]` in `0..V`, `weights`: `[N]`
pub fn cross_entropy(logits: Tensor<2>, targets: Tensor<1, Int>, weights: Tensor<1>) -> CrossEntropy {
    let place = place_of(&logits);
    if place == Place::Reference {
        return reference(logits, targets, weights);
    }
    let (logits, targets, weights) = (logits.into_dispatch(), targets.into_dispatch(), weights.into_dispatch());
    let sums = Tensor::<1>::from_dispatch(match place {
        #[cfg(feature = "gpu")]
        Place::Gpu => <Dispatch as gpu::CrossEntropyGpu>::cross_entropy(logits, targets, weights),
        _ => <Dispatch as CrossEntropyCpu>::cross_entropy(logits, targets, weights),
    });
    CrossEntropy { next_token: sums.clone().narrow(0, 0, 1), z: sums.narrow(0, 1, 1) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use burn::tensor::Device;

    #[test]
    fn equals_the_formula_and_ignores_rows_of_weight_zero() {
        let device = Device::flex();
        let rows = [[1.0f32, 2.0, 0.5], [500.0, -500.0, 0.0], [9.0, 9.0, 9.0]];
        let logits = Tensor::<2>::from_floats(rows, &device);
        let targets = Tensor::<1, Int>::from_ints([2, 0, 1], &device);
        let weights = Tensor::<1>::from_floats([1.0, 2.0, 0.0], &device);
        let loss = cross_entropy(logits, targets, weights);

        let log_z = rows[0].iter().map(|x| x.exp()).sum::<f32>().ln();
        assert!((loss.next_token.into_scalar::<f32>() - (log_z - 0.5)).abs() < 1e-5);
        let z = log_z * log_z + 2.0 * 500.0 * 500.0;
        assert!((loss.z.into_scalar::<f32>() - z).abs() / z < 1e-5);
    }
}
