//! RMSNorm in one pass forward and one backward.
//!
//! ```text
//! r = 1 / √(mean(x²) + ε)        y = x · r · w
//! ∂x = r · (w · ∂y − x · r² · mean(x · w · ∂y))        ∂w = Σ_rows ∂y · x · r
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

use crate::cpu::array::{dense, shape, tensor, values};
use crate::cpu::array::{rows_of_a_chunk, sum_in_order};
use crate::cpu::tape::{recall, register};
use crate::cpu::vector::{dot, vectorised};
use crate::timing::operation;

/// The operation on the CPU, on the gradient tape and off it. Every tensor is `f32`; [`crate::place`] sees to it.
#[backend_extension(Autodiff, Flex)]
pub(crate) trait RmsNormCpu: Backend {
    /// See [`crate::rms_norm()`].
    fn rms_norm(x: FloatTensor<Self>, weight: FloatTensor<Self>, epsilon: f64) -> FloatTensor<Self>;
}

impl RmsNormCpu for Flex {
    fn rms_norm(x: FlexTensor, weight: FlexTensor, epsilon: f64) -> FlexTensor {
        rms_norm_forward(&dense(x), &dense(weight), epsilon).0
    }
}

impl<C: CheckpointStrategy> RmsNormCpu for Autodiff<Flex, C> {
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
}

#[derive(Debug)]
struct RmsNormBackward;

impl Backward<Flex, 2> for RmsNormBackward {
    /// `x`, the weight, and each row's scale.
    type State = (NodeId, FlexTensor, Vec<f32>);

    fn backward(self, ops: Ops<Self::State, 2>, grads: &mut Gradients, checkpointer: &mut Checkpointer) {
        let _running = operation("norm");
        let [x_node, weight_node] = ops.parents.map(|parent| parent.map(|node| node.id));
        let (x, weight, scales) = ops.state;
        let dy = dense(grads.consume::<Flex>(&ops.node));
        let x = recall(checkpointer, x);
        let (dx, d_weight) = backward(values(&x), values(&weight), &scales, values(&dy));
        register(grads, x_node, dx, shape(&x));
        register(grads, weight_node, d_weight, shape(&weight));
    }
}

/// The normed rows, and each row's scale.
fn rms_norm_forward(x: &FlexTensor, weight: &FlexTensor, epsilon: f64) -> (FlexTensor, Vec<f32>) {
    let _running = operation("norm");
    let (y, scales) = forward(values(x), values(weight), epsilon as f32);
    (tensor(y, shape(x)), scales)
}

/// `r` of one row.
#[inline(always)]
pub(crate) fn row_scale(x: &[f32], epsilon: f32) -> f32 {
    1.0 / (dot(x, x) / x.len() as f32 + epsilon).sqrt()
}

/// `y = x · r · w` of one row.
#[inline(always)]
pub(crate) fn row_forward(y: &mut [f32], x: &[f32], weight: &[f32], r: f32) {
    for ((y, &x), &w) in y.iter_mut().zip(x).zip(weight) {
        *y = x * r * w;
    }
}

/// The gradient of one row of `x`, and its part of the weight's, which is added to `d_weight`.
#[inline(always)]
pub(crate) fn row_backward(dx: &mut [f32], x: &[f32], dy: &[f32], (weight, r): (&[f32], f32), d_weight: &mut [f32]) {
    // dx holds w · ∂y until the row's mean is known.
    for (((dx, d_weight), (&x, &dy)), &w) in dx.iter_mut().zip(d_weight).zip(x.iter().zip(dy)).zip(weight) {
        *dx = dy * w;
        *d_weight += dy * x * r;
    }
    let mean = dot(dx, x) / x.len() as f32 * r * r;
    for (dx, &x) in dx.iter_mut().zip(x) {
        *dx = r * (*dx - x * mean);
    }
}

/// The normed rows of `x`, and each row's `r`.
pub(crate) fn forward(x: &[f32], weight: &[f32], epsilon: f32) -> (Vec<f32>, Vec<f32>) {
    let width = weight.len();
    let rows = rows_of_a_chunk(width);
    let mut y = vec![0.0; x.len()];
    let mut scales = vec![0.0; x.len() / width];
    let chunks = y.par_chunks_mut(rows * width).zip(x.par_chunks(rows * width)).zip(scales.par_chunks_mut(rows));
    chunks.for_each(|((y, x), scales)| {
        vectorised(
            #[inline(always)]
            || {
                for ((y, x), scale) in y.chunks_exact_mut(width).zip(x.chunks_exact(width)).zip(scales) {
                    *scale = row_scale(x, epsilon);
                    row_forward(y, x, weight, *scale);
                }
            },
        );
    });
    (y, scales)
}

/// Gradients of `x` and of the weight.
pub(crate) fn backward(x: &[f32], weight: &[f32], scales: &[f32], dy: &[f32]) -> (Vec<f32>, Vec<f32>) {
    let width = weight.len();
    let rows = rows_of_a_chunk(width);
    let mut dx = vec![0.0; x.len()];
    let chunks = dx.par_chunks_mut(rows * width).zip(x.par_chunks(rows * width));
    let chunks = chunks.zip(dy.par_chunks(rows * width)).zip(scales.par_chunks(rows));
    let parts: Vec<Vec<f32>> = chunks
        .map(|(((dx, x), dy), scales)| {
            let mut dw = vec![0.0; width];
            vectorised(
                #[inline(always)]
                || {
                    let rows = dx.chunks_exact_mut(width).zip(x.chunks_exact(width)).zip(dy.chunks_exact(width));
                    for (((dx, x), dy), &r) in rows.zip(scales) {
                        row_backward(dx, x, dy, (weight, r), &mut dw);
                    }
                },
            );
            dw
        })
        .collect();
    (dx, sum_in_order(parts, width))
}
