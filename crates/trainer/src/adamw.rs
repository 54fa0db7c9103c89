//! AdamW (Loshchilov and Hutter, 1711.05101, algorithm 2), with PyTorch's conventions.

use std::collections::BTreeMap;

use burn::module::Param;
use burn::tensor::Tensor;
use interfuse_kernels::{AdamWState, AdamWStep, adamw};
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
        let moments = self.moments.remove(&info.name).unwrap_or_else(|| Moments {
            first: gradient.zeros_like(),
            second: gradient.zeros_like(),
            steps: 0,
        });
        let steps = moments.steps + 1;
        let step = AdamWStep {
            learning_rate: self.update.learning_rate,
            betas: self.config.betas,
            epsilon: self.config.epsilon,
            weight_decay: if info.decays() { self.config.weight_decay } else { 0.0 },
            gradient_scale: self.update.gradient_scale,
            number: steps,
        };
        replaced(param, |old| {
            let shape = old.dims();
            let weight = old.inner().reshape([info.count()]);
            let state = AdamWState { weight, first: moments.first, second: moments.second };
            let AdamWState { weight, first, second } = adamw(state, gradient, step);
            self.moments.insert(info.name.clone(), Moments { first, second, steps });
            Tensor::from_inner(weight.reshape(shape))
        })
    }
}
