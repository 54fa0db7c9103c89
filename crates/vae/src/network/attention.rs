//! Attention of every pixel to every pixel, one head.

use burn::module::Module;
use burn::tensor::{Int, Tensor};
use interfuse_kernels::{GroupNorm, GroupNormSteps, Linear, VisibleRanges, WeightInit, ranged_attention};

use super::EPSILON;

/// `x + out(attention(norm(x)))`
#[derive(Module, Debug)]
pub(super) struct AttentionBlock {
    group_norm: GroupNorm,
    to_q: Linear,
    to_k: Linear,
    to_v: Linear,
    /// One map; a list because diffusers has a dropout behind it.
    to_out: Vec<Linear>,
}

impl AttentionBlock {
    pub(super) fn new(channels: usize, groups: usize, init: &mut WeightInit) -> Self {
        let steps = GroupNormSteps { groups, epsilon: EPSILON, silu: false };
        let mut linear = || Linear::with_bias(channels, channels, init);
        let [to_q, to_k, to_v, to_out] = [linear(), linear(), linear(), linear()];
        Self { group_norm: GroupNorm::new(channels, steps, init), to_q, to_k, to_v, to_out: vec![to_out] }
    }

    /// # Shapes
    /// - `x`: `[B, C, h, w]`; returns the same
    pub(super) fn forward(&self, x: Tensor<4>) -> Tensor<4> {
        let [batch, channels, height, width] = x.dims();
        let pixels = height * width;
        let rows = self.group_norm.forward(x.clone()).reshape([batch, channels, pixels]).swap_dims(1, 2);
        let head = |map: &Linear| map.forward(rows.clone()).reshape([batch, pixels, 1, channels]);
        let attended = ranged_attention(head(&self.to_q), head(&self.to_k), head(&self.to_v), &all_of(&x));
        let attended = self.to_out.iter().fold(attended.reshape([batch, pixels, channels]), |y, map| map.forward(y));
        x + attended.swap_dims(1, 2).reshape([batch, channels, height, width])
    }
}

/// Every pixel sees all pixels of its image.
fn all_of(x: &Tensor<4>) -> VisibleRanges {
    let [batch, _, height, width] = x.dims();
    let pixels = height * width;
    let device = x.device();
    let order = Tensor::<1, Int>::arange(0..pixels as i64, &device).unsqueeze::<2>().expand([batch, pixels]);
    let until = Tensor::<2, Int>::full([batch, pixels], pixels as i64, &device);
    VisibleRanges::new(order, until.zeros_like(), until)
}
