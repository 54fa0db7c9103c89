//! Latents to pixels.

use burn::module::Module;
use burn::tensor::Tensor;
use interfuse_kernels::{Conv2d, GroupNorm, WeightInit};

use super::resample::Upsample;
use super::resnet::ResnetBlock;
use super::{MidBlock, norm_silu};
use crate::config::NetworkConfig;

/// Latents to pixels.
#[derive(Module, Debug)]
pub struct Decoder {
    conv_in: Conv2d,
    mid_block: MidBlock,
    up_blocks: Vec<UpBlock>,
    conv_norm_out: GroupNorm,
    conv_out: Conv2d,
}

/// Residual blocks at one size, and the way to twice of it, except at the last.
#[derive(Module, Debug)]
struct UpBlock {
    resnets: Vec<ResnetBlock>,
    upsamplers: Vec<Upsample>,
}

impl Decoder {
    /// The mirror image of the encoder, with one residual block more at every size.
    pub fn new(config: &NetworkConfig, init: &mut WeightInit) -> Self {
        let (widths, groups) = (&config.block_out_channels, config.norm_num_groups);
        let (first, last) = (widths[0], widths[widths.len() - 1]);
        let conv_in = Conv2d::same([config.latent_channels, last], 3, init);
        let mid_block = MidBlock::new(last, groups, config.mid_block_add_attention, init);
        let mut inputs = last;
        let mut up_blocks = Vec::new();
        for (level, &outputs) in widths.iter().rev().enumerate() {
            let mut resnets = vec![ResnetBlock::new([inputs, outputs], groups, init)];
            resnets.extend((0..config.layers_per_block).map(|_| ResnetBlock::new([outputs, outputs], groups, init)));
            let is_last = level + 1 == widths.len();
            let upsamplers = (!is_last).then(|| Upsample::new(outputs, init)).into_iter().collect();
            up_blocks.push(UpBlock { resnets, upsamplers });
            inputs = outputs;
        }
        let conv_norm_out = norm_silu(first, groups, init);
        let conv_out = Conv2d::same([first, config.out_channels], 3, init);
        Self { conv_in, mid_block, up_blocks, conv_norm_out, conv_out }
    }

    /// # Shapes
    /// - `z`: `[B, latent_channels, h, w]`; returns `[B, out_channels, H, W]`
    pub fn forward(&self, z: Tensor<4>) -> Tensor<4> {
        self.conv_out.forward(self.features(z))
    }

    /// What the last convolution reads. `[B, block_out_channels[0], H, W]`
    pub fn features(&self, z: Tensor<4>) -> Tensor<4> {
        let mut x = self.mid_block.forward(self.conv_in.forward(z));
        for block in &self.up_blocks {
            x = block.resnets.iter().fold(x, |x, resnet| resnet.forward(x));
            x = block.upsamplers.iter().fold(x, |x, double| double.forward(x));
        }
        self.conv_norm_out.forward(x)
    }

    /// The last convolution, whose gradients weigh the discriminator (VQGAN, 2012.09841, equation 7).
    pub fn last_layer(&self) -> &Conv2d {
        &self.conv_out
    }
}
