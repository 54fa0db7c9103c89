//! The fused operations as an extension of Burn's CPU backend.
//!
//! Every tensor is `f32`; [`crate::place`] sees to it before an operation is called.

use std::sync::Arc;

use burn::backend::flex::FlexTensor;
use burn::backend::tensor::{FloatTensor, IntTensor};
use burn::backend::{Backend, Flex, backend_extension};
use burn::tensor::DType;

use crate::conv2d::ConvSteps;
use crate::group_norm::GroupNormSteps;
use crate::optimizer::Factors;

use super::array::{dense, shape, tensor, values, values_mut, whole};
use super::attention::{self, Dimensions, Inputs};
use super::convolution::{self, Geometry};
use super::groups::{self, Groups, Moments};
use super::product::{product, view};
use super::spans::Spans;
use super::turn::{self, Angles, HeadNorm};
use super::update;
use super::{gated, norm, scores};

/// What the CPU computes in fewer passes than Burn's primitives would.
#[backend_extension(Autodiff, Flex)]
pub(crate) trait CpuKernels: Backend {
    /// `x W`; `x`: `[rows, d_in]`, `weight`: `[d_in, d_out]`.
    fn linear(x: FloatTensor<Self>, weight: FloatTensor<Self>) -> FloatTensor<Self>;
    /// See [`crate::rms_norm()`].
    fn rms_norm(x: FloatTensor<Self>, weight: FloatTensor<Self>, epsilon: f64) -> FloatTensor<Self>;
    /// See [`crate::swiglu()`].
    fn swiglu(gate: FloatTensor<Self>, up: FloatTensor<Self>) -> FloatTensor<Self>;
    /// See [`crate::rotate`]; `cos`, `sin`: `[B, S, 1, Dh/2]`.
    fn rotate(x: FloatTensor<Self>, cos: FloatTensor<Self>, sin: FloatTensor<Self>) -> FloatTensor<Self>;
    /// See [`crate::norm_rotate`]; the angles as those of `rotate`.
    fn norm_rotate(
        x: FloatTensor<Self>,
        weight: FloatTensor<Self>,
        cos: FloatTensor<Self>,
        sin: FloatTensor<Self>,
        epsilon: f64,
    ) -> FloatTensor<Self>;
    /// See [`crate::cross_entropy()`]; the two sums as `[2]`.
    fn cross_entropy(
        logits: FloatTensor<Self>,
        targets: IntTensor<Self>,
        weights: FloatTensor<Self>,
    ) -> FloatTensor<Self>;
    /// See [`crate::ranged_attention`].
    fn attention(
        q: FloatTensor<Self>,
        k: FloatTensor<Self>,
        v: FloatTensor<Self>,
        spans: Arc<Spans>,
    ) -> FloatTensor<Self>;
    /// See [`crate::conv2d()`].
    fn conv2d(
        x: FloatTensor<Self>,
        weight: FloatTensor<Self>,
        bias: FloatTensor<Self>,
        steps: ConvSteps,
    ) -> FloatTensor<Self>;
    /// See [`crate::group_norm()`].
    fn group_norm(
        x: FloatTensor<Self>,
        weight: FloatTensor<Self>,
        bias: FloatTensor<Self>,
        steps: GroupNormSteps,
    ) -> FloatTensor<Self>;
    /// See [`crate::adamw`]; weight and moments in, weight and moments out.
    fn adamw(
        weight: FloatTensor<Self>,
        first: FloatTensor<Self>,
        second: FloatTensor<Self>,
        gradient: FloatTensor<Self>,
        factors: Factors,
    ) -> (FloatTensor<Self>, FloatTensor<Self>, FloatTensor<Self>);
    /// `kept · x + new · y`, in `x`'s place when nobody else holds it.
    fn combine(x: FloatTensor<Self>, y: FloatTensor<Self>, kept: f32, new: f32) -> FloatTensor<Self>;
    /// `Σ x²`. `[1]`
    fn squared_norm(x: FloatTensor<Self>) -> FloatTensor<Self>;
}

impl CpuKernels for Flex {
    fn linear(x: FlexTensor, weight: FlexTensor) -> FlexTensor {
        linear_forward(&dense(x), &dense(weight))
    }

    fn rms_norm(x: FlexTensor, weight: FlexTensor, epsilon: f64) -> FlexTensor {
        rms_norm_forward(&dense(x), &dense(weight), epsilon).0
    }

    fn swiglu(gate: FlexTensor, up: FlexTensor) -> FlexTensor {
        swiglu_forward(&dense(gate), &dense(up))
    }

    fn rotate(x: FlexTensor, cos: FlexTensor, sin: FlexTensor) -> FlexTensor {
        rotate_by(&dense(x), &dense(cos), &dense(sin), 1.0)
    }

    fn norm_rotate(x: FlexTensor, weight: FlexTensor, cos: FlexTensor, sin: FlexTensor, epsilon: f64) -> FlexTensor {
        norm_rotate_forward(&dense(x), &dense(weight), [&dense(cos), &dense(sin)], epsilon)
    }

    fn cross_entropy(logits: FlexTensor, targets: FlexTensor, weights: FlexTensor) -> FlexTensor {
        cross_entropy_forward(&Scored::new(logits, targets, weights)).0
    }

    fn attention(q: FlexTensor, k: FlexTensor, v: FlexTensor, spans: Arc<Spans>) -> FlexTensor {
        attention_forward(&dense(q), &dense(k), &dense(v), &spans).0
    }

    fn conv2d(x: FlexTensor, weight: FlexTensor, bias: FlexTensor, steps: ConvSteps) -> FlexTensor {
        conv2d_forward(&dense(x), &dense(weight), &dense(bias), steps)
    }

    fn group_norm(x: FlexTensor, weight: FlexTensor, bias: FlexTensor, steps: GroupNormSteps) -> FlexTensor {
        group_norm_forward(&dense(x), &dense(weight), &dense(bias), steps).0
    }

    fn adamw(
        weight: FlexTensor,
        first: FlexTensor,
        second: FlexTensor,
        gradient: FlexTensor,
        factors: Factors,
    ) -> (FlexTensor, FlexTensor, FlexTensor) {
        let [mut weight, mut first, mut second] = [weight, first, second].map(whole);
        let gradient = dense(gradient);
        update::adamw(
            [values_mut(&mut weight), values_mut(&mut first), values_mut(&mut second)],
            values(&gradient),
            factors,
        );
        (weight, first, second)
    }

    fn combine(x: FlexTensor, y: FlexTensor, kept: f32, new: f32) -> FlexTensor {
        let (mut x, y) = (whole(x), dense(y));
        update::combine(values_mut(&mut x), values(&y), kept, new);
        x
    }

    fn squared_norm(x: FlexTensor) -> FlexTensor {
        tensor(vec![update::squared_norm(values(&dense(x)))], [1])
    }
}

pub(crate) fn linear_forward(x: &FlexTensor, weight: &FlexTensor) -> FlexTensor {
    let (x_shape, weight_shape) = (shape(x), shape(weight));
    let (rows, d_in, d_out) = (x_shape[0], x_shape[1], weight_shape[1]);
    let y = product(view(values(x), rows, d_in, d_in), view(values(weight), d_in, d_out, d_out));
    tensor(y, [rows, d_out])
}

/// The normed rows, and each row's scale.
pub(crate) fn rms_norm_forward(x: &FlexTensor, weight: &FlexTensor, epsilon: f64) -> (FlexTensor, Vec<f32>) {
    let (y, scales) = norm::forward(values(x), values(weight), epsilon as f32);
    (tensor(y, shape(x)), scales)
}

pub(crate) fn swiglu_forward(gate: &FlexTensor, up: &FlexTensor) -> FlexTensor {
    tensor(gated::forward(values(gate), values(up)), shape(gate))
}

pub(crate) fn rotate_by(x: &FlexTensor, cos: &FlexTensor, sin: &FlexTensor, direction: f32) -> FlexTensor {
    tensor(turn::turn(values(x), angles(x, [cos, sin]), direction), shape(x))
}

pub(crate) fn norm_rotate_forward(
    x: &FlexTensor,
    weight: &FlexTensor,
    cos_sin: [&FlexTensor; 2],
    epsilon: f64,
) -> FlexTensor {
    tensor(turn::turn_normed(values(x), head_norm(weight, epsilon), angles(x, cos_sin)), shape(x))
}

/// The angles of `x`, `[B, S, H, Dh]`.
pub(crate) fn angles<'a>(x: &FlexTensor, [cos, sin]: [&'a FlexTensor; 2]) -> Angles<'a> {
    let x = shape(x);
    Angles { cos: values(cos), sin: values(sin), heads: x[2], half: x[3] / 2 }
}

pub(crate) fn head_norm(weight: &FlexTensor, epsilon: f64) -> HeadNorm<'_> {
    HeadNorm { weight: values(weight), epsilon: epsilon as f32 }
}

pub(crate) fn groups_of(x: &FlexTensor, steps: GroupNormSteps) -> Groups {
    let x = shape(x);
    let (plane, epsilon) = (x[2] * x[3], steps.epsilon as f32);
    Groups { channels: x[1], groups: steps.groups, plane, epsilon, silu: steps.silu }
}

pub(crate) fn group_norm_forward(
    x: &FlexTensor,
    weight: &FlexTensor,
    bias: &FlexTensor,
    steps: GroupNormSteps,
) -> (FlexTensor, Vec<Moments>) {
    let (y, moments) = groups::forward(values(x), values(weight), values(bias), groups_of(x, steps));
    (tensor(y, shape(x)), moments)
}

pub(crate) fn conv2d_geometry(x: &FlexTensor, weight: &FlexTensor, steps: ConvSteps) -> Geometry {
    let (x, weight) = (shape(x), shape(weight));
    let places = |axis: usize| steps.places(axis, x[2 + axis], weight[2 + axis]);
    Geometry {
        batch: x[0],
        channels: [x[1], weight[0]],
        kernel: [weight[2], weight[3]],
        input: [x[2], x[3]],
        output: [places(0), places(1)],
        stride: steps.stride,
        padding: steps.padding.map(|[before, _]| before),
    }
}

pub(crate) fn conv2d_forward(x: &FlexTensor, weight: &FlexTensor, bias: &FlexTensor, steps: ConvSteps) -> FlexTensor {
    let geometry = conv2d_geometry(x, weight, steps);
    let y = convolution::forward(values(x), values(weight), values(bias), geometry);
    tensor(y, [geometry.batch, geometry.channels[1], geometry.output[0], geometry.output[1]])
}

/// The arguments of cross-entropy in the form that the kernel takes.
#[derive(Clone, Debug)]
pub(crate) struct Scored {
    logits: FlexTensor,
    targets: Vec<usize>,
    weights: FlexTensor,
}

impl Scored {
    pub(crate) fn new(logits: FlexTensor, targets: FlexTensor, weights: FlexTensor) -> Self {
        Self { logits: dense(logits), targets: indices(dense(targets)), weights: dense(weights) }
    }

    pub(crate) fn rows(&self) -> scores::Rows<'_> {
        scores::Rows { logits: values(&self.logits), targets: &self.targets, weights: values(&self.weights) }
    }

    pub(crate) fn shape(&self) -> Vec<usize> {
        shape(&self.logits)
    }
}

/// The two sums as `[2]`, and `log Z` of every row.
pub(crate) fn cross_entropy_forward(scored: &Scored) -> (FlexTensor, Vec<f32>) {
    let sums = scores::forward(&scored.rows());
    (tensor(vec![sums.next_token, sums.z], [2]), sums.log_z)
}

fn indices(x: FlexTensor) -> Vec<usize> {
    match x.dtype() {
        DType::I32 => x.as_slice::<i32>().unwrap_or_default().iter().map(|&index| index as usize).collect(),
        DType::I64 => x.as_slice::<i64>().unwrap_or_default().iter().map(|&index| index as usize).collect(),
        _ => x.into_data().convert::<i64>().iter::<i64>().map(|index| index as usize).collect(),
    }
}

pub(crate) fn dimensions(q: &FlexTensor, k: &FlexTensor) -> Dimensions {
    let (q, k) = (shape(q), shape(k));
    Dimensions { batch: q[0], queries: q[1], heads: q[2], head_dim: q[3], keys: k[1], kv_heads: k[2] }
}

/// What the rows gather, and the logarithms of their sums of weights.
pub(crate) fn attention_forward(
    q: &FlexTensor,
    k: &FlexTensor,
    v: &FlexTensor,
    spans: &Spans,
) -> (FlexTensor, Vec<f32>) {
    let inputs = Inputs { q: values(q), k: values(k), v: values(v) };
    let (out, log_sums) = attention::forward(inputs, spans, dimensions(q, k));
    (tensor(out, shape(q)), log_sums)
}
