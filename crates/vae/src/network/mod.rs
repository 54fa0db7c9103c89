//! The convolutional networks of an autoencoder, with the layers and the names of diffusers.
//!
//! Dimensions: `B` batch, `C` channels, `H × W` image, `h × w` latents; `f = 2^(levels − 1)`, `H = f h`, `W = f w`.

mod attention;
mod decoder;
mod encoder;
mod resample;
mod resnet;

pub use decoder::Decoder;
pub use encoder::Encoder;

use interfuse_kernels::{GroupNorm, GroupNormSteps, WeightInit};

use attention::AttentionBlock;
use resnet::ResnetBlock;

use burn::module::Module;
use burn::tensor::Tensor;

/// Added to the variance of every norm.
const EPSILON: f64 = 1e-6;

/// A group norm with SiLU behind it.
fn norm_silu(channels: usize, groups: usize, init: &mut WeightInit) -> GroupNorm {
    GroupNorm::new(channels, GroupNormSteps { groups, epsilon: EPSILON, silu: true }, init)
}

/// The innermost block: two residual blocks with attention between them, if there is any.
#[derive(Module, Debug)]
struct MidBlock {
    resnets: Vec<ResnetBlock>,
    attentions: Vec<AttentionBlock>,
}

impl MidBlock {
    fn new(channels: usize, groups: usize, attention: bool, init: &mut WeightInit) -> Self {
        let first = ResnetBlock::new([channels, channels], groups, init);
        let attentions = attention.then(|| AttentionBlock::new(channels, groups, init)).into_iter().collect();
        let second = ResnetBlock::new([channels, channels], groups, init);
        Self { resnets: vec![first, second], attentions }
    }

    fn forward(&self, x: Tensor<4>) -> Tensor<4> {
        let mut resnets = self.resnets.iter();
        let x = resnets.next().map_or_else(|| x.clone(), |first| first.forward(x.clone()));
        let x = self.attentions.iter().fold(x, |x, attention| attention.forward(x));
        resnets.fold(x, |x, resnet| resnet.forward(x))
    }
}
