//! The residual block.

use burn::module::Module;
use burn::tensor::Tensor;
use interfuse_kernels::{Conv2d, GroupNorm, WeightInit};

use super::norm_silu;

/// `shortcut(x) + conv2(silu(norm2(conv1(silu(norm1(x))))))`
#[derive(Module, Debug)]
pub(super) struct ResnetBlock {
    norm1: GroupNorm,
    conv1: Conv2d,
    norm2: GroupNorm,
    conv2: Conv2d,
    /// A 1 × 1 convolution where the number of channels changes.
    conv_shortcut: Option<Conv2d>,
}

impl ResnetBlock {
    pub(super) fn new([inputs, outputs]: [usize; 2], groups: usize, init: &mut WeightInit) -> Self {
        Self {
            norm1: norm_silu(inputs, groups, init),
            conv1: Conv2d::same([inputs, outputs], 3, init),
            norm2: norm_silu(outputs, groups, init),
            conv2: Conv2d::same([outputs, outputs], 3, init),
            conv_shortcut: (inputs != outputs).then(|| Conv2d::same([inputs, outputs], 1, init)),
        }
    }

    /// # Shapes
    /// - `x`: `[B, inputs, H, W]`; returns `[B, outputs, H, W]`
    pub(super) fn forward(&self, x: Tensor<4>) -> Tensor<4> {
        let y = self.conv1.forward(self.norm1.forward(x.clone()));
        let y = self.conv2.forward(self.norm2.forward(y));
        match &self.conv_shortcut {
            Some(shortcut) => shortcut.forward(x) + y,
            None => x + y,
        }
    }
}
