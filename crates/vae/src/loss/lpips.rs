//! LPIPS (Zhang et al., 1801.03924): the distance of two images in the features of VGG-16, weighed by learned heads.
//!
//! The weights are the user's: torchvision's `vgg16-397923af.pth` and the `vgg.pth` of the package `lpips` (version 0.1).
//!
//! ```text
//! d = Σ_l mean_(y,x) Σ_c w_lc (f̂_lc(a) − f̂_lc(b))²          f̂: a pixel's features at unit length          (equation 1)
//! ```

use std::path::Path;

use burn::module::{Module, Param};
use burn::tensor::module::max_pool2d;
use burn::tensor::ops::MaxPoolOptions;
use burn::tensor::{Tensor, TensorData, activation::relu};
use interfuse_kernels::{ConvSteps, WeightInit, conv2d};
use interfuse_parameters::{HostTensors, import_weights, read_tensors};

use crate::error::VaeError;

/// Widths of the five stages; each ends where its features are taken.
const STAGES: [(usize, usize); 5] = [(2, 64), (2, 128), (3, 256), (3, 512), (3, 512)];
/// Brings pixels in [-1, 1] to what VGG was trained on.
const SHIFT: [f32; 3] = [-0.030, -0.088, -0.188];
/// As [`SHIFT`].
const SCALE: [f32; 3] = [0.458, 0.448, 0.450];
/// Added to the length of a pixel's features.
const EPSILON: f64 = 1e-10;

/// The frozen network with its heads.
#[derive(Module, Debug)]
pub struct Lpips {
    /// torchvision's `features`, at their places in the sequence.
    features: Vec<Convolution>,
    heads: Vec<Param<Tensor<1>>>,
}

#[derive(Module, Debug)]
struct Convolution {
    weight: Param<Tensor<4>>,
    bias: Param<Tensor<1>>,
}

impl Lpips {
    /// Untrained weights, to be loaded over.
    fn blank(init: &mut WeightInit) -> Self {
        let mut features = Vec::new();
        let mut inputs = 3;
        for (convolutions, width) in STAGES {
            for _ in 0..convolutions {
                let (weight, bias) = (init.constant([width, inputs, 3, 3], 0.0), init.constant([width], 0.0));
                features.push(Convolution { weight, bias });
                inputs = width;
            }
        }
        let heads = STAGES.iter().map(|&(_, width)| init.constant([width], 0.0)).collect();
        Self { features, heads }
    }

    /// Loads both files.
    ///
    /// # Errors
    /// When a file is missing, torn or of another network.
    pub fn load(vgg: &Path, heads: &Path, device: &burn::tensor::Device) -> Result<Self, VaeError> {
        let mut tensors = HostTensors::new();
        for (name, tensor) in read_tensors(vgg)? {
            // The classifier behind the features is not needed.
            if let Some(index) = name.strip_prefix("features.") {
                let (place, kind) = index.split_once('.').unwrap_or((index, ""));
                let name = match place.parse().ok().and_then(place_of_convolution) {
                    Some(place) => format!("features.{place}.{kind}"),
                    None => name,
                };
                tensors.insert(name, tensor);
            }
        }
        for (name, mut tensor) in read_tensors(heads)? {
            let name = match name.strip_prefix("lin").and_then(|name| name.strip_suffix(".model.1.weight")) {
                Some(stage) => {
                    tensor.shape = vec![tensor.values.len()];
                    format!("heads.{stage}")
                }
                None => name,
            };
            tensors.insert(name, tensor);
        }
        Ok(import_weights(Self::blank(&mut WeightInit::new(0, device)), tensors, vgg)?.no_grad())
    }

    /// The mean over the batch. Grey images count as three equal channels. `[1]`
    pub fn distance(&self, reconstruction: Tensor<4>, image: Tensor<4>) -> Tensor<1> {
        let (a, b) = (self.unit_features(reconstruction), self.unit_features(image));
        let stages = a.into_iter().zip(b).zip(&self.heads).map(|((a, b), head)| {
            let head = head.val();
            let [width] = head.dims();
            ((a - b).square() * head.reshape([1, width, 1, 1])).sum_dim(1).mean()
        });
        Tensor::cat(stages.collect(), 0).sum()
    }

    /// The features of every stage, each pixel's at unit length.
    fn unit_features(&self, pixels: Tensor<4>) -> Vec<Tensor<4>> {
        let mut x = scaled(pixels);
        let mut convolutions = self.features.iter();
        let mut stages = Vec::with_capacity(STAGES.len());
        for (stage, (count, _)) in STAGES.into_iter().enumerate() {
            if stage > 0 {
                x = max_pool2d(x, MaxPoolOptions::new([2, 2]));
            }
            for convolution in convolutions.by_ref().take(count) {
                let (weight, bias) = (convolution.weight.val(), convolution.bias.val());
                x = relu(conv2d(x, weight, Some(bias), ConvSteps::new(1, 1)));
            }
            let length = x.clone().square().sum_dim(1).add_scalar(EPSILON * EPSILON).sqrt().add_scalar(EPSILON);
            stages.push(x.clone() / length);
        }
        stages
    }
}

/// Convolutions are every second layer, but for the pooling behind each stage: 0 2 5 7 10 12 14 17 19 21 24 26 28.
fn place_of_convolution(layer: usize) -> Option<usize> {
    let mut at = 0;
    let mut place = 0;
    for (convolutions, _) in STAGES {
        for _ in 0..convolutions {
            if at == layer {
                return Some(place);
            }
            (at, place) = (at + 2, place + 1);
        }
        at += 1;
    }
    None
}

fn scaled(pixels: Tensor<4>) -> Tensor<4> {
    let [batch, channels, height, width] = pixels.dims();
    let device = pixels.device();
    let by_channel = |values: [f32; 3]| Tensor::<4>::from_data(TensorData::new(values.to_vec(), [1, 3, 1, 1]), &device);
    let pixels = if channels == 1 { pixels.expand([batch, 3, height, width]) } else { pixels };
    (pixels - by_channel(SHIFT)) / by_channel(SCALE)
}
