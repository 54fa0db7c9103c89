//! The published networks that sets of images are compared in.

use std::path::PathBuf;

use burn::tensor::Device;
use interfuse_evaluation::features::FeatureExtractor;
use interfuse_evaluation::features::clip::Clip;
use interfuse_evaluation::features::efficientnet::EfficientNet;
use interfuse_evaluation::features::inception::{Inception, Layer};
pub use interfuse_evaluation::features::resize::Resize;

use crate::error::{Result, refuse, require};

/// Below this many images the distance carries their number in its name, for it falls as the number grows.
const CUSTOMARY: usize = 10_000;

/// Which network features are taken of, and how.
#[derive(Debug, Clone)]
pub struct ExtractorOptions {
    /// Which network.
    pub extractor: Extractor,
    /// Its weights, or the folder of a CLIP model; where they usually lie if absent.
    pub weights: Option<PathBuf>,
    /// Whether any file of the same layout will do; every number made with it is then marked.
    pub allow_unknown_weights: bool,
    /// Images that go through the network at once.
    pub batch_size: usize,
    /// As [`device::open`](crate::device::open) names it.
    pub device: String,
}

/// A published network.
#[derive(Debug, Clone, Copy)]
pub enum Extractor {
    /// The network of 2015 that the FID is defined by.
    Inception {
        /// Its features: 64, 192, 768 or 2048.
        dims: usize,
        /// How images are resized for it.
        resize: Resize,
    },
    /// EfficientNet-Lite0, trained on ImageNet.
    EfficientNetLite0,
    /// The vision tower of a CLIP model.
    Clip,
}

/// The networks that the user has weights of: absent for none, `Some(None)` for where the weights usually lie.
#[derive(Debug, Clone, Default)]
pub struct KnownWeights {
    /// Of the Inception of the FID.
    pub inception: Option<Option<PathBuf>>,
    /// Of EfficientNet-Lite0.
    pub efficientnet_lite0: Option<Option<PathBuf>>,
    /// Whether any file of the same layout will do.
    pub allow_unknown_weights: bool,
}

/// A network, and whether the distance of its features may be called FID.
pub enum Network {
    /// The network of the FID.
    Inception(Box<Inception>),
    /// Any other.
    Other(Box<dyn FeatureExtractor>),
}

impl std::ops::Deref for Network {
    type Target = dyn FeatureExtractor;

    fn deref(&self) -> &Self::Target {
        match self {
            Self::Inception(network) => network.as_ref(),
            Self::Other(network) => network.as_ref(),
        }
    }
}

impl Network {
    /// The network that the user names.
    ///
    /// # Errors
    /// When its weights are missing or of another network, or there is no such device.
    pub fn open(options: &ExtractorOptions) -> Result<Self> {
        require!(options.batch_size > 0, "--batch-size: expected at least 1, found 0");
        let device = crate::device::open(&options.device)?;
        let (weights, allow) = (options.weights.as_deref(), options.allow_unknown_weights);
        Ok(match options.extractor {
            Extractor::Inception { dims, resize } => {
                let Some(layer) = Layer::of_dim(dims) else {
                    refuse!("--dims: expected 64, 192, 768 or 2048, found {dims}");
                };
                Self::Inception(Box::new(Inception::load(weights, allow, (layer, resize), &device)?))
            }
            Extractor::EfficientNetLite0 => Self::Other(Box::new(EfficientNet::load(weights, allow, &device)?)),
            Extractor::Clip => {
                let Some(folder) = weights else {
                    refuse!("--weights: expected the folder of a CLIP model, found none");
                };
                Self::Other(Box::new(Clip::open(folder, &device)?))
            }
        })
    }

    /// The networks that the user has weights of, Inception as pytorch-fid has it.
    ///
    /// # Errors
    /// When weights are missing or of another network.
    pub fn known(weights: &KnownWeights, device: &Device) -> Result<Vec<Self>> {
        let allow = weights.allow_unknown_weights;
        let mut networks = vec![];
        if let Some(path) = &weights.inception {
            let usual = (Layer::D2048, Resize::Pytorch);
            networks.push(Self::Inception(Box::new(Inception::load(path.as_deref(), allow, usual, device)?)));
        }
        if let Some(path) = &weights.efficientnet_lite0 {
            networks.push(Self::Other(Box::new(EfficientNet::load(path.as_deref(), allow, device)?)));
        }
        Ok(networks)
    }

    /// FID for the network of 2015 alone; few images and unknown weights are part of the name.
    pub fn distance_name(&self, least: Option<usize>) -> String {
        let mut name = match (self, self.dim()) {
            (Self::Inception(_), 2048) => "FID".to_string(),
            (Self::Inception(_), dim) => format!("FID of the {dim} features"),
            (Self::Other(network), _) => format!("fd_{}", network.name()),
        };
        if let Some(least) = least.filter(|&least| least < CUSTOMARY) {
            name = format!("{name}-{least}");
        }
        if !self.weights().published {
            name = format!("{name} with unknown weights");
        }
        name
    }
}
