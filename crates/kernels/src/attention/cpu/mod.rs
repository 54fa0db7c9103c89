//! Attention on the CPU: the intervals of keys that rows see, the kernel that walks over them, and its node on the tape.

mod kernel;
pub(crate) mod spans;

use std::sync::Arc;

use burn::backend::autodiff::NodeId;
use burn::backend::autodiff::checkpoint::base::Checkpointer;
use burn::backend::autodiff::checkpoint::strategy::CheckpointStrategy;
use burn::backend::autodiff::grads::Gradients;
use burn::backend::autodiff::ops::{Backward, Ops, OpsKind};
use burn::backend::flex::FlexTensor;
use burn::backend::tensor::FloatTensor;
use burn::backend::{Autodiff, Backend, Flex, backend_extension};

use self::kernel::{Dimensions, Inputs, Outcome};
use self::spans::Spans;
use crate::cpu::array::{dense, shape, tensor, values};
use crate::cpu::matmul::Arithmetic;
use crate::cpu::tape::{recall, register};
use crate::timing::operation;

/// The operation on the CPU, on the gradient tape and off it. Every tensor is `f32`; [`crate::place`] sees to it.
#[backend_extension(Autodiff, Flex)]
pub(crate) trait AttentionCpu: Backend {
    /// See [`crate::ranged_attention`].
    fn attention(
        q: FloatTensor<Self>,
        k: FloatTensor<Self>,
        v: FloatTensor<Self>,
        spans: Arc<Spans>,
        arithmetic: Arithmetic,
    ) -> FloatTensor<Self>;
}

impl AttentionCpu for Flex {
    fn attention(q: FlexTensor, k: FlexTensor, v: FlexTensor, spans: Arc<Spans>, arithmetic: Arithmetic) -> FlexTensor {
        attention_forward([&dense(q), &dense(k), &dense(v)], &spans, arithmetic).0
    }
}

impl<C: CheckpointStrategy> AttentionCpu for Autodiff<Flex, C> {
    fn attention(
        q: FloatTensor<Self>,
        k: FloatTensor<Self>,
        v: FloatTensor<Self>,
        spans: Arc<Spans>,
        arithmetic: Arithmetic,
    ) -> FloatTensor<Self> {
        match AttentionBackward.prepare::<C>([q.node(), k.node(), v.node()]).compute_bound().stateful() {
            OpsKind::Tracked(mut prep) => {
                let [q_id, k_id, v_id] = [&q, &k, &v].map(|x| prep.checkpoint(x));
                let [q, k, v] = [q, k, v].map(|x| dense(x.into_primitive()));
                let (out, log_sums) = attention_forward([&q, &k, &v], &spans, arithmetic);
                let state = AttentionState { q: q_id, k: k_id, v: v_id, out: out.clone(), log_sums, spans, arithmetic };
                prep.finish(state, out)
            }
            OpsKind::UnTracked(prep) => {
                let [q, k, v] = [q, k, v].map(|x| x.into_primitive());
                prep.finish(Flex::attention(q, k, v, spans, arithmetic))
            }
        }
    }
}

#[derive(Debug)]
struct AttentionBackward;

/// What attention keeps: linear in the rows.
#[derive(Clone, Debug)]
struct AttentionState {
    q: NodeId,
    k: NodeId,
    v: NodeId,
    out: FlexTensor,
    log_sums: Vec<f32>,
    spans: Arc<Spans>,
    arithmetic: Arithmetic,
}

impl Backward<Flex, 3> for AttentionBackward {
    type State = AttentionState;

    fn backward(self, ops: Ops<Self::State, 3>, grads: &mut Gradients, checkpointer: &mut Checkpointer) {
        let _running = operation("attention");
        let [q_node, k_node, v_node] = ops.parents.map(|parent| parent.map(|node| node.id));
        let state = ops.state;
        let d_out = dense(grads.consume::<Flex>(&ops.node));
        let [q, k, v] = [state.q, state.k, state.v].map(|id| recall(checkpointer, id));
        let inputs = Inputs { q: values(&q), k: values(&k), v: values(&v) };
        let outcome = Outcome { out: values(&state.out), log_sums: &state.log_sums, d_out: values(&d_out) };
        let dims = dimensions(&q, &k, state.arithmetic);
        let [dq, dk, dv] = kernel::backward(inputs, outcome, &state.spans, dims);
        register(grads, q_node, dq, shape(&q));
        register(grads, k_node, dk, shape(&k));
        register(grads, v_node, dv, shape(&v));
    }
}

fn dimensions(q: &FlexTensor, k: &FlexTensor, arithmetic: Arithmetic) -> Dimensions {
    let (q, k) = (shape(q), shape(k));
    Dimensions { batch: q[0], queries: q[1], heads: q[2], head_dim: q[3], keys: k[1], kv_heads: k[2], arithmetic }
}

/// What the rows gather, and the logarithms of their sums of weights.
fn attention_forward([q, k, v]: [&FlexTensor; 3], spans: &Spans, arithmetic: Arithmetic) -> (FlexTensor, Vec<f32>) {
    let _running = operation("attention");
    let inputs = Inputs { q: values(q), k: values(k), v: values(v) };
    let (out, log_sums) = kernel::forward(inputs, spans, dimensions(q, k, arithmetic));
    (tensor(out, shape(q)), log_sums)
}
