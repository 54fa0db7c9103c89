//! The weights of a model and the gradient tape.

use burn::module::{Module, Param};
use burn::tensor::Tensor;
use interfuse_parameters::{ParameterInfo, ParameterMapper, map_parameters, replaced};

/// The same weights as leaves of a tape of their own, so that micro-batches neither wait for nor see one another.
pub(crate) fn on_its_own_tape<M: Module>(model: &M) -> M {
    struct Fresh;
    impl ParameterMapper for Fresh {
        fn map<const R: usize>(&mut self, _: &ParameterInfo, param: Param<Tensor<R>>) -> Param<Tensor<R>> {
            replaced(param, |weight| Tensor::from_inner(weight.inner()))
        }
    }
    map_parameters(model.clone(), &mut Fresh)
}

/// The weights of a model that is off the tape as leaves of one, each of which is asked for its gradient.
pub(crate) fn on_a_tape<M: Module>(model: &M) -> M {
    struct Leaves;
    impl ParameterMapper for Leaves {
        fn map<const R: usize>(&mut self, _: &ParameterInfo, param: Param<Tensor<R>>) -> Param<Tensor<R>> {
            Param::initialized(param.id, Tensor::from_inner(param.into_value()).require_grad())
        }
    }
    map_parameters(model.clone(), &mut Leaves)
}

/// Takes a model out of its place, in which an empty one of the same shape is left, so that nobody else holds the weights and
/// they can be changed in place.
pub(crate) fn take<M: Module>(model: &mut M) -> M {
    struct Emptied;
    impl ParameterMapper for Emptied {
        fn map<const R: usize>(&mut self, _: &ParameterInfo, param: Param<Tensor<R>>) -> Param<Tensor<R>> {
            replaced(param, |weight| Tensor::empty([0; R], &weight.device()))
        }
    }
    let husk = map_parameters(model.clone(), &mut Emptied);
    std::mem::replace(model, husk)
}
