//! The reference implementation, in Burn primitives.

use burn::tensor::Tensor;
use burn::tensor::activation::silu;

/// [`crate::swiglu()`] in Burn primitives.
pub fn reference<const R: usize>(gate: Tensor<R>, up: Tensor<R>) -> Tensor<R> {
    silu(gate) * up
}
