//! The reference implementation, in Burn primitives.

use burn::tensor::Tensor;

/// [`crate::rms_norm()`] in Burn primitives.
pub fn reference<const R: usize>(x: Tensor<R>, weight: Tensor<1>, epsilon: f64) -> Tensor<R> {
    let mean_square = x.clone().square().mean_dim(R - 1);
    let scale = mean_square.add_scalar(epsilon).sqrt().recip();
    x * scale * weight.unsqueeze::<R>()
}
