//! Ranged attention in tiles on tensor cores: no score leaves a cube, and tiles in which nobody sees anybody are skipped.
//!
//! Dimensions: `B` batch, `Sq` query rows, `Sk` key rows, `H` query heads, `G` key/value heads, `Dh` width of a head, `T` rows
//! of a tile.
//!
//! A cube owns the rows of one tile and streams the tiles of the other side past them.
//!
//! | file | what |
//! |---|---|
//! | [`plan`] | which kernels a device gets, with which tiles and fragments |
//! | [`ranges`] | the three integers of each row, and the bounds of each tile |
//! | [`hidden`] | the fourth, where keys are hidden |
//! | [`rows`] | from memory into tiles |
//! | [`passes`] | what is launched, with the formulas |
//! | [`deltas`] | what the backward pass needs of each row |
//! | [`registers`] | the kernels whose scores never leave the registers |
//! | [`cooperative`] | those for tensor cores whose fragments no one may look into |

#![allow(unsafe_code)] // Launches; see [`crate::gpu`].

mod cooperative;
mod deltas;
mod hidden;
mod passes;
pub(crate) mod plan;
mod ranges;
mod registers;
mod rows;

use burn::backend::autodiff::NodeId;
use burn::backend::autodiff::checkpoint::base::Checkpointer;
use burn::backend::autodiff::checkpoint::strategy::CheckpointStrategy;
use burn::backend::autodiff::grads::Gradients;
use burn::backend::autodiff::ops::{Backward, Ops, OpsKind};
#[cfg(feature = "fusion")]
use burn::backend::fusion::custom::TensorSpec;
use burn::backend::tensor::{FloatTensor, IntTensor};
use burn::backend::{Autodiff, Backend, Cube, backend_extension};
#[cfg(feature = "fusion")]
use burn::tensor::DType;
use burn_cubecl::CubeBackend;
use burn_cubecl::tensor::CubeTensor;

use self::passes::{Inputs, Outcome, backward, forward};
use self::plan::FlashPlan;
use crate::gpu::tape::register;

/// The passes on GPUs, off the gradient tape.
#[backend_extension(Cube, Fusion: cfg(feature = "fusion"))]
pub(crate) trait AttentionKernels: Backend {
    /// See [`ranges`].
    #[fusion(dtype = DType::I32, shape = [ranges::length(order[0], order[1], from[1], *rows)].into())]
    fn pack_ranges(
        order: IntTensor<Self>,
        from: IntTensor<Self>,
        until: IntTensor<Self>,
        rows: usize,
    ) -> IntTensor<Self>;
    /// See [`hidden`].
    #[fusion(dtype = DType::I32, shape = [hidden::length(order[0], hidden_from[1], order[1], *rows)].into())]
    fn pack_hidden(order: IntTensor<Self>, hidden_from: IntTensor<Self>, rows: usize) -> IntTensor<Self>;
    /// What the rows gather, and the logarithms of their sums of weights.
    #[fusion(meta = gathered_and_log_sums)]
    fn attention_forward(
        q: FloatTensor<Self>,
        k: FloatTensor<Self>,
        v: FloatTensor<Self>,
        ranges: IntTensor<Self>,
        plan: FlashPlan,
    ) -> (FloatTensor<Self>, FloatTensor<Self>);
    /// Gradients of queries, keys and values.
    #[fusion(meta = |q, k, v, _ranges, _out, _log_sums, _d_out, _plan| (q.clone(), k.clone(), v.clone()))]
    #[allow(clippy::too_many_arguments)] // Tensors cross into the backend one by one.
    fn attention_backward(
        q: FloatTensor<Self>,
        k: FloatTensor<Self>,
        v: FloatTensor<Self>,
        ranges: IntTensor<Self>,
        out: FloatTensor<Self>,
        log_sums: FloatTensor<Self>,
        d_out: FloatTensor<Self>,
        plan: FlashPlan,
    ) -> (FloatTensor<Self>, FloatTensor<Self>, FloatTensor<Self>);
}

/// What the forward pass returns, known before it runs.
#[cfg(feature = "fusion")]
fn gathered_and_log_sums(
    q: &TensorSpec,
    _k: &TensorSpec,
    _v: &TensorSpec,
    _ranges: &TensorSpec,
    _plan: &FlashPlan,
) -> (TensorSpec, TensorSpec) {
    (q.clone(), TensorSpec::new([q.shape[0], q.shape[2], q.shape[1]].into(), DType::F32))
}

impl AttentionKernels for CubeBackend {
    fn pack_ranges(order: CubeTensor, from: CubeTensor, until: CubeTensor, rows: usize) -> CubeTensor {
        ranges::packed(order, from, until, rows)
    }

    fn pack_hidden(order: CubeTensor, hidden_from: CubeTensor, rows: usize) -> CubeTensor {
        hidden::packed(order, hidden_from, rows)
    }

    fn attention_forward(
        q: CubeTensor,
        k: CubeTensor,
        v: CubeTensor,
        ranges: CubeTensor,
        plan: FlashPlan,
    ) -> (CubeTensor, CubeTensor) {
        forward(Inputs { q, k, v, ranges }, plan)
    }

    fn attention_backward(
        q: CubeTensor,
        k: CubeTensor,
        v: CubeTensor,
        ranges: CubeTensor,
        out: CubeTensor,
        log_sums: CubeTensor,
        d_out: CubeTensor,
        plan: FlashPlan,
    ) -> (CubeTensor, CubeTensor, CubeTensor) {
        backward(Inputs { q, k, v, ranges }, Outcome { out, log_sums, d_out }, plan).into()
    }
}

/// The operation on GPUs, on the gradient tape and off it.
#[backend_extension(Autodiff, Cube)]
pub(crate) trait AttentionGpu: Backend {
    /// See [`ranges`]; no gradient passes through whole numbers.
    fn packed_ranges(
        order: IntTensor<Self>,
        from: IntTensor<Self>,
        until: IntTensor<Self>,
        rows: usize,
    ) -> IntTensor<Self>;
    /// See [`hidden`].
    fn packed_hidden(order: IntTensor<Self>, hidden_from: IntTensor<Self>, rows: usize) -> IntTensor<Self>;
    /// See [`crate::ranged_attention`]; `ranges` as [`ranges`] has them, with what is [`hidden`] behind where the plan says so.
    fn attention(
        q: FloatTensor<Self>,
        k: FloatTensor<Self>,
        v: FloatTensor<Self>,
        ranges: IntTensor<Self>,
        plan: FlashPlan,
    ) -> FloatTensor<Self>;
}

impl AttentionGpu for Cube {
    fn packed_ranges(
        order: IntTensor<Self>,
        from: IntTensor<Self>,
        until: IntTensor<Self>,
        rows: usize,
    ) -> IntTensor<Self> {
        Self::pack_ranges(order, from, until, rows)
    }

    fn packed_hidden(order: IntTensor<Self>, hidden_from: IntTensor<Self>, rows: usize) -> IntTensor<Self> {
        Self::pack_hidden(order, hidden_from, rows)
    }

    fn attention(
        q: FloatTensor<Self>,
        k: FloatTensor<Self>,
        v: FloatTensor<Self>,
        ranges: IntTensor<Self>,
        plan: FlashPlan,
    ) -> FloatTensor<Self> {
        Self::attention_forward(q, k, v, ranges, plan).0
    }
}

impl<B: AttentionKernels, C: CheckpointStrategy> AttentionGpu for Autodiff<B, C> {
    fn packed_ranges(
        order: IntTensor<Self>,
        from: IntTensor<Self>,
        until: IntTensor<Self>,
        rows: usize,
    ) -> IntTensor<Self> {
        B::pack_ranges(order, from, until, rows)
    }

    fn packed_hidden(order: IntTensor<Self>, hidden_from: IntTensor<Self>, rows: usize) -> IntTensor<Self> {
        B::pack_hidden(order, hidden_from, rows)
    }

    fn attention(
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
                let (out, log_sums) = B::attention_forward(q, k, v, ranges.clone(), plan);
                let state = AttentionState { q: q_id, k: k_id, v: v_id, ranges, out: out.clone(), log_sums, plan };
                prep.finish(state, out)
            }
            OpsKind::UnTracked(prep) => {
                let [q, k, v] = [q, k, v].map(|x| x.into_primitive());
                prep.finish(B::attention_forward(q, k, v, ranges, plan).0)
            }
        }
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

impl<B: AttentionKernels> Backward<B, 3> for AttentionBackward {
    type State = AttentionState<B>;

    fn backward(self, ops: Ops<Self::State, 3>, grads: &mut Gradients, checkpointer: &mut Checkpointer) {
        let [q_node, k_node, v_node] = ops.parents.map(|parent| parent.map(|node| node.id));
        let AttentionState { q, k, v, ranges, out, log_sums, plan } = ops.state;
        let d_out = grads.consume::<B>(&ops.node);
        let [q, k, v] = [q, k, v].map(|id| checkpointer.retrieve_node_output(id));
        let (dq, dk, dv) = B::attention_backward(q, k, v, ranges, out, log_sums, d_out, plan);
        register::<B>(grads, q_node, dq);
        register::<B>(grads, k_node, dk);
        register::<B>(grads, v_node, dv);
    }
}
