//! The timestep as a vector: sinusoids, then two linear maps (the `TimestepEmbedder` of DiT).

use burn::module::Module;
use burn::tensor::activation::silu;
use burn::tensor::{Device, Tensor, TensorData};
use interfuse_kernels::{Linear, WeightInit};

/// Number of sinusoids, sines and cosines together.
const SINUSOIDS: usize = 256;
/// Times are in [0, 1]; the sinusoids' periods are meant for steps of a thousand.
const TIME_SCALE: f64 = 1000.0;

/// t ↦ a vector.
#[derive(Module, Debug)]
pub struct TimeEmbedding {
    hidden: Linear,
    output: Linear,
}

impl TimeEmbedding {
    /// An embedding of width `d_out`.
    pub fn new(d_hidden: usize, d_out: usize, init: &mut WeightInit) -> Self {
        Self { hidden: Linear::with_bias(SINUSOIDS, d_hidden, init), output: Linear::with_bias(d_hidden, d_out, init) }
    }

    /// # Shapes
    /// - `t`: `[B, N]`; returns `[B, N, d_out]`
    pub fn forward(&self, t: Tensor<2>) -> Tensor<3> {
        let frequencies = frequencies(&t.device());
        let angles = t.mul_scalar(TIME_SCALE).unsqueeze_dim::<3>(2) * frequencies;
        let sinusoids = Tensor::cat(vec![angles.clone().cos(), angles.sin()], 2);
        self.output.forward(silu(self.hidden.forward(sinusoids)))
    }
}

/// `10000^(−i / 128)`. `[1, 1, 128]`
fn frequencies(device: &Device) -> Tensor<3> {
    let half = SINUSOIDS / 2;
    let values: Vec<f32> = (0..half).map(|i| 1e4f64.powf(-(i as f64) / half as f64) as f32).collect();
    Tensor::from_data(TensorData::new(values, [1, 1, half]), device)
}
