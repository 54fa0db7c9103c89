//! What the nodes of the gradient tape share.

use burn::backend::Backend;
use burn::backend::autodiff::NodeId;
use burn::backend::autodiff::grads::Gradients;
use burn::backend::tensor::FloatTensor;

/// Registers the gradient of a parent that asks for one.
pub(crate) fn register<B: Backend>(grads: &mut Gradients, node: Option<NodeId>, gradient: FloatTensor<B>) {
    if let Some(id) = node {
        grads.register::<B>(id, gradient);
    }
}
