//! The patch discriminator (Isola et al., 1611.07004) with the hinge loss, and its adaptive weight (VQGAN, 2012.09841,
//! section 3.1).
//!
//! Its norms are group norms, where the original has batch norms: what it says of one image should not depend on the others.

use burn::module::Module;
use burn::tensor::activation::{leaky_relu, relu};
use burn::tensor::{Tensor, s};
use interfuse_kernels::{Conv2d, ConvSteps, GroupNorm, GroupNormSteps, WeightInit, conv2d};

/// Slope of the activation below zero.
const SLOPE: f64 = 0.2;
/// Added to the gradient's norm by which the adaptive weight divides.
const EPSILON: f64 = 1e-4;
/// The largest adaptive weight.
const MOST_WEIGHT: f64 = 1e4;

/// Says of every patch of an image how real it looks; above 0 is real.
#[derive(Module, Debug)]
pub struct PatchDiscriminator {
    layers: Vec<Layer>,
    out: Conv2d,
}

#[derive(Module, Debug)]
struct Layer {
    conv: Conv2d,
    norm: Option<GroupNorm>,
}

impl PatchDiscriminator {
    /// For images of `channels` channels; `halvings` convolutions of stride 2, the first of them `width` wide.
    pub fn new(channels: usize, width: usize, halvings: usize, init: &mut WeightInit) -> Self {
        let mut layers = Vec::new();
        let mut inputs = channels;
        for index in 0..=halvings {
            let outputs = width << index.min(3);
            let stride = if index < halvings { 2 } else { 1 };
            let conv = Conv2d::new([inputs, outputs], 4, ConvSteps::new(stride, 1), init);
            let steps = GroupNormSteps { groups: groups_of(outputs), epsilon: 1e-5, silu: false };
            let norm = (index > 0).then(|| GroupNorm::new(outputs, steps, init));
            layers.push(Layer { conv, norm });
            inputs = outputs;
        }
        Self { layers, out: Conv2d::new([inputs, 1], 4, ConvSteps::new(1, 1), init) }
    }

    /// # Shapes
    /// - `x`: `[B, channels, H, W]`; returns `[B, 1, a, b]`, one number a patch
    pub fn forward(&self, x: Tensor<4>) -> Tensor<4> {
        let x = self.layers.iter().fold(x, |x, layer| {
            let x = layer.conv.forward(x);
            leaky_relu(layer.norm.iter().fold(x, |x, norm| norm.forward(x)), SLOPE)
        });
        self.out.forward(x)
    }

    /// The hinge loss of judging: `½ (mean relu(1 − D(real)) + mean relu(1 + D(fake)))`. `[1]`
    pub fn loss(&self, real: Tensor<4>, fake: Tensor<4>) -> Tensor<1> {
        let [batch, _, _, _] = real.dims();
        let logits = self.forward(Tensor::cat(vec![real, fake], 0));
        let real = logits.clone().slice(s![..batch as isize, .., .., ..]);
        let fake = logits.slice(s![batch as isize.., .., .., ..]);
        (relu(real.neg().add_scalar(1.0)).mean() + relu(fake.add_scalar(1.0)).mean()).mul_scalar(0.5)
    }

    /// What the autoencoder lowers to pass for real: `−mean D(fake)`. `[1]`
    pub fn deceit(&self, fake: Tensor<4>) -> Tensor<1> {
        self.forward(fake).mean().neg()
    }
}

/// Eight channels a group, or one group.
fn groups_of(channels: usize) -> usize {
    if channels.is_multiple_of(8) { channels / 8 } else { 1 }
}

/// `|∇ reconstruction| / (|∇ deceit| + ε)`, both of the decoder's last weights, so that neither loss outweighs the other there.
///
/// The gradient of the last weights is made of the gradients of the reconstruction, so that nothing else of the autoencoder
/// need be gone through. A tensor without history, so that the caller waits for no device. `[1]`
///
/// # Shapes
/// - `features`: what the last convolution reads, `[B, C, H, W]`; `by_loss`, `by_deceit`: gradients by the reconstruction, off the
///   tape
pub fn adaptive_weight(
    last_layer: &Conv2d,
    features: Tensor<4>,
    by_loss: Tensor<4>,
    by_deceit: Tensor<4>,
) -> Tensor<1> {
    let features = features.inner();
    let steps = ConvSteps::new(1, last_layer.weight.dims()[2] / 2);
    let norm = |by: Tensor<4>| -> Tensor<1> {
        // A leaf for each, for a tape is used up by one backward pass.
        let weight = Tensor::<4>::from_inner(last_layer.weight.val().inner()).require_grad();
        let out = conv2d(Tensor::from_inner(features.clone()), weight.clone(), None, steps);
        let gradients = (out * Tensor::from_inner(by)).sum().backward();
        match weight.grad(&gradients) {
            Some(gradient) => gradient.square().sum().sqrt(),
            None => Tensor::zeros([1], &weight.device().without_autodiff()),
        }
    };
    let (by_loss, by_deceit) = (norm(by_loss), norm(by_deceit));
    (by_loss / by_deceit.add_scalar(EPSILON)).clamp(0.0, MOST_WEIGHT)
}
