//! Group norm, and SiLU behind it, in one pass forward and one backward over each group.
//!
//! ```text
//! r = 1 / √(var(x) + ε)      n = (x − mean(x)) · r      z = n · w + b      y = z  or  z · σ(z)
//! ∂x = r · (w ∂z − mean(w ∂z) − n · mean(w ∂z · n))     ∂w = Σ ∂z · n      ∂b = Σ ∂z
//! ```
//!
//! A group's values lie side by side: the channels of a group follow one another, and so do their planes.

use burn::backend::autodiff::NodeId;
use burn::backend::autodiff::checkpoint::base::Checkpointer;
use burn::backend::autodiff::checkpoint::strategy::CheckpointStrategy;
use burn::backend::autodiff::grads::Gradients;
use burn::backend::autodiff::ops::{Backward, Ops, OpsKind};
use burn::backend::flex::FlexTensor;
use burn::backend::tensor::FloatTensor;
use burn::backend::{Autodiff, Backend, Flex, backend_extension};
use rayon::prelude::*;

use super::GroupNormSteps;
use crate::cpu::array::sum_in_order;
use crate::cpu::array::{dense, shape, tensor, values};
use crate::cpu::tape::{recall, register};
use crate::cpu::vector::{dot, exp, sum, sum_with, vectorised};
use crate::timing::operation;

/// The operation on the CPU, on the gradient tape and off it. Every tensor is `f32`; [`crate::place`] sees to it.
#[backend_extension(Autodiff, Flex)]
pub(crate) trait GroupNormCpu: Backend {
    /// See [`crate::group_norm()`].
    fn group_norm(
        x: FloatTensor<Self>,
        weight: FloatTensor<Self>,
        bias: FloatTensor<Self>,
        steps: GroupNormSteps,
    ) -> FloatTensor<Self>;
}

impl GroupNormCpu for Flex {
    fn group_norm(x: FlexTensor, weight: FlexTensor, bias: FlexTensor, steps: GroupNormSteps) -> FlexTensor {
        group_norm_forward(&dense(x), &dense(weight), &dense(bias), steps).0
    }
}

impl<C: CheckpointStrategy> GroupNormCpu for Autodiff<Flex, C> {
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
}

#[derive(Debug)]
struct GroupNormBackward;

impl Backward<Flex, 3> for GroupNormBackward {
    /// `x`, weight and bias, the moments of every group, and how the norm is taken.
    type State = (NodeId, [FlexTensor; 2], Vec<Moments>, GroupNormSteps);

    fn backward(self, ops: Ops<Self::State, 3>, grads: &mut Gradients, checkpointer: &mut Checkpointer) {
        let _running = operation("group norm");
        let nodes = ops.parents.map(|parent| parent.map(|node| node.id));
        let (x, [weight, bias], moments, steps) = ops.state;
        let dy = dense(grads.consume::<Flex>(&ops.node));
        let x = recall(checkpointer, x);
        let kept = Kept { x: values(&x), weight: values(&weight), bias: values(&bias), moments: &moments };
        let gradients = backward(kept, values(&dy), groups_of(&x, steps));
        let shapes = [shape(&x), shape(&weight), shape(&bias)];
        for ((node, gradient), shape) in nodes.into_iter().zip(gradients).zip(shapes) {
            register(grads, node, gradient, shape);
        }
    }
}

fn groups_of(x: &FlexTensor, steps: GroupNormSteps) -> Groups {
    let x = shape(x);
    let (plane, epsilon) = (x[2] * x[3], steps.epsilon as f32);
    Groups { channels: x[1], groups: steps.groups, plane, epsilon, silu: steps.silu }
}

fn group_norm_forward(
    x: &FlexTensor,
    weight: &FlexTensor,
    bias: &FlexTensor,
    steps: GroupNormSteps,
) -> (FlexTensor, Vec<Moments>) {
    let _running = operation("group norm");
    let (y, moments) = forward(values(x), values(weight), values(bias), groups_of(x, steps));
    (tensor(y, shape(x)), moments)
}

/// The lengths of all axes, and what follows the norm.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Groups {
    pub(crate) channels: usize,
    pub(crate) groups: usize,
    /// Values of a channel of one image.
    pub(crate) plane: usize,
    pub(crate) epsilon: f32,
    pub(crate) silu: bool,
}

/// Mean and `r` of a group.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Moments {
    mean: f32,
    r: f32,
}

impl Groups {
    /// Channels of a group.
    fn width(&self) -> usize {
        self.channels / self.groups
    }

    /// Values of a group of one image.
    fn size(&self) -> usize {
        (self.width() * self.plane).max(1)
    }

    /// The channels of group `index`, counted over all images.
    fn channels_of(&self, index: usize) -> std::ops::Range<usize> {
        let first = index % self.groups * self.width();
        first..first + self.width()
    }
}

#[inline(always)]
fn moments(x: &[f32], epsilon: f32) -> Moments {
    let count = x.len() as f32;
    let mean = sum(x) / count;
    let variance = sum_with(x, x, |a, b| (a - mean) * (b - mean)) / count;
    Moments { mean, r: 1.0 / (variance + epsilon).sqrt() }
}

#[inline(always)]
fn sigmoid(z: f32) -> f32 {
    1.0 / (1.0 + exp(-z))
}

/// The output, and the moments of every group.
pub(crate) fn forward(x: &[f32], weight: &[f32], bias: &[f32], groups: Groups) -> (Vec<f32>, Vec<Moments>) {
    let size = groups.size();
    let mut y = vec![0.0; x.len()];
    let mut all = vec![Moments::default(); x.len() / size];
    let work = y.par_chunks_exact_mut(size).zip(x.par_chunks_exact(size)).zip(&mut all).enumerate();
    work.for_each(|(index, ((y, x), found))| {
        vectorised(
            #[inline(always)]
            || {
                *found = moments(x, groups.epsilon);
                let planes = y.chunks_exact_mut(groups.plane).zip(x.chunks_exact(groups.plane));
                for ((y, x), channel) in planes.zip(groups.channels_of(index)) {
                    // n · w + b as one line in x.
                    let slope = found.r * weight[channel];
                    let offset = bias[channel] - found.mean * slope;
                    for (y, &x) in y.iter_mut().zip(x) {
                        *y = x * slope + offset;
                    }
                    if groups.silu {
                        for y in y {
                            *y *= sigmoid(*y);
                        }
                    }
                }
            },
        );
    });
    (y, all)
}

/// What backward needs of the forward pass.
#[derive(Clone, Copy)]
pub(crate) struct Kept<'a> {
    pub(crate) x: &'a [f32],
    pub(crate) weight: &'a [f32],
    pub(crate) bias: &'a [f32],
    pub(crate) moments: &'a [Moments],
}

/// Gradients of `x`, of the weight and of the bias.
pub(crate) fn backward(kept: Kept<'_>, dy: &[f32], groups: Groups) -> [Vec<f32>; 3] {
    let size = groups.size();
    let mut dx = vec![0.0; dy.len()];
    let work = dx.par_chunks_exact_mut(size).zip(kept.x.par_chunks_exact(size)).zip(dy.par_chunks_exact(size));
    let sums: Vec<Vec<[f32; 2]>> = work
        .enumerate()
        .map(|(index, ((dx, x), dy))| {
            let channels = groups.channels_of(index);
            let Moments { mean, r } = kept.moments[index];
            vectorised(
                #[inline(always)]
                || group_backward(dx, (x, dy), (mean, r), channels.map(|c| (kept.weight[c], kept.bias[c])), groups),
            )
        })
        .collect();
    // By image, in order: the sums do not depend on which was ready first.
    let by_image = |which: usize| -> Vec<f32> {
        let images = sums.chunks(groups.groups);
        let parts = images.map(|groups| groups.iter().flatten().map(|sums| sums[which]).collect());
        sum_in_order(parts.collect(), groups.channels)
    };
    let (d_weight, d_bias) = (by_image(0), by_image(1));
    [dx, d_weight, d_bias]
}

/// The gradient of a group's values; returns `∂w` and `∂b` of its channels.
#[inline(always)]
fn group_backward(
    dx: &mut [f32],
    (x, dy): (&[f32], &[f32]),
    (mean, r): (f32, f32),
    channels: impl Iterator<Item = (f32, f32)>,
    groups: Groups,
) -> Vec<[f32; 2]> {
    let plane = groups.plane;
    let mut sums = Vec::with_capacity(groups.width());
    let (mut along_mean, mut along_norm) = (0.0, 0.0);
    let planes = dx.chunks_exact_mut(plane).zip(x.chunks_exact(plane)).zip(dy.chunks_exact(plane));
    for (((dx, x), dy), (weight, bias)) in planes.zip(channels) {
        // dx holds ∂z until the group's means are known.
        if groups.silu {
            for ((dz, &x), &dy) in dx.iter_mut().zip(x).zip(dy) {
                let z = (x - mean) * r * weight + bias;
                let s = sigmoid(z);
                *dz = dy * s * (1.0 + z * (1.0 - s));
            }
        } else {
            dx.copy_from_slice(dy);
        }
        let d_bias = sum(dx);
        let d_weight = (dot(dx, x) - mean * d_bias) * r;
        sums.push([d_weight, d_bias]);
        along_mean += d_bias * weight;
        along_norm += d_weight * weight;
        dx.iter_mut().for_each(|dz| *dz *= weight);
    }
    let count = x.len() as f32;
    let (along_mean, along_norm) = (along_mean / count, along_norm / count);
    for (dx, &x) in dx.iter_mut().zip(x) {
        *dx = r * (*dx - along_mean - (x - mean) * r * along_norm);
    }
    sums
}
