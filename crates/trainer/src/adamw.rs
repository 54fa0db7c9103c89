//! AdamW (Loshchilov and Hutter, 1711.05101, algorithm 2), with PyTorch's conventions.

use std::collections::BTreeMap;

use burn::module::Param;
use burn::tensor::Tensor;
use interfuse_transfusion::Transfusion;
use interfuse_transfusion::parameters::{ParameterInfo, ParameterMapper, map_parameters};
use interfuse_transfusion::weights::replaced;

use crate::config::OptimizerConfig;
use crate::gradients::FlatGradients;

/// What the optimiser remembers.
#[derive(Clone, Debug, Default)]
pub struct AdamW {
    /// By the weight's name.
    pub moments: BTreeMap<String, Moments>,
}

/// Moving averages of a weight's gradient, flattened.
#[derive(Clone, Debug)]
pub struct Moments {
    /// Of the gradient.
    pub first: Tensor<1>,
    /// Of its square.
    pub second: Tensor<1>,
    /// Steps in which the weight took part.
    pub steps: u64,
}

/// One update.
#[derive(Clone, Copy, Debug)]
pub struct Update {
    /// Learning rate of this step.
    pub learning_rate: f64,
    /// What the gradients are multiplied by first.
    pub gradient_scale: f64,
}

impl AdamW {
    /// Takes one step. A weight without a gradient stays as it is, and so do its moments.
    pub fn step(
        &mut self,
        model: Transfusion,
        gradients: FlatGradients,
        config: &OptimizerConfig,
        update: Update,
    ) -> Transfusion {
        map_parameters(model, &mut Step { moments: &mut self.moments, gradients, config, update })
    }
}

struct Step<'a> {
    moments: &'a mut BTreeMap<String, Moments>,
    gradients: FlatGradients,
    config: &'a OptimizerConfig,
    update: Update,
}

impl ParameterMapper for Step<'_> {
    fn map<const R: usize>(&mut self, info: &ParameterInfo, param: Param<Tensor<R>>) -> Param<Tensor<R>> {
        let Some(gradient) = self.gradients.take(&info.name) else { return param };
        let gradient = gradient.mul_scalar(self.update.gradient_scale);
        let moments = self.moments.remove(&info.name).unwrap_or_else(|| Moments {
            first: gradient.zeros_like(),
            second: gradient.zeros_like(),
            steps: 0,
        });
        let moments = moments.updated(gradient, self.config.betas);
        let direction = moments.direction(self.config);
        self.moments.insert(info.name.clone(), moments);

        let rate = self.update.learning_rate;
        let kept = 1.0 - if info.decays() { rate * self.config.weight_decay } else { 0.0 };
        replaced(param, |old| {
            let shape = old.dims();
            let old = old.inner().reshape([info.count()]);
            let new = old.mul_scalar(kept) - direction.mul_scalar(rate);
            Tensor::from_inner(new.reshape(shape))
        })
    }
}

impl Moments {
    fn updated(self, gradient: Tensor<1>, [beta_1, beta_2]: [f64; 2]) -> Self {
        Self {
            first: self.first.mul_scalar(beta_1) + gradient.clone().mul_scalar(1.0 - beta_1),
            second: self.second.mul_scalar(beta_2) + gradient.square().mul_scalar(1.0 - beta_2),
            steps: self.steps + 1,
        }
    }

    /// `m̂ / (√v̂ + ε)`, with the bias of the first steps taken out.
    fn direction(&self, config: &OptimizerConfig) -> Tensor<1> {
        let correction = |beta: f64| 1.0 - beta.powf(self.steps as f64);
        let [beta_1, beta_2] = config.betas;
        let root = self.second.clone().sqrt().mul_scalar(1.0 / correction(beta_2).sqrt());
        self.first.clone().mul_scalar(1.0 / correction(beta_1)) / root.add_scalar(config.epsilon)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use burn::tensor::Device;

    /// `torch.optim.AdamW` on one weight 0.5 with gradients 0.3, −0.1, 0.2, written out in f64.
    #[test]
    fn the_direction_is_that_of_the_textbook() {
        let config = OptimizerConfig::default();
        let device = Device::flex();
        let mut moments = Moments { first: Tensor::zeros([1], &device), second: Tensor::zeros([1], &device), steps: 0 };
        let (mut m, mut v) = (0.0f64, 0.0f64);
        for (step, g) in [0.3f64, -0.1, 0.2].into_iter().enumerate() {
            moments = moments.updated(Tensor::from_floats([g as f32], &device), config.betas);
            m = 0.9 * m + 0.1 * g;
            v = 0.95 * v + 0.05 * g * g;
            let power = (step + 1) as i32;
            let expected = (m / (1.0 - 0.9f64.powi(power))) / ((v / (1.0 - 0.95f64.powi(power))).sqrt() + 1e-8);
            let found = moments.direction(&config).into_scalar::<f32>();
            assert!((f64::from(found) - expected).abs() < 1e-5, "step {step}: {found} against {expected}");
        }
    }
}
