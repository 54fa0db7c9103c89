//! AdamW (Loshchilov and Hutter, 1711.05101, algorithm 2), with PyTorch's conventions; and, for the matrices of the backbone, Muon
//! if the configuration says so.

use std::collections::BTreeMap;
use std::path::Path;

use burn::module::{Module, Param};
use burn::tensor::{Tensor, TensorData};
use interfuse_kernels::{AdamWState, AdamWStep, AdamWUpdate, MuonStep, MuonUpdate, adamw, muon};
use interfuse_parameters::{
    HostTensor, HostTensors, ParameterInfo, ParameterMapper, map_parameters, parameters, read_tensors, write_tensors,
};

use crate::error::TrainError;
use crate::optimization::config::OptimizerConfig;
use crate::optimization::gradients::{FlatGradients, clip_scale};
use crate::optimization::tape;

/// What the optimizer remembers.
#[derive(Clone, Debug, Default)]
pub struct Optimizer {
    /// By the weight's name.
    pub moments: BTreeMap<String, Moments>,
}

/// What is remembered of a weight's gradients, flattened.
#[derive(Clone, Debug)]
pub struct Moments {
    /// AdamW's moving average of the gradient, or Muon's momentum.
    pub first: Tensor<1>,
    /// AdamW's moving average of its square.
    pub second: Option<Tensor<1>>,
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

impl Optimizer {
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
                let second = m.second.iter().map(move |second| (format!("{name}.exp_avg_sq"), host(second)));
                std::iter::once((format!("{name}.exp_avg"), host(&m.first))).chain(second)
            })
            .collect();
        Ok(write_tensors(&tensors, path)?)
    }

    /// Reads what is remembered of the weights that took part in `steps`, and keeps it of those that are this process's to
    /// update.
    ///
    /// # Errors
    /// When the file is torn, or does not have exactly what `config` has remembered of these weights.
    pub fn load(
        model: &impl Module,
        path: &Path,
        steps: &BTreeMap<String, u64>,
        config: &OptimizerConfig,
        is_own: impl Fn(&str) -> bool,
    ) -> Result<Self, TrainError> {
        let device = model.devices().into_iter().next().unwrap_or_default().without_autodiff();
        let foreign =
            |expected: String, found: String| TrainError::Foreign { path: path.display().to_string(), expected, found };
        let known: BTreeMap<String, ParameterInfo> =
            parameters(model).into_iter().map(|info| (info.name.clone(), info)).collect();
        let mut tensors = read_tensors(path)?;
        let mut moments = BTreeMap::new();
        for (name, &steps) in steps {
            let info = known.get(name);
            let size = info.map(ParameterInfo::count).unwrap_or_default();
            let mut take = |kind: &str| -> Result<TensorData, TrainError> {
                let name = format!("{name}.{kind}");
                match tensors.remove(&name) {
                    Some(tensor) if tensor.shape == [size] => Ok(TensorData::new(tensor.values, tensor.shape)),
                    other => {
                        let found = other.map_or("none".into(), |tensor| format!("shape {:?}", tensor.shape));
                        Err(foreign(format!("tensor {name} of shape [{size}]"), found))
                    }
                }
            };
            let first = take("exp_avg")?;
            let is_orthogonalized = info.is_some_and(|info| config.orthogonalizes(info));
            let second = if is_orthogonalized { None } else { Some(take("exp_avg_sq")?) };
            if is_own(name) {
                let put = |data| Tensor::from_data(data, &device);
                moments.insert(name.clone(), Moments { first: put(first), second: second.map(put), steps });
            }
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

impl TakeOut<'_> {
    /// Takes the step of a matrix at once: it has no use of others beside it.
    fn orthogonal_step<const R: usize>(
        &mut self,
        info: &ParameterInfo,
        param: Param<Tensor<R>>,
        gradient: Tensor<1>,
        step: MuonStep,
    ) -> Param<Tensor<R>> {
        let (id, tracked) = (param.id, param.is_require_grad());
        let weight = param.into_value().inner();
        let shape = weight.shape();
        let matrix = [info.shape[0], info.shape[1]];
        let (first, steps) = match self.moments.remove(&info.name) {
            Some(Moments { first, second: None, steps }) => (first, steps),
            _ => (gradient.zeros_like(), 0),
        };
        let [momentum, gradient] = [first, gradient].map(|x| x.reshape(matrix));
        let [weight, momentum] = muon(MuonUpdate { weight: weight.reshape(matrix), momentum, gradient, step });
        let moments = Moments { first: momentum.reshape([info.count()]), second: None, steps: steps + 1 };
        self.moments.insert(info.name.clone(), moments);
        let weight = Tensor::<R>::from_inner(weight.reshape(shape));
        Param::initialized(id, weight.set_require_grad(tracked))
    }
}

impl ParameterMapper for TakeOut<'_> {
    fn map<const R: usize>(&mut self, info: &ParameterInfo, param: Param<Tensor<R>>) -> Param<Tensor<R>> {
        let Some(gradient) = self.gradients.take(&info.name) else { return param };
        let part = self.config.of_weight(info);
        let weight_decay = part.and_then(|part| part.weight_decay).unwrap_or(self.config.weight_decay);
        let weight_decay = if info.decays() { weight_decay } else { 0.0 };
        let learning_rate = self.update.learning_rate * part.map_or(1.0, |part| part.learning_rate_factor);
        if self.config.orthogonalizes(info) {
            let step = MuonStep {
                learning_rate,
                momentum: self.config.momentum,
                weight_decay,
                gradient_scale: self.update.gradient_scale,
            };
            return self.orthogonal_step(info, param, gradient, step);
        }
        let (first, second, steps) = match self.moments.remove(&info.name) {
            Some(Moments { first, second: Some(second), steps }) => (first, second, steps),
            _ => (gradient.zeros_like(), gradient.zeros_like(), 0),
        };
        let step = AdamWStep {
            learning_rate,
            betas: self.config.betas,
            epsilon: self.config.epsilon,
            weight_decay,
            gradient_scale: self.update.gradient_scale,
            number: steps + 1,
        };
        let (id, tracked) = (param.id, param.is_require_grad());
        let weight = param.into_value().inner();
        let (shape, device) = (weight.shape(), weight.device());
        let state = AdamWState { weight: weight.reshape([info.count()]), first, second };
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
        self.moments.insert(info.name.clone(), Moments { first, second: Some(second), steps });
        let weight = Tensor::<R>::from_inner(weight.reshape(param.lazy_shape()));
        Param::initialized(param.id, weight.set_require_grad(tracked))
    }
}
