//! Chunked attention as an extension of Burn's backends, with a node of its own on the gradient tape.

use burn::backend::autodiff::NodeId;
use burn::backend::autodiff::checkpoint::base::Checkpointer;
use burn::backend::autodiff::checkpoint::strategy::CheckpointStrategy;
use burn::backend::autodiff::grads::Gradients;
use burn::backend::autodiff::ops::{Backward, Ops, OpsKind};
use burn::backend::tensor::{FloatTensor, IntTensor};
use burn::backend::{Autodiff, Backend, Flex, backend_extension};

use super::blocks::{Inputs, Outcome, Ranges, backward, forward};

/// Attention that keeps no scores.
#[backend_extension(Autodiff, Flex, Cube: cfg(any(feature = "wgpu", feature = "cuda")))]
pub(crate) trait ChunkedAttention: Backend {
    /// See [`crate::ranged_attention`]; the last three as [`Ranges`] has them.
    fn chunked_attention(
        q: FloatTensor<Self>,
        k: FloatTensor<Self>,
        v: FloatTensor<Self>,
        key_order: IntTensor<Self>,
        from: IntTensor<Self>,
        until: IntTensor<Self>,
        most_scores: usize,
    ) -> FloatTensor<Self> {
        forward::<Self>(&Inputs { q, k, v }, &Ranges { key_order, from, until }, most_scores).0
    }
}

impl ChunkedAttention for Flex {}

#[cfg(any(feature = "wgpu", feature = "cuda"))]
impl ChunkedAttention for burn::backend::Cube {}

#[derive(Debug)]
struct ChunkedBackward;

/// What is kept: linear in the rows.
#[derive(Clone, Debug)]
struct Kept<B: Backend> {
    q: NodeId,
    k: NodeId,
    v: NodeId,
    out: FloatTensor<B>,
    log_sums: FloatTensor<B>,
    ranges: Ranges<B>,
    most_scores: usize,
}

impl<B: Backend> Backward<B, 3> for ChunkedBackward {
    type State = Kept<B>;

    fn backward(self, ops: Ops<Self::State, 3>, grads: &mut Gradients, checkpointer: &mut Checkpointer) {
        let parents = ops.parents.map(|parent| parent.map(|node| node.id));
        let Kept { q, k, v, out, log_sums, ranges, most_scores } = ops.state;
        let d_out = grads.consume::<B>(&ops.node);
        let [q, k, v] = [q, k, v].map(|id| checkpointer.retrieve_node_output(id));
        let outcome = Outcome { out, log_sums, d_out };
        let gradients = backward::<B>(&Inputs { q, k, v }, &outcome, &ranges, most_scores);
        for (parent, gradient) in parents.into_iter().zip(gradients) {
            if let Some(id) = parent {
                grads.register::<B>(id, gradient);
            }
        }
    }
}

impl<B: ChunkedAttention, C: CheckpointStrategy> ChunkedAttention for Autodiff<B, C> {
    fn chunked_attention(
        q: FloatTensor<Self>,
        k: FloatTensor<Self>,
        v: FloatTensor<Self>,
        key_order: IntTensor<Self>,
        from: IntTensor<Self>,
        until: IntTensor<Self>,
        most_scores: usize,
    ) -> FloatTensor<Self> {
        match ChunkedBackward.prepare::<C>([q.node(), k.node(), v.node()]).compute_bound().stateful() {
            OpsKind::Tracked(mut prep) => {
                let [q_id, k_id, v_id] = [&q, &k, &v].map(|x| prep.checkpoint(x));
                let [q, k, v] = [q, k, v].map(|x| x.into_primitive());
                let ranges = Ranges::<B> { key_order, from, until };
                let (out, log_sums) = forward::<B>(&Inputs { q, k, v }, &ranges, most_scores);
                let kept = Kept { q: q_id, k: k_id, v: v_id, out: out.clone(), log_sums, ranges, most_scores };
                prep.finish(kept, out)
            }
            OpsKind::UnTracked(prep) => {
                let [q, k, v] = [q, k, v].map(|x| x.into_primitive());
                prep.finish(B::chunked_attention(q, k, v, key_order, from, until, most_scores))
            }
        }
    }
}
