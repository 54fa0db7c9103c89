//! Pixels to the posterior of latents, or to what is quantized.

use burn::module::Module;
use burn::tensor::Tensor;
use interfuse_kernels::{Conv2d, GroupNorm, WeightInit};

use super::resample::Downsample;
use super::resnet::ResnetBlock;
use super::{MidBlock, norm_silu};
use crate::config::NetworkConfig;

/// Pixels to posterior.
#[derive(Module, Debug)]
pub struct Encoder {
    conv_in: Conv2d,
    down_blocks: Vec<DownBlock>,
    mid_block: MidBlock,
    conv_norm_out: GroupNorm,
    conv_out: Conv2d,
}

/// Residual blocks at one size, and the way to half of it, except at the last.
#[derive(Module, Debug)]
struct DownBlock {
    resnets: Vec<ResnetBlock>,
    downsamplers: Vec<Downsample>,
}

impl Encoder {
    /// With `outputs` channels: twice the latents' for a mean and a log-variance.
    pub fn new(config: &NetworkConfig, outputs: usize, init: &mut WeightInit) -> Self {
        let (widths, groups) = (&config.block_out_channels, config.norm_num_groups);
        let (first, last) = (widths[0], widths[widths.len() - 1]);
        let conv_in = Conv2d::same([config.in_channels, first], 3, init);
        let mut inputs = first;
        let mut down_blocks = Vec::new();
        for (level, &outputs) in widths.iter().enumerate() {
            let mut resnets = vec![ResnetBlock::new([inputs, outputs], groups, init)];
            resnets.extend((1..config.layers_per_block).map(|_| ResnetBlock::new([outputs, outputs], groups, init)));
            let is_last = level + 1 == widths.len();
            let downsamplers = (!is_last).then(|| Downsample::new(outputs, init)).into_iter().collect();
            down_blocks.push(DownBlock { resnets, downsamplers });
            inputs = outputs;
        }
        Self {
            conv_in,
            down_blocks,
            mid_block: MidBlock::new(last, groups, config.mid_block_add_attention, init),
            conv_norm_out: norm_silu(last, groups, init),
            conv_out: Conv2d::same([last, outputs], 3, init),
        }
    }

    /// # Shapes
    /// - `x`: `[B, in_channels, H, W]`; returns `[B, outputs, h, w]`
    pub fn forward(&self, x: Tensor<4>) -> Tensor<4> {
        let mut x = self.conv_in.forward(x);
        for block in &self.down_blocks {
            x = block.resnets.iter().fold(x, |x, resnet| resnet.forward(x));
            x = block.downsamplers.iter().fold(x, |x, half| half.forward(x));
        }
        self.conv_out.forward(self.conv_norm_out.forward(self.mid_block.forward(x)))
    }
}
