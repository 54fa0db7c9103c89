//! Rotary embedding in one pass, alone or of heads that are normed first; backward rotates by the negative angles.
//!
//! ```text
//! y = rotate(n)        n = x · r · w        r = 1 / √(mean(x²) + ε)        ∂n = rotate⁻¹(∂y)
//! ```
//!
//! The norm's gradient is that of `rms_norm`, over the width of a head.

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
use crate::cpu::vector::vectorised;
use crate::rms_norm::cpu::{row_backward, row_forward, row_scale};
use crate::timing::operation;

/// The operation on the CPU, on the gradient tape and off it. Every tensor is `f32`; [`crate::place`] sees to it.
#[backend_extension(Autodiff, Flex)]
pub(crate) trait RopeCpu: Backend {
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
}

impl RopeCpu for Flex {
    fn rotate(x: FlexTensor, cos: FlexTensor, sin: FlexTensor) -> FlexTensor {
        rotate_by(&dense(x), &dense(cos), &dense(sin), 1.0)
    }

    fn norm_rotate(x: FlexTensor, weight: FlexTensor, cos: FlexTensor, sin: FlexTensor, epsilon: f64) -> FlexTensor {
        norm_rotate_forward(&dense(x), &dense(weight), [&dense(cos), &dense(sin)], epsilon)
    }
}

impl<C: CheckpointStrategy> RopeCpu for Autodiff<Flex, C> {
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
}

#[derive(Debug)]
struct RotateBackward;

impl Backward<Flex, 1> for RotateBackward {
    /// Cosines and sines.
    type State = (FlexTensor, FlexTensor);

    fn backward(self, ops: Ops<Self::State, 1>, grads: &mut Gradients, _: &mut Checkpointer) {
        let _running = operation("rotary positions");
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
        let _running = operation("rotary positions");
        let [x_node, weight_node] = ops.parents.map(|parent| parent.map(|node| node.id));
        let (x, weight, [cos, sin], epsilon) = ops.state;
        let dy = dense(grads.consume::<Flex>(&ops.node));
        let x = recall(checkpointer, x);
        let (norm, angles) = (head_norm(&weight, epsilon), angles(&x, [&cos, &sin]));
        let (dx, d_weight) = rotate_normed_backward(values(&x), norm, angles, values(&dy));
        register(grads, x_node, dx, shape(&x));
        register(grads, weight_node, d_weight, shape(&weight));
    }
}

fn rotate_by(x: &FlexTensor, cos: &FlexTensor, sin: &FlexTensor, direction: f32) -> FlexTensor {
    let _running = operation("rotary positions");
    tensor(rotate_rows(values(x), angles(x, [cos, sin]), direction), shape(x))
}

fn norm_rotate_forward(x: &FlexTensor, weight: &FlexTensor, cos_sin: [&FlexTensor; 2], epsilon: f64) -> FlexTensor {
    let _running = operation("rotary positions");
    tensor(rotate_normed(values(x), head_norm(weight, epsilon), angles(x, cos_sin)), shape(x))
}

/// The angles of `x`, `[B, S, H, Dh]`.
fn angles<'a>(x: &FlexTensor, [cos, sin]: [&'a FlexTensor; 2]) -> Angles<'a> {
    let x = shape(x);
    Angles { cos: values(cos), sin: values(sin), heads: x[2], half: x[3] / 2 }
}

fn head_norm(weight: &FlexTensor, epsilon: f64) -> HeadNorm<'_> {
    HeadNorm { weight: values(weight), epsilon: epsilon as f32 }
}

/// Cosines and sines of every row, `[rows, half]` each, for rows of `heads` heads of `2 · half` channels.
#[derive(Clone, Copy)]
pub(crate) struct Angles<'a> {
    pub(crate) cos: &'a [f32],
    pub(crate) sin: &'a [f32],
    pub(crate) heads: usize,
    pub(crate) half: usize,
}

impl Angles<'_> {
    fn width(&self) -> usize {
        self.heads * 2 * self.half
    }

    /// Rows of a chunk.
    fn rows(&self) -> usize {
        rows_of_a_chunk(self.width())
    }

    /// The angles of chunk `index`, row by row.
    #[inline(always)]
    fn of_chunk(&self, index: usize) -> impl Iterator<Item = (&[f32], &[f32])> {
        let start = (index * self.rows() * self.half).min(self.cos.len());
        self.cos[start..].chunks_exact(self.half).zip(self.sin[start..].chunks_exact(self.half))
    }
}

/// The norm of a head: its weight `[2 · half]` and ε.
#[derive(Clone, Copy)]
pub(crate) struct HeadNorm<'a> {
    pub(crate) weight: &'a [f32],
    pub(crate) epsilon: f32,
}

/// Turns every head of every row by the row's angles times `direction`, 1 or −1.
///
/// # Shapes
/// - `x`: `[rows, heads, 2 · half]`
pub(crate) fn rotate_rows(x: &[f32], angles: Angles<'_>, direction: f32) -> Vec<f32> {
    map_heads(
        x,
        angles,
        #[inline(always)]
        |y, x, (cos, sin), _| turn_head(y, x, cos, sin, direction),
    )
}

/// Norms every head and turns it.
pub(crate) fn rotate_normed(x: &[f32], norm: HeadNorm<'_>, angles: Angles<'_>) -> Vec<f32> {
    map_heads(
        x,
        angles,
        #[inline(always)]
        |y, x, (cos, sin), normed| {
            row_forward(normed, x, norm.weight, row_scale(x, norm.epsilon));
            turn_head(y, normed, cos, sin, 1.0);
        },
    )
}

/// Applies `f(y, x, angles, scratch)` to every head; all but the angles have a head's width.
fn map_heads(
    x: &[f32],
    angles: Angles<'_>,
    f: impl Fn(&mut [f32], &[f32], (&[f32], &[f32]), &mut [f32]) + Sync,
) -> Vec<f32> {
    let (width, head) = (angles.width(), 2 * angles.half);
    let mut y = vec![0.0; x.len()];
    let chunks = y.par_chunks_mut(angles.rows() * width).zip(x.par_chunks(angles.rows() * width));
    chunks.enumerate().for_each(|(index, (y, x))| {
        let mut scratch = vec![0.0; head];
        vectorised(
            #[inline(always)]
            || {
                let rows = y.chunks_exact_mut(width).zip(x.chunks_exact(width)).zip(angles.of_chunk(index));
                for ((y, x), angles) in rows {
                    for (y, x) in y.chunks_exact_mut(head).zip(x.chunks_exact(head)) {
                        f(y, x, angles, &mut scratch);
                    }
                }
            },
        );
    });
    y
}

/// Gradients of `x` and of the norm's weight.
pub(crate) fn rotate_normed_backward(
    x: &[f32],
    norm: HeadNorm<'_>,
    angles: Angles<'_>,
    dy: &[f32],
) -> (Vec<f32>, Vec<f32>) {
    let (width, head) = (angles.width(), 2 * angles.half);
    let mut dx = vec![0.0; x.len()];
    let size = angles.rows() * width;
    let chunks = dx.par_chunks_mut(size).zip(x.par_chunks(size)).zip(dy.par_chunks(size)).enumerate();
    let parts: Vec<Vec<f32>> = chunks
        .map(|(index, ((dx, x), dy))| {
            let (mut d_weight, mut d_normed) = (vec![0.0; head], vec![0.0; head]);
            vectorised(
                #[inline(always)]
                || {
                    let rows = dx.chunks_exact_mut(width).zip(x.chunks_exact(width)).zip(dy.chunks_exact(width));
                    for (((dx, x), dy), (cos, sin)) in rows.zip(angles.of_chunk(index)) {
                        let heads = dx.chunks_exact_mut(head).zip(x.chunks_exact(head)).zip(dy.chunks_exact(head));
                        for ((dx, x), dy) in heads {
                            turn_head(&mut d_normed, dy, cos, sin, -1.0);
                            let r = row_scale(x, norm.epsilon);
                            row_backward(dx, x, &d_normed, (norm.weight, r), &mut d_weight);
                        }
                    }
                },
            );
            d_weight
        })
        .collect();
    (dx, sum_in_order(parts, head))
}

#[inline(always)]
fn turn_head(y: &mut [f32], x: &[f32], cos: &[f32], sin: &[f32], direction: f32) {
    let half = cos.len();
    let ((y_first, y_second), (x_first, x_second)) = (y.split_at_mut(half), x.split_at(half));
    let points = y_first.iter_mut().zip(y_second).zip(x_first.iter().zip(x_second));
    for (((y_first, y_second), (&a, &b)), (&cos, &sin)) in points.zip(cos.iter().zip(sin)) {
        let sin = sin * direction;
        *y_first = a * cos - b * sin;
        *y_second = b * cos + a * sin;
    }
}
