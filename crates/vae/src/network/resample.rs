//! Half the size and twice the size.

use burn::module::Module;
use burn::tensor::Tensor;
use interfuse_kernels::{Conv2d, ConvSteps, WeightInit};

/// A convolution of stride 2, padded below and on the right alone, as in every autoencoder of this family.
#[derive(Module, Debug)]
pub(super) struct Downsample {
    conv: Conv2d,
}

impl Downsample {
    pub(super) fn new(channels: usize, init: &mut WeightInit) -> Self {
        let steps = ConvSteps { stride: 2, padding: [[0, 1], [0, 1]] };
        Self { conv: Conv2d::new([channels, channels], 3, steps, init) }
    }

    /// # Shapes
    /// - `x`: `[B, C, H, W]`; returns `[B, C, H/2, W/2]`
    pub(super) fn forward(&self, x: Tensor<4>) -> Tensor<4> {
        self.conv.forward(x)
    }
}

/// Every pixel four times, then a convolution.
#[derive(Module, Debug)]
pub(super) struct Upsample {
    conv: Conv2d,
}

impl Upsample {
    pub(super) fn new(channels: usize, init: &mut WeightInit) -> Self {
        Self { conv: Conv2d::same([channels, channels], 3, init) }
    }

    /// # Shapes
    /// - `x`: `[B, C, H, W]`; returns `[B, C, 2H, 2W]`
    pub(super) fn forward(&self, x: Tensor<4>) -> Tensor<4> {
        self.conv.forward(twice(x))
    }
}

/// The nearest pixel in twice the size.
fn twice(x: Tensor<4>) -> Tensor<4> {
    let [batch, channels, height, width] = x.dims();
    let spread = x.reshape([batch * channels, height, 1, width, 1]).expand([batch * channels, height, 2, width, 2]);
    spread.reshape([batch, channels, 2 * height, 2 * width])
}
