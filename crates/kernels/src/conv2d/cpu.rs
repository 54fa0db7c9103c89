//! Convolution as matrix products over columns of patches, a few rows of the output at a time.
//!
//! Dimensions: `B` batch, `I` input channels, `O` output channels, `h × w` kernel, `H × W` input, `H' × W'` output.
//!
//! ```text
//! y[o, p]  = Σ_(i,ky,kx) weight[o, (i,ky,kx)] · columns(x)[(i,ky,kx), p]
//! ∂x[i, p] = Σ_(o,ky,kx) weight[o, i, ky, kx] · contributors(∂y)[(o,ky,kx), p]
//! ∂weight  = Σ_b ∂y · columns(x)ᵀ
//! ```

use burn::backend::autodiff::NodeId;
use burn::backend::autodiff::checkpoint::base::Checkpointer;
use burn::backend::autodiff::checkpoint::strategy::CheckpointStrategy;
use burn::backend::autodiff::grads::Gradients;
use burn::backend::autodiff::ops::{Backward, Ops, OpsKind};
use burn::backend::flex::FlexTensor;
use burn::backend::tensor::FloatTensor;
use burn::backend::{Autodiff, Backend, Flex, backend_extension};
use faer::MatMut;
use rayon::prelude::*;

use super::ConvSteps;
use crate::cpu::array::sum_in_order;
use crate::cpu::array::{dense, shape, tensor, values};
use crate::cpu::matmul::{Arithmetic, Into, multiply, view, view_mut};
use crate::cpu::tape::{recall, register};
use crate::timing::operation;

/// The operation on the CPU, on the gradient tape and off it. Every tensor is `f32`; [`crate::place`] sees to it.
#[backend_extension(Autodiff, Flex)]
pub(crate) trait Conv2dCpu: Backend {
    /// See [`crate::conv2d()`].
    fn conv2d(
        x: FloatTensor<Self>,
        weight: FloatTensor<Self>,
        bias: FloatTensor<Self>,
        steps: ConvSteps,
        arithmetic: Arithmetic,
    ) -> FloatTensor<Self>;
}

impl Conv2dCpu for Flex {
    fn conv2d(
        x: FlexTensor,
        weight: FlexTensor,
        bias: FlexTensor,
        steps: ConvSteps,
        arithmetic: Arithmetic,
    ) -> FlexTensor {
        conv2d_forward([&dense(x), &dense(weight), &dense(bias)], steps, arithmetic)
    }
}

impl<C: CheckpointStrategy> Conv2dCpu for Autodiff<Flex, C> {
    fn conv2d(
        x: FloatTensor<Self>,
        weight: FloatTensor<Self>,
        bias: FloatTensor<Self>,
        steps: ConvSteps,
        arithmetic: Arithmetic,
    ) -> FloatTensor<Self> {
        match Conv2dBackward.prepare::<C>([x.node(), weight.node(), bias.node()]).compute_bound().stateful() {
            OpsKind::Tracked(mut prep) => {
                let kept = (prep.checkpoint(&x), prep.checkpoint(&weight), steps, arithmetic);
                let [x, weight, bias] = [x, weight, bias].map(|x| dense(x.into_primitive()));
                prep.finish(kept, conv2d_forward([&x, &weight, &bias], steps, arithmetic))
            }
            OpsKind::UnTracked(prep) => {
                let [x, weight, bias] = [x, weight, bias].map(|x| x.into_primitive());
                prep.finish(Flex::conv2d(x, weight, bias, steps, arithmetic))
            }
        }
    }
}

#[derive(Debug)]
struct Conv2dBackward;

impl Backward<Flex, 3> for Conv2dBackward {
    /// `x`, the weight, how the kernel moves, and what products are computed in.
    type State = (NodeId, NodeId, ConvSteps, Arithmetic);

    fn backward(self, ops: Ops<Self::State, 3>, grads: &mut Gradients, checkpointer: &mut Checkpointer) {
        let _running = operation("convolution");
        let [x_node, weight_node, bias_node] = ops.parents.map(|parent| parent.map(|node| node.id));
        let (x, weight, steps, arithmetic) = ops.state;
        let dy = dense(grads.consume::<Flex>(&ops.node));
        let (x, weight) = (recall(checkpointer, x), recall(checkpointer, weight));
        let geometry = conv2d_geometry(&x, &weight, steps, arithmetic);
        if x_node.is_some() {
            let dx = backward_input(values(&dy), values(&weight), geometry);
            register(grads, x_node, dx, shape(&x));
        }
        if weight_node.is_some() {
            let d_weight = backward_weight(values(&x), values(&dy), geometry);
            register(grads, weight_node, d_weight, shape(&weight));
        }
        if bias_node.is_some() {
            let outputs = geometry.channels[1];
            register(grads, bias_node, backward_bias(values(&dy), geometry), vec![outputs]);
        }
    }
}

fn conv2d_geometry(x: &FlexTensor, weight: &FlexTensor, steps: ConvSteps, arithmetic: Arithmetic) -> Geometry {
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
        arithmetic,
    }
}

fn conv2d_forward([x, weight, bias]: [&FlexTensor; 3], steps: ConvSteps, arithmetic: Arithmetic) -> FlexTensor {
    let _running = operation("convolution");
    let geometry = conv2d_geometry(x, weight, steps, arithmetic);
    let y = forward(values(x), values(weight), values(bias), geometry);
    tensor(y, [geometry.batch, geometry.channels[1], geometry.output[0], geometry.output[1]])
}

/// Positions of a tile: its columns stay in the second-level cache.
const POSITIONS: usize = 512;

/// The lengths of all axes.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Geometry {
    pub(crate) batch: usize,
    pub(crate) channels: [usize; 2],
    pub(crate) kernel: [usize; 2],
    pub(crate) input: [usize; 2],
    pub(crate) output: [usize; 2],
    pub(crate) stride: usize,
    /// Zeros before the first pixel of each axis.
    pub(crate) padding: [usize; 2],
    /// What products are computed in.
    pub(crate) arithmetic: Arithmetic,
}

impl Geometry {
    fn kernel_size(&self) -> usize {
        self.kernel[0] * self.kernel[1]
    }

    /// Where tap `tap` of the kernel at output position `out` reads along one axis, if that is inside the input.
    fn source(&self, axis: usize, out: usize, tap: usize) -> Option<usize> {
        (out * self.stride + tap).checked_sub(self.padding[axis]).filter(|&place| place < self.input[axis])
    }

    /// What every output position reads of the input `x`, `[I, H, W]`.
    fn patches<'a>(&'a self, x: &'a [f32]) -> Columns<'a, impl Fn(usize, usize, usize) -> Option<usize>> {
        let place = |axis, out, tap| self.source(axis, out, tap);
        let (channels, width) = (self.channels[0], self.output[1]);
        Columns { planes: x, channels, kernel: self.kernel, size: self.input, width, place }
    }

    /// Which output position reads input position `place` by tap `tap` along one axis, if any does.
    fn reader(&self, axis: usize, place: usize, tap: usize) -> Option<usize> {
        let offset = (place + self.padding[axis]).checked_sub(tap)?;
        (offset % self.stride == 0).then_some(offset / self.stride).filter(|&out| out < self.output[axis])
    }
}

/// The elements of planes `[channels, height, width]` that each position of a tile has to do with: one line for each channel
/// and tap, one column for each position.
struct Columns<'a, F: Fn(usize, usize, usize) -> Option<usize>> {
    planes: &'a [f32],
    channels: usize,
    kernel: [usize; 2],
    size: [usize; 2],
    /// Width of the grid of positions.
    width: usize,
    /// (axis, position, tap) → place in the planes.
    place: F,
}

impl<F: Fn(usize, usize, usize) -> Option<usize>> Columns<'_, F> {
    /// Fills `columns`, `[channels · taps, rows · width]`, for whole rows of positions from row `first` on.
    fn fill(&self, columns: &mut [f32], first: usize) {
        let [kernel_height, kernel_width] = self.kernel;
        let [height, width] = self.size;
        let taps = kernel_height * kernel_width;
        let length = columns.len() / (self.channels * taps).max(1);
        // Places along a row are the same for all rows, channels and vertical taps.
        let across: Vec<Vec<Option<usize>>> =
            (0..kernel_width).map(|tap| (0..self.width).map(|x| (self.place)(1, x, tap)).collect()).collect();
        let runs: Vec<Option<(usize, usize, usize)>> = across.iter().map(|places| consecutive(places)).collect();
        for (line, values) in columns.chunks_exact_mut(length).enumerate() {
            let (channel, tap) = (line / taps, line % taps);
            let (tap_y, tap_x) = (tap / kernel_width, tap % kernel_width);
            let plane = &self.planes[channel * height * width..][..height * width];
            for (row, values) in values.chunks_exact_mut(self.width).enumerate() {
                let Some(y) = (self.place)(0, first + row, tap_y) else {
                    values.fill(0.0);
                    continue;
                };
                let source = &plane[y * width..][..width];
                match runs[tap_x] {
                    Some((from, to, place)) => {
                        values[..from].fill(0.0);
                        values[from..to].copy_from_slice(&source[place..place + to - from]);
                        values[to..].fill(0.0);
                    }
                    None => {
                        for (value, place) in values.iter_mut().zip(&across[tap_x]) {
                            *value = place.map_or(0.0, |place| source[place]);
                        }
                    }
                }
            }
        }
    }
}

/// If the places that there are follow one another without a gap: the first position that has one, one past the last, and the
/// first place.
fn consecutive(places: &[Option<usize>]) -> Option<(usize, usize, usize)> {
    let from = places.iter().position(Option::is_some)?;
    let first = places[from]?;
    let to = from + places[from..].iter().take_while(|place| place.is_some()).count();
    let in_step = (from..to).all(|index| places[index] == Some(first + index - from));
    (in_step && places[to..].iter().all(Option::is_none)).then_some((from, to, first))
}

/// Rows of positions in a tile.
fn rows_of_a_tile(width: usize) -> usize {
    POSITIONS.div_ceil(width.max(1))
}

/// `out[channels, positions] = weight · columns`, tile by tile, for one element of the batch.
fn correlate<F: Fn(usize, usize, usize) -> Option<usize> + Sync>(
    out: &mut [f32],
    channels: usize,
    weight: &[f32],
    (columns, arithmetic): (&Columns<'_, F>, Arithmetic),
) {
    let (positions, depth) = (out.len() / channels, weight.len() / channels);
    let rows = rows_of_a_tile(columns.width);
    let tiles = view_mut(out, channels, positions, positions).par_col_chunks_mut(rows * columns.width);
    tiles.enumerate().for_each(|(index, tile): (usize, MatMut<'_, f32>)| {
        let length = tile.ncols();
        let mut patches = vec![0.0; depth * length];
        columns.fill(&mut patches, index * rows);
        let (weight, patches) = (view(weight, channels, depth, depth), view(&patches, depth, length, length));
        multiply(arithmetic, tile, Into::Replaced, weight, patches, 1.0);
    });
}

/// `x`: `[B, I, H, W]`, `weight`: `[O, I, h, w]`, `bias`: `[O]`; returns `[B, O, H', W']`.
pub(crate) fn forward(x: &[f32], weight: &[f32], bias: &[f32], geometry: Geometry) -> Vec<f32> {
    let Geometry { batch, channels: [inputs, outputs], input, output, .. } = geometry;
    let (input_size, output_size) = (inputs * input[0] * input[1], outputs * output[0] * output[1]);
    let mut y = vec![0.0; batch * output_size];
    if y.is_empty() {
        return y;
    }
    y.par_chunks_mut(output_size).zip(x.par_chunks(input_size)).for_each(|(y, x)| {
        correlate(y, outputs, weight, (&geometry.patches(x), geometry.arithmetic));
        for (plane, &bias) in y.chunks_exact_mut(output[0] * output[1]).zip(bias) {
            plane.iter_mut().for_each(|y| *y += bias);
        }
    });
    y
}

/// The gradient of the input. `[B, I, H, W]`
pub(crate) fn backward_input(dy: &[f32], weight: &[f32], geometry: Geometry) -> Vec<f32> {
    let Geometry { batch, channels: [inputs, outputs], kernel, input, output, .. } = geometry;
    let (input_size, output_size) = (inputs * input[0] * input[1], outputs * output[0] * output[1]);
    let taps = geometry.kernel_size();
    // `[O, I, taps]` → `[I, O, taps]`
    let mut turned = vec![0.0; weight.len()];
    for (index, weights) in weight.chunks_exact(taps).enumerate() {
        let (o, i) = (index / inputs, index % inputs);
        turned[(i * outputs + o) * taps..][..taps].copy_from_slice(weights);
    }
    let mut dx = vec![0.0; batch * input_size];
    if dx.is_empty() {
        return dx;
    }
    dx.par_chunks_mut(input_size).zip(dy.par_chunks(output_size)).for_each(|(dx, dy)| {
        let place = |axis, place, tap| geometry.reader(axis, place, tap);
        let columns = Columns { planes: dy, channels: outputs, kernel, size: output, width: input[1], place };
        correlate(dx, inputs, &turned, (&columns, geometry.arithmetic));
    });
    dx
}

/// The gradient of the weight. `[O, I, h, w]`
pub(crate) fn backward_weight(x: &[f32], dy: &[f32], geometry: Geometry) -> Vec<f32> {
    let Geometry { channels: [inputs, outputs], input, output, .. } = geometry;
    let (input_size, positions) = (inputs * input[0] * input[1], output[0] * output[1]);
    let depth = inputs * geometry.kernel_size();
    let rows = rows_of_a_tile(output[1]);
    let parts: Vec<Vec<f32>> = x
        .par_chunks(input_size.max(1))
        .zip(dy.par_chunks((outputs * positions).max(1)))
        .map(|(x, dy)| {
            let columns = geometry.patches(x);
            let mut gradient = vec![0.0; outputs * depth];
            for first in (0..output[0]).step_by(rows) {
                let length = (output[0] - first).min(rows) * output[1];
                let mut patches = vec![0.0; depth * length];
                columns.fill(&mut patches, first);
                let dy = view(&dy[first * output[1]..], outputs, length, positions);
                let patches = view(&patches, depth, length, length).transpose();
                let gradient = view_mut(&mut gradient, outputs, depth, depth);
                multiply(geometry.arithmetic, gradient, Into::Added, dy, patches, 1.0);
            }
            gradient
        })
        .collect();
    sum_in_order(parts, outputs * depth)
}

/// The gradient of the bias. `[O]`
pub(crate) fn backward_bias(dy: &[f32], geometry: Geometry) -> Vec<f32> {
    let (outputs, positions) = (geometry.channels[1], geometry.output[0] * geometry.output[1]);
    let mut sums = vec![0.0f64; outputs];
    for (index, plane) in dy.chunks_exact(positions.max(1)).enumerate() {
        sums[index % outputs] += plane.iter().map(|&dy| f64::from(dy)).sum::<f64>();
    }
    sums.into_iter().map(|sum| sum as f32).collect()
}
