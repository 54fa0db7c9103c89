//! The kernels on the gradient tape: what each keeps from its forward pass, and which gradients it gives.

use burn::backend::autodiff::NodeId;
use burn::backend::autodiff::checkpoint::base::Checkpointer;
use burn::backend::autodiff::checkpoint::strategy::CheckpointStrategy;
use burn::backend::autodiff::grads::Gradients;
use burn::backend::autodiff::ops::{Backward, Ops, OpsKind};
use burn::backend::tensor::{FloatTensor, IntTensor};
use burn::backend::{Autodiff, Backend, Cube, backend_extension};

use super::ops::GpuOps;
use crate::attention::gpu::plan::FlashPlan;

/// The differentiable operations of a GPU.
#[backend_extension(Autodiff, Cube)]
pub(crate) trait GpuKernels: Backend {
    /// See [`crate::attention::gpu::ranges`]; no gradient passes through whole numbers.
    fn ranges_gpu(
        order: IntTensor<Self>,
        from: IntTensor<Self>,
        until: IntTensor<Self>,
        rows: usize,
    ) -> IntTensor<Self>;
    /// See [`crate::ranged_attention`]; `ranges` as [`crate::attention::gpu::ranges`] has them.
    fn attention_gpu(
        q: FloatTensor<Self>,
        k: FloatTensor<Self>,
        v: FloatTensor<Self>,
        ranges: IntTensor<Self>,
        plan: FlashPlan,
    ) -> FloatTensor<Self>;
}

impl GpuKernels for Cube {
    fn ranges_gpu(
        order: IntTensor<Self>,
        from: IntTensor<Self>,
        until: IntTensor<Self>,
        rows: usize,
    ) -> IntTensor<Self> {
        Self::gpu_ranges(order, from, until, rows)
    }

    fn attention_gpu(
        q: FloatTensor<Self>,
        k: FloatTensor<Self>,
        v: FloatTensor<Self>,
        ranges: IntTensor<Self>,
        plan: FlashPlan,
    ) -> FloatTensor<Self> {
        Self::gpu_attention(q, k, v, ranges, plan).0
    }
}

/// Registers the gradient of a parent that asks for one.
pub(crate) fn register<B: Backend>(grads: &mut Gradients, node: Option<NodeId>, gradient: FloatTensor<B>) {
    if let Some(id) = node {
        grads.register::<B>(id, gradient);
    }
}

#[derive(Debug)]
struct AttentionBackward;

/// What attention keeps: linear in the rows.
#[derive(Clone, Debug)]
struct AttentionState<B: Backend> {
    q: NodeId,
    k: NodeId,
    v: NodeId,
    ranges: IntTensor<B>,
    out: FloatTensor<B>,
    log_sums: FloatTensor<B>,
    plan: FlashPlan,
}

impl<B: GpuOps> Backward<B, 3> for AttentionBackward {
    type State = AttentionState<B>;

    fn backward(self, ops: Ops<Self::State, 3>, grads: &mut Gradients, checkpointer: &mut Checkpointer) {
        let [q_node, k_node, v_node] = ops.parents.map(|parent| parent.map(|node| node.id));
        let AttentionState { q, k, v, ranges, out, log_sums, plan } = ops.state;
        let d_out = grads.consume::<B>(&ops.node);
        let [q, k, v] = [q, k, v].map(|id| checkpointer.retrieve_node_output(id));
        let (dq, dk, dv) = B::gpu_attention_backward(q, k, v, ranges, out, log_sums, d_out, plan);
        register::<B>(grads, q_node, dq);
        register::<B>(grads, k_node, dk);
        register::<B>(grads, v_node, dv);
    }
}

impl<B: GpuOps + GpuKernels, C: CheckpointStrategy> GpuKernels for Autodiff<B, C> {
    fn ranges_gpu(
        order: IntTensor<Self>,
        from: IntTensor<Self>,
        until: IntTensor<Self>,
        rows: usize,
    ) -> IntTensor<Self> {
        B::gpu_ranges(order, from, until, rows)
    }

    fn attention_gpu(
        q: FloatTensor<Self>,
        k: FloatTensor<Self>,
        v: FloatTensor<Self>,
        ranges: IntTensor<Self>,
        plan: FlashPlan,
    ) -> FloatTensor<Self> {
        match AttentionBackward.prepare::<C>([q.node(), k.node(), v.node()]).compute_bound().stateful() {
            OpsKind::Tracked(mut prep) => {
                let [q_id, k_id, v_id] = [&q, &k, &v].map(|x| prep.checkpoint(x));
                let [q, k, v] = [q, k, v].map(|x| x.into_primitive());
                let (out, log_sums) = B::gpu_attention(q, k, v, ranges.clone(), plan);
                let state = AttentionState { q: q_id, k: k_id, v: v_id, ranges, out: out.clone(), log_sums, plan };
                prep.finish(state, out)
            }
            OpsKind::UnTracked(prep) => {
                let [q, k, v] = [q, k, v].map(|x| x.into_primitive());
                prep.finish(B::gpu_attention(q, k, v, ranges, plan).0)
            }
        }
    }
}
