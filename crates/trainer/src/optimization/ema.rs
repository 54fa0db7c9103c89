//! The exponential moving average of the weights, which samples better than the weights themselves.

use std::collections::BTreeMap;

use burn::module::{Module, Param};
use burn::tensor::Tensor;
use interfuse_kernels::moving_averages;
use interfuse_parameters::{ParameterInfo, ParameterMapper, ParameterVisitor, map_parameters, visit_parameters};

/// The average of every weight, flattened, by name.
#[derive(Clone, Debug, Default)]
pub struct Ema {
    /// By the weight's name.
    pub averages: BTreeMap<String, Tensor<1>>,
}

impl Ema {
    /// Starts at the model's weights.
    pub fn new(model: &impl Module) -> Self {
        Self::copy(model, true)
    }

    /// Starts at those weights of a model on the gradient tape that are learned.
    pub fn learned(model: &impl Module) -> Self {
        Self::copy(model, false)
    }

    fn copy(model: &impl Module, all: bool) -> Self {
        struct Copy {
            averages: BTreeMap<String, Tensor<1>>,
            all: bool,
        }
        impl ParameterVisitor for Copy {
            fn visit<const R: usize>(&mut self, info: &ParameterInfo, param: &Param<Tensor<R>>) {
                // What is frozen is its own average.
                if self.all || param.is_require_grad() {
                    self.averages.insert(info.name.clone(), param.val().inner().reshape([info.count()]));
                }
            }
        }
        let mut copy = Copy { averages: BTreeMap::new(), all };
        visit_parameters(model, &mut copy);
        Self { averages: copy.averages }
    }

    /// `average ← decay · average + (1 − decay) · weight` after step `step` (from 0). Early on the decay is smaller,
    /// `(1 + step) / (10 + step)`, so that the first weights are soon forgotten.
    pub fn update(&mut self, model: &impl Module, decay: f64, step: u64) {
        let warm = (1.0 + step as f64) / (10.0 + step as f64);
        let (mut names, mut averages, mut values) = (vec![], vec![], vec![]);
        for (name, weight) in Self::learned(model).averages {
            let Some(average) = self.averages.remove(&name) else {
                self.averages.insert(name, weight);
                continue;
            };
            names.push(name);
            averages.push(average);
            values.push(weight);
        }
        let moved = moving_averages(averages, values, decay.min(warm));
        self.averages.extend(names.into_iter().zip(moved));
    }

    /// Changes the average of one weight, flattened: what is put elsewhere in a step has no past to be averaged with.
    pub fn change(&mut self, name: &str, change: impl FnOnce(Tensor<1>) -> Tensor<1>) {
        if let Some(average) = self.averages.remove(name) {
            self.averages.insert(name.into(), change(average));
        }
    }

    /// A model with the averages as its weights, off the gradient tape.
    pub fn model<M: Module>(&self, model: &M) -> M {
        struct Replace<'a>(&'a BTreeMap<String, Tensor<1>>);
        impl ParameterMapper for Replace<'_> {
            fn map<const R: usize>(&mut self, info: &ParameterInfo, param: Param<Tensor<R>>) -> Param<Tensor<R>> {
                match self.0.get(&info.name) {
                    Some(average) => {
                        let shape = param.val().dims();
                        Param::initialized(param.id, average.clone().reshape(shape))
                    }
                    None => param,
                }
            }
        }
        map_parameters(model.valid(), &mut Replace(&self.averages))
    }
}
