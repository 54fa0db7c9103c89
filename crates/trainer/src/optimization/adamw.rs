//! AdamW (Loshchilov and Hutter, 1711.05101, algorithm 2), with PyTorch's conventions.

use std::collections::BTreeMap;
use std::path::Path;

use burn::module::{Module, Param};
use burn::tensor::{Device, Tensor, TensorData};
use interfuse_kernels::{AdamWState, AdamWStep, AdamWUpdate, adamw};
use interfuse_parameters::{
    HostTensor, HostTensors, ParameterInfo, ParameterMapper, map_parameters, parameters, read_tensors, write_tensors,
};

use crate::error::TrainError;
use crate::optimization::config::OptimizerConfig;
use crate::optimization::gradients::{FlatGradients, clip_scale};
use crate::optimization::tape;

/// What the optimizer remembers.
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
    pub fn step<M: Module>(
        &mut self,
        model: M,
        gradients: FlatGradients,
        config: &OptimizerConfig,
        update: Update,
    ) -> M {
        let mut out = TakeOut { moments: &mut self.moments, gradients, config, update, taken: vec![] };
        let model = map_parameters(model, &mut out);
        let (keys, updates): (Vec<_>, Vec<_>) =
            out.taken.into_iter().map(|(name, tracked, update)| ((name, update.step.number, tracked), update)).unzip();
        let stepped = keys.into_iter().zip(adamw(updates));
        let stepped =
            stepped.map(|((name, steps, tracked), state)| (name, Stepped { state, steps, tracked })).collect();
        map_parameters(model, &mut PutBack { moments: &mut self.moments, stepped })
    }

    /// Clips the gradients, whose norm is `norm`, and takes one step with a model in its place, at the learning rate of this step.
    pub(crate) fn apply<M: Module>(
        &mut self,
        model: &mut M,
        gradients: FlatGradients,
        norm: f64,
        config: &OptimizerConfig,
        learning_rate: f64,
    ) {
        let update = Update { learning_rate, gradient_scale: clip_scale(norm, config.max_gradient_norm) };
        *model = self.step(tape::take(model), gradients, config, update);
    }

    /// In how many steps each weight took part.
    pub fn steps(&self) -> BTreeMap<String, u64> {
        self.moments.iter().map(|(name, moments)| (name.clone(), moments.steps)).collect()
    }

    /// Writes all moments.
    ///
    /// # Errors
    /// When the file cannot be written.
    pub fn save(&self, path: &Path) -> Result<(), TrainError> {
        let host = |tensor: &Tensor<1>| HostTensor {
            shape: tensor.dims().to_vec(),
            values: tensor.to_data().convert::<f32>().try_to_vec::<f32>().unwrap_or_default(),
        };
        let moments = self.moments.iter();
        let tensors: HostTensors = moments
            .flat_map(|(name, m)| {
                [(format!("{name}.exp_avg"), host(&m.first)), (format!("{name}.exp_avg_sq"), host(&m.second))]
            })
            .collect();
        Ok(write_tensors(&tensors, path)?)
    }

    /// Reads the moments of the weights that took part in `steps`.
    ///
    /// # Errors
    /// When the file is torn, or its moments are not exactly those of these weights.
    pub fn load(
        model: &impl Module,
        path: &Path,
        steps: &BTreeMap<String, u64>,
        device: &Device,
    ) -> Result<Self, TrainError> {
        let foreign =
            |expected: String, found: String| TrainError::Foreign { path: path.display().to_string(), expected, found };
        let sizes: BTreeMap<String, usize> =
            parameters(model).into_iter().map(|info| (info.name.clone(), info.count())).collect();
        let mut tensors = read_tensors(path)?;
        let mut moments = BTreeMap::new();
        for (name, &steps) in steps {
            let size = sizes.get(name).copied().unwrap_or_default();
            let mut take = |kind: &str| -> Result<Tensor<1>, TrainError> {
                let name = format!("{name}.{kind}");
                match tensors.remove(&name) {
                    Some(tensor) if tensor.shape == [size] => {
                        Ok(Tensor::from_data(TensorData::new(tensor.values, tensor.shape), device))
                    }
                    other => {
                        let found = other.map_or("none".into(), |tensor| format!("shape {:?}", tensor.shape));
                        Err(foreign(format!("tensor {name} of shape [{size}]"), found))
                    }
                }
            };
            let (first, second) = (take("exp_avg")?, take("exp_avg_sq")?);
            moments.insert(name.clone(), Moments { first, second, steps });
        }
        match tensors.keys().next() {
            Some(unexpected) => {
                Err(foreign("moments of the weights in state.json alone".into(), format!("{unexpected} as well")))
            }
            None => Ok(Self { moments }),
        }
    }
}

/// Takes every weight that has a gradient out of the model, with what belongs to its step.
struct TakeOut<'a> {
    moments: &'a mut BTreeMap<String, Moments>,
    gradients: FlatGradients,
    config: &'a OptimizerConfig,
    update: Update,
    /// By name, with whether the weight is a leaf of the gradient tape.
    taken: Vec<(String, bool, AdamWUpdate)>,
}

impl ParameterMapper for TakeOut<'_> {
    fn map<const R: usize>(&mut self, info: &ParameterInfo, param: Param<Tensor<R>>) -> Param<Tensor<R>> {
        let Some(gradient) = self.gradients.take(&info.name) else { return param };
        let moments = self.moments.remove(&info.name).unwrap_or_else(|| Moments {
            first: gradient.zeros_like(),
            second: gradient.zeros_like(),
            steps: 0,
        });
        let part = self.config.of_weight(info);
        let weight_decay = part.and_then(|part| part.weight_decay).unwrap_or(self.config.weight_decay);
        let step = AdamWStep {
            learning_rate: self.update.learning_rate * part.map_or(1.0, |part| part.learning_rate_factor),
            betas: self.config.betas,
            epsilon: self.config.epsilon,
            weight_decay: if info.decays() { weight_decay } else { 0.0 },
            gradient_scale: self.update.gradient_scale,
            number: moments.steps + 1,
        };
        let (id, tracked) = (param.id, param.is_require_grad());
        let weight = param.into_value().inner();
        let (shape, device) = (weight.shape(), weight.device());
        let state = AdamWState { weight: weight.reshape([info.count()]), first: moments.first, second: moments.second };
        self.taken.push((info.name.clone(), tracked, AdamWUpdate { state, gradient, step }));
        // A place without memory, into which [`PutBack`] puts the weight after the step.
        let place = shape.clone();
        Param::uninitialized(id, move |device, _| Tensor::zeros(place, device), device, tracked, shape)
    }
}

/// Puts the weights back after the step.
struct PutBack<'a> {
    moments: &'a mut BTreeMap<String, Moments>,
    stepped: BTreeMap<String, Stepped>,
}

/// A weight and its moments after the step.
struct Stepped {
    state: AdamWState,
    steps: u64,
    /// Whether the weight is a leaf of the gradient tape.
    tracked: bool,
}

impl ParameterMapper for PutBack<'_> {
    fn map<const R: usize>(&mut self, info: &ParameterInfo, param: Param<Tensor<R>>) -> Param<Tensor<R>> {
        let Some(Stepped { state, steps, tracked }) = self.stepped.remove(&info.name) else { return param };
        let AdamWState { weight, first, second } = state;
        self.moments.insert(info.name.clone(), Moments { first, second, steps });
        let weight = Tensor::<R>::from_inner(weight.reshape(param.lazy_shape()));
        Param::initialized(param.id, weight.set_require_grad(tracked))
    }
}
