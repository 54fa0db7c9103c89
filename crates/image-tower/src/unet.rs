//! The U-Net patcher: convolutions that halve the latents instead of cutting them into patches, and their mirror image.
//!
//! Transfusion (2408.11039, section 4.3.4 and Table 6) puts U-Net down and up blocks where the linear patcher is. Every size of
//! the latents has residual blocks that know the timestep; what they put out on the way down is given to those on the way up.
//!
//! ```text
//! [C, H, W] ─ blocks ─┬─ half ─ blocks ─┬─ half ─► rows of the backbone ─► twice ─ blocks ─ twice ─ blocks ─► [C, H, W]
//!                     │                 └────────────────────────────────────────┘               │
//!                     └──────────────────────────────────────────────────────────────────────────┘
//! ```
//!
//! Dimensions: `M` images, `C × H × W` latents, `p = 2^levels` the patch size.

use burn::module::Module;
use burn::tensor::Tensor;
use burn::tensor::activation::silu;
use interfuse_kernels::{Conv2d, ConvSteps, GroupNorm, GroupNormSteps, Linear, WeightInit};
use serde::{Deserialize, Serialize};

use crate::error::ImageTowerError;
use crate::time_embedding::TimeEmbedding;

/// Settings of the U-Net patcher.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct UNetConfig {
    /// Width at every size of the latents, the largest first; each size halves the one before, so that
    /// n widths make a `patch_size` of 2ⁿ.
    pub widths: Vec<usize>,
    /// Residual blocks at every size, at least 1, on the way down and on the way up.
    #[serde(default = "one")]
    pub blocks: usize,
    /// Groups of every norm, a divisor of all widths.
    #[serde(default = "eight")]
    pub groups: usize,
}

fn one() -> usize {
    1
}

fn eight() -> usize {
    8
}

impl UNetConfig {
    /// Checks the settings against the patch size.
    ///
    /// # Errors
    /// Names the key, what was expected and what was found.
    pub fn validate(&self, patch_size: usize) -> Result<(), ImageTowerError> {
        let levels = self.widths.len();
        let unfit = |key, expected: String, found: String| Err(ImageTowerError::UNet { key, expected, found });
        if levels == 0 || levels > 8 || 1 << levels != patch_size {
            let expected = format!("as many widths as halvings make patch_size = {patch_size}");
            return unfit("unet.widths", expected, format!("{levels}"));
        }
        if self.blocks == 0 {
            return unfit("unet.blocks", "at least 1".into(), "0".into());
        }
        match self.widths.iter().find(|&&width| self.groups == 0 || width == 0 || width % self.groups != 0) {
            Some(width) => {
                unfit("unet.widths", format!("multiples of unet.groups = {}", self.groups), width.to_string())
            }
            None => Ok(()),
        }
    }

    /// Multiplications and additions of all convolutions for one image of `[C, H, W]`, forward.
    pub fn flops(&self, [channels, height, width]: [usize; 3]) -> f64 {
        let conv = |inputs: usize, outputs: usize, kernel: usize, level: usize| {
            let places = (height >> level) * (width >> level);
            2.0 * (inputs * outputs * kernel * kernel * places) as f64
        };
        let block = |inputs: usize, outputs: usize, level: usize| {
            let shortcut = if inputs == outputs { 0.0 } else { conv(inputs, outputs, 1, level) };
            conv(inputs, outputs, 3, level) + conv(outputs, outputs, 3, level) + shortcut
        };
        let mut flops = conv(channels, self.widths[0], 3, 0) + conv(self.widths[0], channels, 3, 0);
        let mut above = self.widths[0];
        for (level, &width) in self.widths.iter().enumerate() {
            flops += block(above, width, level) + (self.blocks - 1) as f64 * block(width, width, level);
            flops += conv(width, width, 3, level + 1);
            let below = self.widths.get(level + 1).copied().unwrap_or(width);
            flops += conv(below, below, 3, level) + block(below + width, width, level);
            flops += (self.blocks - 1) as f64 * block(width, width, level);
            above = width;
        }
        flops
    }
}

/// Both halves of the U-Net.
#[derive(Module, Debug)]
pub struct UNetPatcher {
    time: TimeEmbedding,
    conv_in: Conv2d,
    down: Vec<Level>,
    /// From the smallest size to the largest.
    up: Vec<Level>,
    norm_out: GroupNorm,
    conv_out: Conv2d,
}

/// What is done at one size of the latents.
#[derive(Module, Debug)]
struct Level {
    blocks: Vec<TimedBlock>,
    /// To half the size behind the blocks, or, on the way up, behind every pixel four times and before them.
    resample: Conv2d,
}

/// A residual block that knows the timestep.
#[derive(Module, Debug)]
struct TimedBlock {
    norm1: GroupNorm,
    conv1: Conv2d,
    time: Linear,
    norm2: GroupNorm,
    conv2: Conv2d,
    shortcut: Option<Conv2d>,
}

impl UNetPatcher {
    /// For latents of `channels` channels; `d_time` is the width of its embedding of the timestep.
    pub fn new(config: &UNetConfig, channels: usize, d_time: usize, init: &mut WeightInit) -> Self {
        let (widths, groups) = (&config.widths, config.groups);
        let blocks = |inputs: usize, width: usize, init: &mut WeightInit| -> Vec<TimedBlock> {
            let all = (0..config.blocks).map(|index| if index == 0 { inputs } else { width });
            all.map(|inputs| TimedBlock::new([inputs, width], groups, d_time, init)).collect()
        };
        let halve = ConvSteps { stride: 2, padding: [[0, 1], [0, 1]] };
        let mut down = Vec::new();
        let mut above = widths[0];
        for &width in widths {
            let blocks = blocks(above, width, init);
            down.push(Level { blocks, resample: Conv2d::new([width, width], 3, halve, init) });
            above = width;
        }
        let mut up = Vec::new();
        let mut below = above;
        for &width in widths.iter().rev() {
            let resample = Conv2d::same([below, below], 3, init);
            up.push(Level { blocks: blocks(below + width, width, init), resample });
            below = width;
        }
        Self {
            time: TimeEmbedding::new(d_time, d_time, init),
            conv_in: Conv2d::same([channels, widths[0]], 3, init),
            down,
            up,
            norm_out: GroupNorm::new(widths[0], norm_steps(groups), init),
            conv_out: Conv2d::same([widths[0], channels], 3, init),
        }
    }

    /// The embedding of the timesteps that both halves read. `t`: `[B, N]`; returns `[B · N, d_time]`
    pub fn embed_time(&self, t: Tensor<2>) -> Tensor<2> {
        silu(self.time.forward(t).flatten::<2>(0, 1))
    }

    /// The latents at the smallest size, and what the way up needs of the others, the largest first.
    ///
    /// # Shapes
    /// - `x`: `[M, C, H, W]`, `time`: `[M, d_time]`; returns `[M, widths.last(), H/p, W/p]`
    pub fn down(&self, x: Tensor<4>, time: &Tensor<2>) -> (Tensor<4>, Vec<Tensor<4>>) {
        let mut x = self.conv_in.forward(x);
        let mut skips = Vec::with_capacity(self.down.len());
        for level in &self.down {
            x = level.blocks.iter().fold(x, |x, block| block.forward(x, time));
            skips.push(x.clone());
            x = level.resample.forward(x);
        }
        (x, skips)
    }

    /// # Shapes
    /// - `x`: `[M, widths.last(), H/p, W/p]`, `time`: `[M, d_time]`; returns `[M, C, H, W]`
    pub fn up(&self, mut x: Tensor<4>, mut skips: Vec<Tensor<4>>, time: &Tensor<2>) -> Tensor<4> {
        for level in &self.up {
            x = level.resample.forward(twice(x));
            if let Some(skip) = skips.pop() {
                x = Tensor::cat(vec![x, skip], 1);
            }
            x = level.blocks.iter().fold(x, |x, block| block.forward(x, time));
        }
        self.conv_out.forward(self.norm_out.forward(x))
    }
}

impl TimedBlock {
    fn new([inputs, outputs]: [usize; 2], groups: usize, d_time: usize, init: &mut WeightInit) -> Self {
        Self {
            norm1: GroupNorm::new(inputs, norm_steps(groups), init),
            conv1: Conv2d::same([inputs, outputs], 3, init),
            time: Linear::with_bias(d_time, outputs, init),
            norm2: GroupNorm::new(outputs, norm_steps(groups), init),
            conv2: Conv2d::same([outputs, outputs], 3, init),
            shortcut: (inputs != outputs).then(|| Conv2d::same([inputs, outputs], 1, init)),
        }
    }

    /// # Shapes
    /// - `x`: `[M, inputs, h, w]`, `time`: `[M, d_time]`; returns `[M, outputs, h, w]`
    fn forward(&self, x: Tensor<4>, time: &Tensor<2>) -> Tensor<4> {
        let y = self.conv1.forward(self.norm1.forward(x.clone()));
        let time = self.time.forward(time.clone()).unsqueeze_dims::<4>(&[2, 3]);
        let y = self.conv2.forward(self.norm2.forward(y + time));
        match &self.shortcut {
            Some(conv) => conv.forward(x) + y,
            None => x + y,
        }
    }
}

fn norm_steps(groups: usize) -> GroupNormSteps {
    GroupNormSteps { groups, epsilon: 1e-6, silu: true }
}

/// The nearest pixel in twice the size.
fn twice(x: Tensor<4>) -> Tensor<4> {
    let [images, channels, height, width] = x.dims();
    let spread = x.reshape([images * channels, height, 1, width, 1]).expand([images * channels, height, 2, width, 2]);
    spread.reshape([images, channels, 2 * height, 2 * width])
}
