//! Weights that stay as they are.

use burn::module::{Module, Param};
use burn::tensor::Tensor;
use interfuse_parameters::{ParameterInfo, ParameterMapper, map_parameters, parameters};
use interfuse_transfusion::ownership::{part_of, tower_of};

use super::config::OptimizerConfig;
use crate::error::TrainError;

/// Takes the weights that are frozen off the gradient tape: so they have no gradient, and nothing is kept of them.
///
/// # Errors
/// When settings name neither a part of the partition nor a modality with ends of its own, or nothing is left to learn.
pub fn freeze<M: Module>(model: M, config: &OptimizerConfig) -> Result<M, TrainError> {
    struct Freeze<'a>(&'a OptimizerConfig);
    impl ParameterMapper for Freeze<'_> {
        fn map<const R: usize>(&mut self, info: &ParameterInfo, param: Param<Tensor<R>>) -> Param<Tensor<R>> {
            match self.0.of_weight(info).is_some_and(|part| part.frozen) {
                true => param.set_require_grad(false),
                false => param,
            }
        }
    }
    let weights = parameters(&model);
    let mut owners: Vec<&str> = weights.iter().filter_map(|weight| part_of(weight).or(tower_of(weight))).collect();
    owners.sort_unstable();
    owners.dedup();
    if let Some(unknown) = config.parts.keys().find(|name| !owners.contains(&name.as_str())) {
        let expected = format!("one of {}", owners.join(", "));
        return Err(TrainError::setting(&format!("optimizer.parts.{unknown}"), expected, "a name of nothing"));
    }
    if weights.iter().all(|weight| config.of_weight(weight).is_some_and(|part| part.frozen)) {
        return Err(TrainError::setting("optimizer.parts", "weights that are not frozen", "all of them frozen"));
    }
    Ok(map_parameters(model, &mut Freeze(config)))
}
