//! The backward passes of the fused operations, as nodes of Burn's gradient tape.

use std::sync::Arc;

use burn::backend::autodiff::NodeId;
use burn::backend::autodiff::checkpoint::base::Checkpointer;
use burn::backend::autodiff::checkpoint::strategy::CheckpointStrategy;
use burn::backend::autodiff::grads::Gradients;
use burn::backend::autodiff::ops::{Backward, Ops, OpsKind};
use burn::backend::flex::FlexTensor;
use burn::backend::tensor::{FloatTensor, IntTensor};
use burn::backend::{Autodiff, AutodiffBackend, Flex};

use super::array::{dense, shape, tensor, values};
use super::attention::{self, Inputs, Outcome};
use super::groups::{self, Kept, Moments};
use super::ops::{
    CpuKernels, Scored, angles, attention_forward, conv2d_forward, conv2d_geometry, cross_entropy_forward, dimensions,
    group_norm_forward, groups_of, head_norm, linear_forward, norm_rotate_forward, rms_norm_forward, rotate_by,
    swiglu_forward,
};
use super::product::{product, view};
use super::spans::Spans;
use super::{convolution, gated, norm, scores, turn};
use crate::conv2d::ConvSteps;
use crate::group_norm::GroupNormSteps;
use crate::optimizer::Factors;

/// The value of a node of the forward pass.
fn recall(checkpointer: &mut Checkpointer, id: NodeId) -> FlexTensor {
    dense(checkpointer.retrieve_node_output(id))
}

#[derive(Debug)]
struct LinearBackward;

impl Backward<Flex, 2> for LinearBackward {
    /// `x` if the weight needs a gradient, the weight if `x` does.
    type State = (Option<NodeId>, Option<NodeId>);

    fn backward(self, ops: Ops<Self::State, 2>, grads: &mut Gradients, checkpointer: &mut Checkpointer) {
        let [x_node, weight_node] = ops.parents.map(|parent| parent.map(|node| node.id));
        let (x, weight) = ops.state;
        let dy = dense(grads.consume::<Flex>(&ops.node));
        let dims = shape(&dy);
        let (rows, d_out) = (dims[0], dims[1]);
        let dy = view(values(&dy), rows, d_out, d_out);
        if let (Some(node), Some(weight)) = (x_node, weight) {
            let weight = recall(checkpointer, weight);
            let d_in = shape(&weight)[0];
            let weight = view(values(&weight), d_in, d_out, d_out);
            grads.register::<Flex>(node, tensor(product(dy, weight.transpose()), [rows, d_in]));
        }
        if let (Some(node), Some(x)) = (weight_node, x) {
            let x = recall(checkpointer, x);
            let d_in = shape(&x)[1];
            let x = view(values(&x), rows, d_in, d_in);
            grads.register::<Flex>(node, tensor(product(x.transpose(), dy), [d_in, d_out]));
        }
    }
}

#[derive(Debug)]
struct RmsNormBackward;

impl Backward<Flex, 2> for RmsNormBackward {
    /// `x`, the weight, and each row's scale.
    type State = (NodeId, FlexTensor, Vec<f32>);

    fn backward(self, ops: Ops<Self::State, 2>, grads: &mut Gradients, checkpointer: &mut Checkpointer) {
        let [x_node, weight_node] = ops.parents.map(|parent| parent.map(|node| node.id));
        let (x, weight, scales) = ops.state;
        let dy = dense(grads.consume::<Flex>(&ops.node));
        let x = recall(checkpointer, x);
        let (dx, d_weight) = norm::backward(values(&x), values(&weight), &scales, values(&dy));
        register(grads, x_node, dx, shape(&x));
        register(grads, weight_node, d_weight, shape(&weight));
    }
}

#[derive(Debug)]
struct SwigluBackward;

impl Backward<Flex, 2> for SwigluBackward {
    type State = (NodeId, NodeId);

    fn backward(self, ops: Ops<Self::State, 2>, grads: &mut Gradients, checkpointer: &mut Checkpointer) {
        let [gate_node, up_node] = ops.parents.map(|parent| parent.map(|node| node.id));
        let (gate, up) = ops.state;
        let dy = dense(grads.consume::<Flex>(&ops.node));
        let (gate, up) = (recall(checkpointer, gate), recall(checkpointer, up));
        let (d_gate, d_up) = gated::backward(values(&gate), values(&up), values(&dy));
        register(grads, gate_node, d_gate, shape(&gate));
        register(grads, up_node, d_up, shape(&gate));
    }
}

#[derive(Debug)]
struct RotateBackward;

impl Backward<Flex, 1> for RotateBackward {
    /// Cosines and sines.
    type State = (FlexTensor, FlexTensor);

    fn backward(self, ops: Ops<Self::State, 1>, grads: &mut Gradients, _: &mut Checkpointer) {
        let [node] = ops.parents.map(|parent| parent.map(|node| node.id));
        let (cos, sin) = ops.state;
        let dy = dense(grads.consume::<Flex>(&ops.node));
        if let Some(node) = node {
            grads.register::<Flex>(node, rotate_by(&dy, &cos, &sin, -1.0));
        }
    }
}

#[derive(Debug)]
struct NormRotateBackward;

impl Backward<Flex, 2> for NormRotateBackward {
    /// `x`, the weight, cosines and sines, ε.
    type State = (NodeId, FlexTensor, [FlexTensor; 2], f64);

    fn backward(self, ops: Ops<Self::State, 2>, grads: &mut Gradients, checkpointer: &mut Checkpointer) {
        let [x_node, weight_node] = ops.parents.map(|parent| parent.map(|node| node.id));
        let (x, weight, [cos, sin], epsilon) = ops.state;
        let dy = dense(grads.consume::<Flex>(&ops.node));
        let x = recall(checkpointer, x);
        let (norm, angles) = (head_norm(&weight, epsilon), angles(&x, [&cos, &sin]));
        let (dx, d_weight) = turn::turn_normed_backward(values(&x), norm, angles, values(&dy));
        register(grads, x_node, dx, shape(&x));
        register(grads, weight_node, d_weight, shape(&weight));
    }
}

#[derive(Debug)]
struct CrossEntropyBackward;

impl Backward<Flex, 1> for CrossEntropyBackward {
    /// The arguments, and `log Z` of every row.
    type State = (Scored, Vec<f32>);

    fn backward(self, ops: Ops<Self::State, 1>, grads: &mut Gradients, _: &mut Checkpointer) {
        let [node] = ops.parents.map(|parent| parent.map(|node| node.id));
        let (scored, log_z) = ops.state;
        let dy = dense(grads.consume::<Flex>(&ops.node));
        let [d_next_token, d_z] = [values(&dy)[0], values(&dy)[1]];
        let gradient = scores::backward(&scored.rows(), &log_z, d_next_token, d_z);
        register(grads, node, gradient, scored.shape());
    }
}

#[derive(Debug)]
struct Conv2dBackward;

impl Backward<Flex, 3> for Conv2dBackward {
    /// `x`, the weight, and how the kernel moves.
    type State = (NodeId, NodeId, ConvSteps);

    fn backward(self, ops: Ops<Self::State, 3>, grads: &mut Gradients, checkpointer: &mut Checkpointer) {
        let [x_node, weight_node, bias_node] = ops.parents.map(|parent| parent.map(|node| node.id));
        let (x, weight, steps) = ops.state;
        let dy = dense(grads.consume::<Flex>(&ops.node));
        let (x, weight) = (recall(checkpointer, x), recall(checkpointer, weight));
        let geometry = conv2d_geometry(&x, &weight, steps);
        if x_node.is_some() {
            let dx = convolution::backward_input(values(&dy), values(&weight), geometry);
            register(grads, x_node, dx, shape(&x));
        }
        if weight_node.is_some() {
            let d_weight = convolution::backward_weight(values(&x), values(&dy), geometry);
            register(grads, weight_node, d_weight, shape(&weight));
        }
        if bias_node.is_some() {
            let outputs = geometry.channels[1];
            register(grads, bias_node, convolution::backward_bias(values(&dy), geometry), vec![outputs]);
        }
    }
}

#[derive(Debug)]
struct GroupNormBackward;

impl Backward<Flex, 3> for GroupNormBackward {
    /// `x`, weight and bias, the moments of every group, and how the norm is taken.
    type State = (NodeId, [FlexTensor; 2], Vec<Moments>, GroupNormSteps);

    fn backward(self, ops: Ops<Self::State, 3>, grads: &mut Gradients, checkpointer: &mut Checkpointer) {
        let nodes = ops.parents.map(|parent| parent.map(|node| node.id));
        let (x, [weight, bias], moments, steps) = ops.state;
        let dy = dense(grads.consume::<Flex>(&ops.node));
        let x = recall(checkpointer, x);
        let kept = Kept { x: values(&x), weight: values(&weight), bias: values(&bias), moments: &moments };
        let gradients = groups::backward(kept, values(&dy), groups_of(&x, steps));
        let shapes = [shape(&x), shape(&weight), shape(&bias)];
        for ((node, gradient), shape) in nodes.into_iter().zip(gradients).zip(shapes) {
            register(grads, node, gradient, shape);
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
}

impl Backward<Flex, 3> for AttentionBackward {
    type State = AttentionState;

    fn backward(self, ops: Ops<Self::State, 3>, grads: &mut Gradients, checkpointer: &mut Checkpointer) {
        let [q_node, k_node, v_node] = ops.parents.map(|parent| parent.map(|node| node.id));
        let state = ops.state;
        let d_out = dense(grads.consume::<Flex>(&ops.node));
        let [q, k, v] = [state.q, state.k, state.v].map(|id| recall(checkpointer, id));
        let inputs = Inputs { q: values(&q), k: values(&k), v: values(&v) };
        let outcome = Outcome { out: values(&state.out), log_sums: &state.log_sums, d_out: values(&d_out) };
        let [dq, dk, dv] = attention::backward(inputs, outcome, &state.spans, dimensions(&q, &k));
        register(grads, q_node, dq, shape(&q));
        register(grads, k_node, dk, shape(&k));
        register(grads, v_node, dv, shape(&v));
    }
}

fn register(grads: &mut Gradients, node: Option<NodeId>, gradient: Vec<f32>, shape: Vec<usize>) {
    if let Some(id) = node {
        grads.register::<Flex>(id, tensor(gradient, shape));
    }
}

impl<C: CheckpointStrategy> CpuKernels for Autodiff<Flex, C> {
    fn linear(x: FloatTensor<Self>, weight: FloatTensor<Self>) -> FloatTensor<Self> {
        let (x_tracked, weight_tracked) = (x.is_tracked(), weight.is_tracked());
        match LinearBackward.prepare::<C>([x.node(), weight.node()]).compute_bound().stateful() {
            OpsKind::Tracked(mut prep) => {
                let kept_x = weight_tracked.then(|| prep.checkpoint(&x));
                let kept_weight = x_tracked.then(|| prep.checkpoint(&weight));
                let y = linear_forward(&dense(x.into_primitive()), &dense(weight.into_primitive()));
                prep.finish((kept_x, kept_weight), y)
            }
            OpsKind::UnTracked(prep) => prep.finish(Flex::linear(x.into_primitive(), weight.into_primitive())),
        }
    }

    fn rms_norm(x: FloatTensor<Self>, weight: FloatTensor<Self>, epsilon: f64) -> FloatTensor<Self> {
        match RmsNormBackward.prepare::<C>([x.node(), weight.node()]).compute_bound().stateful() {
            OpsKind::Tracked(mut prep) => {
                let kept = prep.checkpoint(&x);
                let weight = dense(weight.into_primitive());
                let (y, scales) = rms_norm_forward(&dense(x.into_primitive()), &weight, epsilon);
                prep.finish((kept, weight, scales), y)
            }
            OpsKind::UnTracked(prep) => {
                prep.finish(Flex::rms_norm(x.into_primitive(), weight.into_primitive(), epsilon))
            }
        }
    }

    fn swiglu(gate: FloatTensor<Self>, up: FloatTensor<Self>) -> FloatTensor<Self> {
        match SwigluBackward.prepare::<C>([gate.node(), up.node()]).compute_bound().stateful() {
            OpsKind::Tracked(mut prep) => {
                let kept = (prep.checkpoint(&gate), prep.checkpoint(&up));
                prep.finish(kept, swiglu_forward(&dense(gate.into_primitive()), &dense(up.into_primitive())))
            }
            OpsKind::UnTracked(prep) => prep.finish(Flex::swiglu(gate.into_primitive(), up.into_primitive())),
        }
    }

    fn rotate(x: FloatTensor<Self>, cos: FloatTensor<Self>, sin: FloatTensor<Self>) -> FloatTensor<Self> {
        let (cos, sin) = (dense(cos.into_primitive()), dense(sin.into_primitive()));
        match RotateBackward.prepare::<C>([x.node()]).compute_bound().stateful() {
            OpsKind::Tracked(prep) => {
                let y = rotate_by(&dense(x.into_primitive()), &cos, &sin, 1.0);
                prep.finish((cos, sin), y)
            }
            OpsKind::UnTracked(prep) => prep.finish(Flex::rotate(x.into_primitive(), cos, sin)),
        }
    }

    fn norm_rotate(
        x: FloatTensor<Self>,
        weight: FloatTensor<Self>,
        cos: FloatTensor<Self>,
        sin: FloatTensor<Self>,
        epsilon: f64,
    ) -> FloatTensor<Self> {
        let [cos, sin] = [cos, sin].map(|x| dense(x.into_primitive()));
        match NormRotateBackward.prepare::<C>([x.node(), weight.node()]).compute_bound().stateful() {
            OpsKind::Tracked(mut prep) => {
                let kept = prep.checkpoint(&x);
                let weight = dense(weight.into_primitive());
                let y = norm_rotate_forward(&dense(x.into_primitive()), &weight, [&cos, &sin], epsilon);
                prep.finish((kept, weight, [cos, sin], epsilon), y)
            }
            OpsKind::UnTracked(prep) => {
                prep.finish(Flex::norm_rotate(x.into_primitive(), weight.into_primitive(), cos, sin, epsilon))
            }
        }
    }

    fn cross_entropy(
        logits: FloatTensor<Self>,
        targets: IntTensor<Self>,
        weights: FloatTensor<Self>,
    ) -> FloatTensor<Self> {
        let weights = weights.into_primitive();
        match CrossEntropyBackward.prepare::<C>([logits.node()]).compute_bound().stateful() {
            OpsKind::Tracked(prep) => {
                let scored = Scored::new(logits.into_primitive(), targets, weights);
                let (sums, log_z) = cross_entropy_forward(&scored);
                prep.finish((scored, log_z), sums)
            }
            OpsKind::UnTracked(prep) => prep.finish(Flex::cross_entropy(logits.into_primitive(), targets, weights)),
        }
    }

    fn conv2d(
        x: FloatTensor<Self>,
        weight: FloatTensor<Self>,
        bias: FloatTensor<Self>,
        steps: ConvSteps,
    ) -> FloatTensor<Self> {
        match Conv2dBackward.prepare::<C>([x.node(), weight.node(), bias.node()]).compute_bound().stateful() {
            OpsKind::Tracked(mut prep) => {
                let kept = (prep.checkpoint(&x), prep.checkpoint(&weight), steps);
                let [x, weight, bias] = [x, weight, bias].map(|x| dense(x.into_primitive()));
                prep.finish(kept, conv2d_forward(&x, &weight, &bias, steps))
            }
            OpsKind::UnTracked(prep) => {
                let [x, weight, bias] = [x, weight, bias].map(|x| x.into_primitive());
                prep.finish(Flex::conv2d(x, weight, bias, steps))
            }
        }
    }

    fn group_norm(
        x: FloatTensor<Self>,
        weight: FloatTensor<Self>,
        bias: FloatTensor<Self>,
        steps: GroupNormSteps,
    ) -> FloatTensor<Self> {
        match GroupNormBackward.prepare::<C>([x.node(), weight.node(), bias.node()]).compute_bound().stateful() {
            OpsKind::Tracked(mut prep) => {
                let kept = prep.checkpoint(&x);
                let [x, weight, bias] = [x, weight, bias].map(|x| dense(x.into_primitive()));
                let (y, moments) = group_norm_forward(&x, &weight, &bias, steps);
                prep.finish((kept, [weight, bias], moments, steps), y)
            }
            OpsKind::UnTracked(prep) => {
                let [x, weight, bias] = [x, weight, bias].map(|x| x.into_primitive());
                prep.finish(Flex::group_norm(x, weight, bias, steps))
            }
        }
    }

    fn adamw(
        weight: FloatTensor<Self>,
        first: FloatTensor<Self>,
        second: FloatTensor<Self>,
        gradient: FloatTensor<Self>,
        factors: Factors,
    ) -> (FloatTensor<Self>, FloatTensor<Self>, FloatTensor<Self>) {
        let [weight, first, second, gradient] = [weight, first, second, gradient].map(|x| x.into_primitive());
        let (weight, first, second) = Flex::adamw(weight, first, second, gradient, factors);
        (Self::from_inner(weight), Self::from_inner(first), Self::from_inner(second))
    }

    fn combine(x: FloatTensor<Self>, y: FloatTensor<Self>, kept: f32, new: f32) -> FloatTensor<Self> {
        Self::from_inner(Flex::combine(x.into_primitive(), y.into_primitive(), kept, new))
    }

    fn squared_norm(x: FloatTensor<Self>) -> FloatTensor<Self> {
        Self::from_inner(Flex::squared_norm(x.into_primitive()))
    }

    fn attention(
        q: FloatTensor<Self>,
        k: FloatTensor<Self>,
        v: FloatTensor<Self>,
        spans: Arc<Spans>,
    ) -> FloatTensor<Self> {
        match AttentionBackward.prepare::<C>([q.node(), k.node(), v.node()]).compute_bound().stateful() {
            OpsKind::Tracked(mut prep) => {
                let [q_id, k_id, v_id] = [&q, &k, &v].map(|x| prep.checkpoint(x));
                let [q, k, v] = [q, k, v].map(|x| dense(x.into_primitive()));
                let (out, log_sums) = attention_forward(&q, &k, &v, &spans);
                let state = AttentionState { q: q_id, k: k_id, v: v_id, out: out.clone(), log_sums, spans };
                prep.finish(state, out)
            }
            OpsKind::UnTracked(prep) => {
                let [q, k, v] = [q, k, v].map(|x| x.into_primitive());
                prep.finish(Flex::attention(q, k, v, spans))
            }
        }
    }
}
