//! Gradients of all weights: accumulation over micro-batches, norms, and clipping by the global norm.

use std::collections::BTreeMap;

use burn::module::{Module, Param};
use burn::tensor::{Gradients, Tensor};
use interfuse_kernels::{accumulate, squared_norms};
use interfuse_parameters::{ParameterInfo, ParameterVisitor, visit_parameters};

use crate::error::TrainError;

/// The gradient of every weight that took part, flattened, by the weight's name. A weight whose part had no row is not
/// there.
#[derive(Debug, Default)]
pub struct FlatGradients {
    by_name: BTreeMap<String, FlatGradient>,
}

#[derive(Debug)]
struct FlatGradient {
    /// The group whose norm the weight is part of, if any.
    group: Option<usize>,
    values: Tensor<1>,
}

impl FlatGradients {
    /// The gradients of one micro-batch. `group` says of which group's norm a weight is part, such as its part's.
    pub fn of(model: &impl Module, gradients: Gradients, group: impl Fn(&ParameterInfo) -> Option<usize>) -> Self {
        let mut all = Self::default();
        visit_parameters(model, &mut Collect { gradients, group, all: &mut all });
        all
    }

    /// These gradients and those of another micro-batch.
    pub fn and(mut self, other: Self) -> Self {
        self.add(other);
        self
    }

    /// Whether a weight took part.
    pub(crate) fn contains(&self, name: &str) -> bool {
        self.by_name.contains_key(name)
    }

    /// The gradient of a weight. `[count]`
    pub(crate) fn get(&self, name: &str) -> Option<Tensor<1>> {
        self.by_name.get(name).map(|gradient| gradient.values.clone())
    }

    /// Puts the gradient of a weight there. `[count]`
    pub(crate) fn put(&mut self, name: String, group: Option<usize>, values: Tensor<1>) {
        self.by_name.insert(name, FlatGradient { group, values });
    }

    /// Adds the gradients of another micro-batch.
    pub fn add(&mut self, other: Self) {
        let (mut keys, mut sums, mut parts) = (vec![], vec![], vec![]);
        for (name, gradient) in other.by_name {
            // Taken out, so that nobody else holds it and it is added to in place.
            match self.by_name.remove(&name) {
                Some(FlatGradient { group, values }) => {
                    keys.push((name, group));
                    sums.push(values);
                    parts.push(gradient.values);
                }
                None => {
                    self.by_name.insert(name, gradient);
                }
            }
        }
        for ((name, group), values) in keys.into_iter().zip(accumulate(sums, parts)) {
            self.put(name, group, values);
        }
    }

    /// Whether no weight took part.
    pub fn is_empty(&self) -> bool {
        self.by_name.is_empty()
    }

    /// `Σ g²` of every weight, in the order of the names. `[weights]`
    pub fn squared_norms(&self) -> Option<Tensor<1>> {
        let gradients: Vec<Tensor<1>> = self.by_name.values().map(|gradient| gradient.values.clone()).collect();
        (!gradients.is_empty()).then(|| squared_norms(&gradients))
    }

    /// What [`Self::squared_norms`] gave, with whose it is.
    pub(crate) fn named(&self, squared: &[f32]) -> Vec<SquaredNorm<'_>> {
        let gradients = self.by_name.iter().zip(squared);
        gradients.map(|((name, gradient), &squared)| SquaredNorm { name, group: gradient.group, squared }).collect()
    }

    /// Adds up what [`Self::squared_norms`] gave: the norm of each of `groups`, and the norm of all.
    pub fn norms(&self, squared: &[f32], groups: usize) -> (Vec<f64>, f64) {
        norms(&self.named(squared), groups)
    }

    /// Takes the gradient of a weight.
    pub fn take(&mut self, name: &str) -> Option<Tensor<1>> {
        self.by_name.remove(name).map(|gradient| gradient.values)
    }

    /// Names of the weights that took part.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.by_name.keys().map(String::as_str)
    }
}

/// `Σ g²` of a weight.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct SquaredNorm<'a> {
    pub(crate) name: &'a str,
    /// The group whose norm the weight is part of, if any.
    pub(crate) group: Option<usize>,
    pub(crate) squared: f32,
}

/// The norm of each of `groups`, and the norm of all weights.
pub(crate) fn norms(squared: &[SquaredNorm<'_>], groups: usize) -> (Vec<f64>, f64) {
    let (mut by_group, mut total) = (vec![0.0; groups], 0.0);
    for weight in squared {
        total += f64::from(weight.squared);
        if let Some(sum) = weight.group.and_then(|group| by_group.get_mut(group)) {
            *sum += f64::from(weight.squared);
        }
    }
    (by_group.into_iter().map(f64::sqrt).collect(), f64::sqrt(total))
}

/// The losses and norms of a step, read from the device at once.
///
/// # Errors
/// When the device failed: what was launched in the step is noticed here.
pub(crate) fn read_numbers(numbers: Vec<Tensor<1>>) -> Result<Vec<f32>, TrainError> {
    on_host(Tensor::cat(numbers, 0))
}

/// The numbers of a tensor, read from the device.
///
/// # Errors
/// When the device failed.
pub(crate) fn on_host(tensor: Tensor<1>) -> Result<Vec<f32>, TrainError> {
    let data = tensor.try_into_data().map_err(|error| TrainError::Device(format!("{error:?}")))?;
    Ok(data.convert::<f32>().try_to_vec::<f32>().unwrap_or_default())
}

/// By what gradients are multiplied so that their norm is at most `max_norm`.
pub fn clip_scale(norm: f64, max_norm: f64) -> f64 {
    if norm > max_norm { max_norm / norm } else { 1.0 }
}

struct Collect<'a, G> {
    gradients: Gradients,
    group: G,
    all: &'a mut FlatGradients,
}

impl<G: Fn(&ParameterInfo) -> Option<usize>> ParameterVisitor for Collect<'_, G> {
    fn visit<const R: usize>(&mut self, info: &ParameterInfo, param: &Param<Tensor<R>>) {
        let Some(gradient) = param.val().grad_remove(&mut self.gradients) else { return };
        let gradient = FlatGradient { group: (self.group)(info), values: gradient.reshape([info.count()]) };
        self.all.by_name.insert(info.name.clone(), gradient);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn clipping_keeps_small_gradients_and_scales_large_ones_to_the_limit() {
        assert_eq!(clip_scale(0.5, 1.0), 1.0);
        assert!((4.0 * clip_scale(4.0, 1.0) - 1.0).abs() < 1e-12);
    }
}
