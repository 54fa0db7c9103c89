//! The reference implementation, in Burn primitives.

use burn::tensor::Tensor;

use super::*;

/// The reference implementation.
pub(super) fn adamw_reference(state: AdamWState, gradient: Tensor<1>, f: Factors) -> AdamWState {
    let gradient = gradient.mul_scalar(f.gradient_scale);
    let first = state.first.mul_scalar(f.beta_1) + gradient.clone().mul_scalar(1.0 - f.beta_1);
    let second = state.second.mul_scalar(f.beta_2) + gradient.square().mul_scalar(1.0 - f.beta_2);
    let root = second.clone().sqrt().mul_scalar(f.second_correction).add_scalar(f.epsilon);
    let direction = first.clone().mul_scalar(f.first_correction) / root;
    let weight = state.weight.mul_scalar(f.kept) - direction.mul_scalar(f.learning_rate);
    AdamWState { weight, first, second }
}
