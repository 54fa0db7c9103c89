//! SwiGLU in one pass forward and one backward.
//!
//! ```text
//! σ = 1 / (1 + e^-g)        y = g · σ · u
//! ∂g = ∂y · u · σ · (1 + g · (1 − σ))        ∂u = ∂y · g · σ
//! ```

use burn::backend::autodiff::NodeId;
use burn::backend::autodiff::checkpoint::base::Checkpointer;
use burn::backend::autodiff::checkpoint::strategy::CheckpointStrategy;
use burn::backend::autodiff::grads::Gradients;
use burn::backend::autodiff::ops::{Backward, Ops, OpsKind};
use burn::backend::flex::FlexTensor;
use burn::backend::tensor::FloatTensor;
use burn::backend::{Autodiff, Backend, Flex, backend_extension};
use rayon::prelude::*;

use crate::cpu::array::CHUNK;
use crate::cpu::array::{dense, shape, tensor, values};
use crate::cpu::tape::{recall, register};
use crate::cpu::vector::{exp, vectorised};
use crate::timing::operation;

/// The operation on the CPU, on the gradient tape and off it. Every tensor is `f32`; [`crate::place`] sees to it.
#[backend_extension(Autodiff, Flex)]
pub(crate) trait SwigluCpu: Backend {
    /// See [`crate::swiglu()`].
    fn swiglu(gate: FloatTensor<Self>, up: FloatTensor<Self>) -> FloatTensor<Self>;
}

impl SwigluCpu for Flex {
    fn swiglu(gate: FlexTensor, up: FlexTensor) -> FlexTensor {
        swiglu_forward(&dense(gate), &dense(up))
    }
}

impl<C: CheckpointStrategy> SwigluCpu for Autodiff<Flex, C> {
    fn swiglu(gate: FloatTensor<Self>, up: FloatTensor<Self>) -> FloatTensor<Self> {
        match SwigluBackward.prepare::<C>([gate.node(), up.node()]).compute_bound().stateful() {
            OpsKind::Tracked(mut prep) => {
                let kept = (prep.checkpoint(&gate), prep.checkpoint(&up));
                prep.finish(kept, swiglu_forward(&dense(gate.into_primitive()), &dense(up.into_primitive())))
            }
            OpsKind::UnTracked(prep) => prep.finish(Flex::swiglu(gate.into_primitive(), up.into_primitive())),
        }
    }
}

#[derive(Debug)]
struct SwigluBackward;

impl Backward<Flex, 2> for SwigluBackward {
    type State = (NodeId, NodeId);

    fn backward(self, ops: Ops<Self::State, 2>, grads: &mut Gradients, checkpointer: &mut Checkpointer) {
        let _running = operation("SwiGLU");
        let [gate_node, up_node] = ops.parents.map(|parent| parent.map(|node| node.id));
        let (gate, up) = ops.state;
        let dy = dense(grads.consume::<Flex>(&ops.node));
        let (gate, up) = (recall(checkpointer, gate), recall(checkpointer, up));
        let (d_gate, d_up) = backward(values(&gate), values(&up), values(&dy));
        register(grads, gate_node, d_gate, shape(&gate));
        register(grads, up_node, d_up, shape(&gate));
    }
}

fn swiglu_forward(gate: &FlexTensor, up: &FlexTensor) -> FlexTensor {
    let _running = operation("SwiGLU");
    tensor(forward(values(gate), values(up)), shape(gate))
}

/// `silu(gate) · up`
pub(crate) fn forward(gate: &[f32], up: &[f32]) -> Vec<f32> {
    let mut y = vec![0.0; gate.len()];
    let chunks = y.par_chunks_mut(CHUNK).zip(gate.par_chunks(CHUNK)).zip(up.par_chunks(CHUNK));
    chunks.for_each(|((y, gate), up)| {
        vectorised(
            #[inline(always)]
            || {
                for ((y, &g), &u) in y.iter_mut().zip(gate).zip(up) {
                    *y = g / (1.0 + exp(-g)) * u;
                }
            },
        );
    });
    y
}

/// Gradients of the gate and of `up`.
pub(crate) fn backward(gate: &[f32], up: &[f32], dy: &[f32]) -> (Vec<f32>, Vec<f32>) {
    let (mut d_gate, mut d_up) = (vec![0.0; gate.len()], vec![0.0; up.len()]);
    let outputs = d_gate.par_chunks_mut(CHUNK).zip(d_up.par_chunks_mut(CHUNK));
    let inputs = gate.par_chunks(CHUNK).zip(up.par_chunks(CHUNK)).zip(dy.par_chunks(CHUNK));
    outputs.zip(inputs).for_each(|((d_gate, d_up), ((gate, up), dy))| {
        vectorised(
            #[inline(always)]
            || {
                let outputs = d_gate.iter_mut().zip(d_up);
                for ((d_gate, d_up), ((&g, &u), &dy)) in outputs.zip(gate.iter().zip(up).zip(dy)) {
                    let sigmoid = 1.0 / (1.0 + exp(-g));
                    *d_up = dy * g * sigmoid;
                    *d_gate = dy * u * sigmoid * (1.0 + g * (1.0 - sigmoid));
                }
            },
        );
    });
    (d_gate, d_up)
}
