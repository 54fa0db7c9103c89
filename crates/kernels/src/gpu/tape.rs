//! What the nodes of the gradient tape share.

use burn::backend::autodiff::NodeId;
use burn::backend::autodiff::grads::Gradients;
use burn::backend::tensor::FloatTensor;
use burn::backend::{Backend, TensorMetadata};

/// Registers the gradient of a parent that asks for one.
pub(crate) fn register<B: Backend>(grads: &mut Gradients, node: Option<NodeId>, gradient: FloatTensor<B>) {
    if let Some(id) = node {
        grads.register::<B>(id, gradient);
    }
}

/// Registers zeros for a parent that no result of an operation sends anything back to: the tape asks every parent that is a
/// result itself for its gradient. A weight, which is a leaf of the tape, is left without one.
pub(crate) fn register_none<B: Backend>(
    grads: &mut Gradients,
    node: Option<NodeId>,
    is_leaf: bool,
    of: &FloatTensor<B>,
) {
    if !is_leaf {
        register::<B>(grads, node, B::float_zeros(of.shape(), &of.device(), of.dtype().into()));
    }
}
