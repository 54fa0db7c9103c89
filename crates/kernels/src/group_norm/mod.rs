//! Group norm (Wu and He, 1803.08494), with SiLU behind it where a convolutional network has one.
//!
//! Dimensions: `B` batch, `C` channels, `G` groups, `H × W` image.

mod cpu;
mod reference;

use burn::backend::Dispatch;
use burn::module::{Module, Param};
use burn::tensor::Tensor;

use self::cpu::GroupNormCpu;
use crate::init::WeightInit;
use crate::place::{Place, place_of};

pub use self::reference::reference;

/// How a group norm is taken.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct GroupNormSteps {
    /// Groups of channels, a divisor of their number.
    pub groups: usize,
    /// Added to the variance.
    pub epsilon: f64,
    /// Whether `x · σ(x)` follows.
    pub silu: bool,
}

/// A group norm with its weights.
#[derive(Module, Debug)]
pub struct GroupNorm {
    /// `[C]`
    pub weight: Param<Tensor<1>>,
    /// `[C]`
    pub bias: Param<Tensor<1>>,
    #[module(skip)]
    steps: GroupNormSteps,
}

impl GroupNorm {
    /// Weights 1 and biases 0.
    pub fn new(channels: usize, steps: GroupNormSteps, init: &mut WeightInit) -> Self {
        Self { weight: init.constant([channels], 1.0), bias: init.constant([channels], 0.0), steps }
    }

    /// # Shapes
    /// - `x`: `[B, C, H, W]`; returns the same
    pub fn forward(&self, x: Tensor<4>) -> Tensor<4> {
        group_norm(x, self.weight.val(), self.bias.val(), self.steps)
    }
}

/// Every group of channels of an image brought to mean 0 and variance 1, times `weight` plus `bias` by channel, and SiLU of
/// that if asked for.
///
/// # Shapes
/// - `x`: `[B, C, H, W]`, `weight`, `bias`: `[C]`; returns the shape of `x`
///
/// # Panics
/// When the groups do not divide the channels.
pub fn group_norm(x: Tensor<4>, weight: Tensor<1>, bias: Tensor<1>, steps: GroupNormSteps) -> Tensor<4> {
    let [_, channels, _, _] = x.dims();
    assert!(channels.is_multiple_of(steps.groups), "{channels} channels in {} groups", steps.groups);
    if place_of(&x) != Place::Cpu {
        return reference(x, weight, bias, steps);
    }
    let (x, weight, bias) = (x.into_dispatch(), weight.into_dispatch(), bias.into_dispatch());
    Tensor::from_dispatch(<Dispatch as GroupNormCpu>::group_norm(x, weight, bias, steps))
}

#[cfg(test)]
mod tests {
    use super::*;
    use burn::tensor::Device;

    #[test]
    fn a_group_comes_out_with_mean_0_and_variance_1_times_weight_plus_bias() {
        let device = Device::flex();
        let x = Tensor::<4>::from_floats([[[[1.0, 3.0]], [[5.0, 7.0]], [[2.0, 2.0]], [[2.0, 2.0]]]], &device);
        let weight = Tensor::<1>::from_floats([1.0, 2.0, 1.0, 1.0], &device);
        let bias = Tensor::<1>::from_floats([0.0, 0.0, 0.5, -0.5], &device);
        let y = group_norm(x, weight, bias, GroupNormSteps { groups: 2, epsilon: 0.0001, silu: false });
        let root = 5.0f32.sqrt();
        let expected = [-3.0 / root, -1.0 / root, 2.0 / root, 6.0 / root, 0.5, 0.5, -0.5, -0.5];
        for (found, expected) in y.into_data().try_to_vec::<f32>().unwrap().iter().zip(expected) {
            assert!((found - expected).abs() < 1e-4, "{found} against {expected}");
        }
    }
}
