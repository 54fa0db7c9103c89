//! Initial weights, drawn on the host so that a seed gives the same model on every device.

use burn::module::Param;
use burn::tensor::{Device, Tensor, TensorData};
use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::SeedableRng;
use rand_distr::{Distribution, StandardNormal};

/// Draws the initial weights of one model, in the order in which its parts are made.
#[derive(Debug)]
pub struct WeightInit {
    rng: ChaCha8Rng,
    device: Device,
}

impl WeightInit {
    /// A fresh stream of weights on `device`.
    pub fn new(seed: u64, device: &Device) -> Self {
        Self { rng: ChaCha8Rng::seed_from_u64(seed), device: device.clone() }
    }

    /// Where the weights live.
    pub fn device(&self) -> &Device {
        &self.device
    }

    /// Independent normal values of the given standard deviation.
    pub fn normal<const R: usize>(&mut self, shape: [usize; R], std: f64) -> Param<Tensor<R>> {
        let count: usize = shape.iter().product();
        let draw = |rng: &mut ChaCha8Rng| -> f32 { StandardNormal.sample(rng) };
        let values: Vec<f32> = (0..count).map(|_| draw(&mut self.rng) * std as f32).collect();
        Param::from_data(TensorData::new(values, shape), &self.device)
    }

    /// All elements equal.
    pub fn constant<const R: usize>(&mut self, shape: [usize; R], value: f64) -> Param<Tensor<R>> {
        Param::from_tensor(Tensor::full(shape, value, &self.device))
    }
}
