//! What the nodes of the gradient tape need of it.

use burn::backend::Flex;
use burn::backend::autodiff::NodeId;
use burn::backend::autodiff::checkpoint::base::Checkpointer;
use burn::backend::autodiff::grads::Gradients;
use burn::backend::flex::FlexTensor;

use super::array::{dense, tensor};

/// The value of a node of the forward pass.
pub(crate) fn recall(checkpointer: &mut Checkpointer, id: NodeId) -> FlexTensor {
    dense(checkpointer.retrieve_node_output(id))
}

/// Hands on a gradient, where a parent asks for it.
pub(crate) fn register(grads: &mut Gradients, node: Option<NodeId>, gradient: Vec<f32>, shape: Vec<usize>) {
    if let Some(id) = node {
        grads.register::<Flex>(id, tensor(gradient, shape));
    }
}
