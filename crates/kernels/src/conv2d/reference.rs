//! The reference implementation, in Burn primitives.

use burn::tensor::Tensor;
use burn::tensor::ops::{ConvOptions, PadMode};

use super::*;

/// [`conv2d`] as Burn has it.
pub fn reference(x: Tensor<4>, weight: Tensor<4>, bias: Option<Tensor<1>>, steps: ConvSteps) -> Tensor<4> {
    let ConvSteps { stride, padding: [[above, below], [left, right]] } = steps;
    // Burn pads both sides alike; what one side has more is laid on before.
    let (vertical, horizontal) = (above.min(below), left.min(right));
    let padding = [(above - vertical, below - vertical), (left - horizontal, right - horizontal)];
    let x = if padding == [(0, 0); 2] { x } else { x.pad(padding, PadMode::Constant(0.0)) };
    let options = ConvOptions::new([stride; 2], [vertical, horizontal], [1; 2], 1);
    burn::tensor::module::conv2d(x, weight, bias, options)
}
