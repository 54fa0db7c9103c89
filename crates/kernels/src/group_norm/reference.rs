//! The reference implementation, in Burn primitives.

use burn::tensor::Tensor;

use super::*;

/// [`group_norm`] in Burn primitives.
pub fn reference(x: Tensor<4>, weight: Tensor<1>, bias: Tensor<1>, steps: GroupNormSteps) -> Tensor<4> {
    let shape = x.dims();
    let [batch, channels, height, width] = shape;
    let grouped = x.reshape([batch, steps.groups, channels / steps.groups * height * width]);
    let centred = grouped.clone() - grouped.mean_dim(2);
    let variance = centred.clone().square().mean_dim(2);
    let normed = (centred * variance.add_scalar(steps.epsilon).sqrt().recip()).reshape(shape);
    let by_channel = |x: Tensor<1>| x.reshape([1, channels, 1, 1]);
    let y = normed * by_channel(weight) + by_channel(bias);
    if steps.silu { y.clone() * burn::tensor::activation::sigmoid(y) } else { y }
}
