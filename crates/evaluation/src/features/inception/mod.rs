//! The Inception network of 2015 that the FID is defined by, as pytorch-fid ports it: torchvision's Inception v3 with 1008
//! classes, average pooling that leaves the padding out, and maximum pooling in the last block's pooling branch.

mod blocks;

use std::path::Path;

use burn::tensor::module::max_pool2d;
use burn::tensor::ops::MaxPoolOptions;
use burn::tensor::{Device, Tensor, TensorData};
use ndarray::{Array2, Array3};

use self::blocks::{BlockA, BlockB, BlockC, BlockD, BlockE, Conv, LastPool};
use super::convolution::WeightsReader;
use super::resize::Resize;
use super::weights_file::PublishedFile;
use super::{FeatureExtractor, WeightsOrigin, to_array};
use crate::error::EvaluationError;

/// The file of weights.
pub const FILE: PublishedFile = PublishedFile {
    what: "the Inception network of the FID",
    names: &["pt_inception-2015-12-05-6726825d.pth", "weights-inception-2015-12-05-6726825d.pth"],
    sha256: "6726825d0af5f729cebd5821db510b11b1cfad8faad88a03f1befd49fb9129b2",
    variable: "INTERFUSE_INCEPTION",
    source: "pt_inception-2015-12-05-6726825d.pth among the releases of mseitzer/pytorch-fid on GitHub",
};

/// Height and width of the network's input.
const SIDE: usize = 299;
/// Classes, 1008 with those that are not used.
const CLASSES: usize = 1008;

/// Where features are taken, averaged over all places of the image.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Layer {
    /// Behind the first pooling.
    D64,
    /// Behind the second pooling.
    D192,
    /// Before the auxiliary classifier.
    D768,
    /// Before the classifier: what the FID is defined by.
    D2048,
}

impl Layer {
    /// The layer with vectors of a length.
    pub fn of_dim(dim: usize) -> Option<Self> {
        [Self::D64, Self::D192, Self::D768, Self::D2048].into_iter().find(|layer| layer.dim() == dim)
    }

    /// Length of a vector.
    pub fn dim(self) -> usize {
        match self {
            Self::D64 => 64,
            Self::D192 => 192,
            Self::D768 => 768,
            Self::D2048 => 2048,
        }
    }
}

/// The network.
pub struct Inception {
    stem: [Conv; 5],
    a: [BlockA; 3],
    b: BlockB,
    c: [BlockC; 4],
    d: BlockD,
    e: [BlockE; 2],
    /// `[1008, 2048]`
    classifier: Tensor<2>,
    origin: WeightsOrigin,
    device: Device,
    layer: Layer,
    resize: Resize,
}

impl Inception {
    /// Finds and loads the weights; see [`PublishedFile`].
    ///
    /// # Errors
    /// When they are nowhere, or another network's.
    pub fn load(
        path: Option<&Path>,
        allow_unknown: bool,
        (layer, resize): (Layer, Resize),
        device: &Device,
    ) -> Result<Self, EvaluationError> {
        let path = FILE.find(path)?;
        let (tensors, origin) = FILE.read(&path, allow_unknown)?;
        let mut reader = WeightsReader::new(tensors, device);
        let network = Self::of(&mut reader, origin, (layer, resize), device);
        reader.finish(&path)?;
        Ok(network)
    }

    /// Takes the network's tensors out of a reader, whose end says whether they were right.
    fn of(
        reader: &mut WeightsReader<'_>,
        origin: WeightsOrigin,
        (layer, resize): (Layer, Resize),
        device: &Device,
    ) -> Self {
        // A counter of batch norm, which only training needs.
        reader.ignore(|name| name.ends_with("num_batches_tracked"));
        let network = Self {
            stem: [
                Conv::new(reader, "Conv2d_1a_3x3", [32, 3, 3, 3], 2, [0, 0]),
                Conv::new(reader, "Conv2d_2a_3x3", [32, 32, 3, 3], 1, [0, 0]),
                Conv::new(reader, "Conv2d_2b_3x3", [64, 32, 3, 3], 1, [1, 1]),
                Conv::new(reader, "Conv2d_3b_1x1", [80, 64, 1, 1], 1, [0, 0]),
                Conv::new(reader, "Conv2d_4a_3x3", [192, 80, 3, 3], 1, [0, 0]),
            ],
            a: [
                BlockA::new(reader, "Mixed_5b", 192, 32),
                BlockA::new(reader, "Mixed_5c", 256, 64),
                BlockA::new(reader, "Mixed_5d", 288, 64),
            ],
            b: BlockB::new(reader, "Mixed_6a"),
            c: [
                BlockC::new(reader, "Mixed_6b", 128),
                BlockC::new(reader, "Mixed_6c", 160),
                BlockC::new(reader, "Mixed_6d", 160),
                BlockC::new(reader, "Mixed_6e", 192),
            ],
            d: BlockD::new(reader, "Mixed_7a"),
            e: [
                BlockE::new(reader, "Mixed_7b", 1280, LastPool::Average),
                BlockE::new(reader, "Mixed_7c", 2048, LastPool::Maximum),
            ],
            classifier: reader.tensor("fc.weight", [CLASSES, 2048]),
            origin,
            device: device.clone(),
            layer,
            resize,
        };
        // The logits that scores are made of have no bias.
        reader.ignore(|name| name == "fc.bias");
        network
    }

    /// The features of a layer, averaged over the image.
    ///
    /// # Shapes
    /// - `x`: `[B, 3, 299, 299]` in [-1, 1]; returns `[B, layer.dim()]`
    pub fn forward(&self, x: Tensor<4>, layer: Layer) -> Tensor<2> {
        let [first, second, third, fourth, fifth] = &self.stem;
        let x = halved(third.forward(second.forward(first.forward(x))));
        if layer == Layer::D64 {
            return mean_over_places(x);
        }
        let x = halved(fifth.forward(fourth.forward(x)));
        if layer == Layer::D192 {
            return mean_over_places(x);
        }
        let x = self.a.iter().fold(x, |x, block| block.forward(x));
        let x = self.c.iter().fold(self.b.forward(x), |x, block| block.forward(x));
        if layer == Layer::D768 {
            return mean_over_places(x);
        }
        mean_over_places(self.e.iter().fold(self.d.forward(x), |x, block| block.forward(x)))
    }

    /// The logits without bias that the Inception score is made of (torch-fidelity's `logits_unbiased`).
    ///
    /// # Shapes
    /// - `features`: `[count, 2048]`; returns `[count, 1008]`
    ///
    /// # Errors
    /// When the features are not of the last layer.
    pub fn logits(&self, features: &Array2<f32>) -> Result<Array2<f32>, EvaluationError> {
        let (count, dim) = features.dim();
        if dim != Layer::D2048.dim() {
            return Err(EvaluationError::mismatch("features of the Inception score", Layer::D2048.dim(), dim));
        }
        let values = TensorData::new(features.iter().copied().collect::<Vec<f32>>(), [count, dim]);
        let features = Tensor::<2>::from_data(values, &self.device);
        to_array(features.matmul(self.classifier.clone().swap_dims(0, 1)))
    }

    fn prepared(&self, image: &Array3<u8>) -> Result<Array3<f32>, EvaluationError> {
        let resized = self.resize.apply(image, [SIDE, SIDE])?;
        Ok(match self.resize {
            Resize::Pytorch => resized.mapv_into(|value| value / 255.0 * 2.0 - 1.0),
            Resize::Clean | Resize::Tensorflow1 => resized.mapv_into(|value| (value - 128.0) / 128.0),
        })
    }
}

impl FeatureExtractor for Inception {
    fn name(&self) -> String {
        format!("inception-2015-{}", self.layer.dim())
    }

    fn dim(&self) -> usize {
        self.layer.dim()
    }

    fn weights(&self) -> &WeightsOrigin {
        &self.origin
    }

    fn resize(&self) -> String {
        format!("{:?}", self.resize).to_lowercase()
    }

    fn features(&self, images: &[Array3<u8>]) -> Result<Array2<f32>, EvaluationError> {
        use rayon::prelude::*;
        let prepared: Vec<Array3<f32>> =
            images.par_iter().map(|image| self.prepared(image)).collect::<Result<_, _>>()?;
        let values: Vec<f32> = prepared.into_iter().flatten().collect();
        let data = TensorData::new(values, [images.len(), 3, SIDE, SIDE]);
        to_array(self.forward(Tensor::from_data(data, &self.device), self.layer))
    }
}

/// The largest of every 3 × 3 places, every second one.
fn halved(x: Tensor<4>) -> Tensor<4> {
    max_pool2d(x, MaxPoolOptions::new([3, 3]).with_stride([2, 2]))
}

fn mean_over_places(x: Tensor<4>) -> Tensor<2> {
    let [batch, channels, height, width] = x.dims();
    x.reshape([batch, channels, height * width]).mean_dim(2).reshape([batch, channels])
}

#[cfg(test)]
#[path = "tests.rs"]
mod tests;
