//! The classifier's network: two strided convolutions, a layer of features, a layer of classes.
//!
//! Shapes: B images, C channels, H x W pixels, K classes; h x w = ⌈H/4⌉ x ⌈W/4⌉.
//!
//! ```text
//! [B, C, H, W] ─ 5x5, stride 2, ReLU ─► [B, 2h+1, 2w+1, 32] ─ 3x3, stride 2, ReLU ─► [B, h, w, 64]
//!              ─ dense, ReLU ─► features [B, 64] ─ dense ─► logits [B, K]
//! ```
//!
//! Strides do the pooling, because convolutions at full size would make up nearly all of the training time on a CPU. Each
//! convolution is a matrix product over the patches under its kernel: the first layer's patches are cut on the host, where
//! no gradient is asked of them; the second's are rows of the first's output, selected by indices made on the host. This
//! trains twice as fast as the framework's convolution.

use burn::tensor::{Device, Tensor, TensorData, activation::relu};
use ndarray::ArrayView4;
use rand::{Rng, RngExt as _};
use serde::{Deserialize, Serialize};

/// Values in the feature vector of an image.
pub(super) const FEATURES: usize = 64;

const CHANNELS_1: usize = 32;
const CHANNELS_2: usize = 64;
const KERNEL_1: usize = 5;
const KERNEL_2: usize = 3;
/// Of both convolutions.
const STRIDE: usize = 2;

/// The images that a network takes and the classes it knows.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Shape {
    pub(super) channels: usize,
    pub(super) height: usize,
    pub(super) width: usize,
    pub(super) classes: usize,
}

/// One weight of the network: all are matrices, so that an optimizer or a file can treat them alike.
pub(super) struct Parameter {
    pub(super) name: &'static str,
    pub(super) dims: [usize; 2],
    /// How many values each output is a sum of; 0 for a bias.
    fan_in: usize,
}

impl Shape {
    /// The weights, in the order in which [`Network`] keeps them.
    pub(super) fn parameters(&self) -> [Parameter; 8] {
        let flat = CHANNELS_2 * grid(self.height) * grid(self.width);
        let layer = |name, from, to| Parameter { name, dims: [from, to], fan_in: from };
        let bias = |name, size| Parameter { name, dims: [1, size], fan_in: 0 };
        [
            layer("conv_1.weight", self.channels * KERNEL_1 * KERNEL_1, CHANNELS_1),
            bias("conv_1.bias", CHANNELS_1),
            layer("conv_2.weight", CHANNELS_1 * KERNEL_2 * KERNEL_2, CHANNELS_2),
            bias("conv_2.bias", CHANNELS_2),
            layer("features.weight", flat, FEATURES),
            bias("features.bias", FEATURES),
            layer("classes.weight", FEATURES, self.classes),
            bias("classes.bias", self.classes),
        ]
    }
}

/// Outputs of the second layer along a side of `size` pixels.
fn grid(size: usize) -> usize {
    size.div_ceil(STRIDE * STRIDE)
}

/// The weights.
#[derive(Debug, Clone)]
pub(super) struct Network {
    pub(super) shape: Shape,
    pub(super) weights: [Tensor<2>; 8],
}

/// What a network says of B images.
pub(super) struct Judgement {
    /// `[B, 64]`, none negative.
    pub(super) features: Tensor<2>,
    /// `[B, K]`
    pub(super) logits: Tensor<2>,
}

impl Network {
    /// Draws the weights on the host, uniform within ±√(6 / fan-in) (He et al. 2015), so that they are the same on any device.
    pub(super) fn new(shape: Shape, rng: &mut impl Rng, device: &Device) -> Self {
        let weights = shape.parameters().map(|Parameter { dims, fan_in, .. }| {
            let bound = if fan_in == 0 { 0.0 } else { (6.0 / fan_in as f32).sqrt() };
            let values: Vec<f32> = (0..dims[0] * dims[1]).map(|_| bound * (2.0 * rng.random::<f32>() - 1.0)).collect();
            Tensor::from_data(TensorData::new(values, dims), device)
        });
        Self { shape, weights }
    }

    /// # Shapes
    /// - `images`: `[B, C, H, W]`, of this network's `Shape`
    pub(super) fn forward(&self, images: ArrayView4<'_, f32>, device: &Device) -> Judgement {
        let [conv_1, bias_1, conv_2, bias_2, to_features, features_bias, to_classes, classes_bias] =
            self.weights.clone();
        let batch = images.shape()[0];
        let (height, width) = (grid(self.shape.height), grid(self.shape.width));

        let x = relu(patches(images, [height, width], device).matmul(conv_1) + bias_1);
        let rows = Tensor::from_data(patch_rows(batch, [height, width]), device);
        let x = x.select(0, rows).reshape([batch * height * width, KERNEL_2 * KERNEL_2 * CHANNELS_1]);
        let x = relu(x.matmul(conv_2) + bias_2).reshape([batch, height * width * CHANNELS_2]);

        let features = relu(x.matmul(to_features) + features_bias);
        let logits = features.clone().matmul(to_classes) + classes_bias;
        Judgement { features, logits }
    }
}

/// The patches under the first layer's kernel, one a row: `[B · (2h+1) · (2w+1), C · 5 · 5]`.
///
/// Beyond its edge an image goes on in the colour of the edge.
fn patches(images: ArrayView4<'_, f32>, [height, width]: [usize; 2], device: &Device) -> Tensor<2> {
    let (batch, channels, image_height, image_width) = images.dim();
    let (rows, columns) = (2 * height + 1, 2 * width + 1);
    let (ys, xs) = (covered(rows, image_height), covered(columns, image_width));
    let mut values = Vec::with_capacity(batch * rows * columns * channels * KERNEL_1 * KERNEL_1);
    for image in images.outer_iter() {
        for (row, column) in (0..rows).flat_map(|row| (0..columns).map(move |column| (row, column))) {
            for channel in image.outer_iter() {
                for &y in &ys[STRIDE * row..][..KERNEL_1] {
                    values.extend(xs[STRIDE * column..][..KERNEL_1].iter().map(|&x| channel[[y, x]]));
                }
            }
        }
    }
    let dims = [batch * rows * columns, channels * KERNEL_1 * KERNEL_1];
    Tensor::from_data(TensorData::new(values, dims), device)
}

/// The pixels along one side of an image that `outputs` kernels of the first layer cover, those outside moved to the edge.
fn covered(outputs: usize, size: usize) -> Vec<usize> {
    let all = STRIDE * (outputs - 1) + KERNEL_1;
    let before = (all - size) / 2;
    (0..all).map(|place| place.saturating_sub(before).min(size - 1)).collect()
}

/// Which rows of the first layer's output lie under the second layer's kernel, patch after patch: `[B · h · w · 3 · 3]`.
fn patch_rows(batch: usize, [height, width]: [usize; 2]) -> TensorData {
    let (rows, columns) = (2 * height + 1, 2 * width + 1);
    let mut indices = Vec::with_capacity(batch * height * width * KERNEL_2 * KERNEL_2);
    for image in 0..batch {
        for (y, x) in (0..height).flat_map(|y| (0..width).map(move |x| (y, x))) {
            for (dy, dx) in (0..KERNEL_2).flat_map(|dy| (0..KERNEL_2).map(move |dx| (dy, dx))) {
                indices.push(((image * rows + STRIDE * y + dy) * columns + STRIDE * x + dx) as i64);
            }
        }
    }
    let count = indices.len();
    TensorData::new(indices, [count])
}
