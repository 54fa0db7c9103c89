//! The published networks that sets of images are compared in.

use anyhow::{bail, ensure};
use burn::tensor::Device;
use interfuse_evaluation::features::FeatureExtractor;
use interfuse_evaluation::features::clip::Clip;
use interfuse_evaluation::features::efficientnet::EfficientNet;
use interfuse_evaluation::features::inception::{Inception, Layer};
use interfuse_evaluation::features::resize::Resize;

use crate::args::{DistanceArgs, ExtractorArgs, ExtractorName, ResizeName};

/// Below this many images the distance carries their number in its name, for it falls as the number grows.
const CUSTOMARY: usize = 10_000;

/// A network, and whether the distance of its features may be called FID.
pub(crate) enum Network {
    Inception(Box<Inception>),
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
    pub(crate) fn open(args: &ExtractorArgs) -> anyhow::Result<Self> {
        ensure!(args.batch_size > 0, "--batch-size: expected at least 1, found 0");
        let device = crate::device::open(&args.device)?;
        let (weights, allow) = (args.weights.as_deref(), args.allow_unknown_weights);
        Ok(match args.extractor {
            ExtractorName::Inception => {
                let Some(layer) = Layer::of_dim(args.dims) else {
                    bail!("--dims: expected 64, 192, 768 or 2048, found {}", args.dims);
                };
                let resize = match args.resize {
                    ResizeName::Pytorch => Resize::Pytorch,
                    ResizeName::Clean => Resize::Clean,
                    ResizeName::Tensorflow1 => Resize::Tensorflow1,
                };
                Self::Inception(Box::new(Inception::load(weights, allow, (layer, resize), &device)?))
            }
            ExtractorName::Efflite0 => Self::Other(Box::new(EfficientNet::load(weights, allow, &device)?)),
            ExtractorName::Clip => {
                let Some(folder) = weights else {
                    bail!("--weights: expected the folder of a CLIP model, found none");
                };
                Self::Other(Box::new(Clip::open(folder, &device)?))
            }
        })
    }

    /// The networks that the user has weights of, Inception as pytorch-fid has it.
    pub(crate) fn at_hand(args: &DistanceArgs, device: &Device) -> anyhow::Result<Vec<Self>> {
        let allow = args.allow_unknown_weights;
        let mut networks = vec![];
        if let Some(path) = &args.fid {
            let usual = (Layer::D2048, Resize::Pytorch);
            networks.push(Self::Inception(Box::new(Inception::load(path.as_deref(), allow, usual, device)?)));
        }
        if let Some(path) = &args.efflite0 {
            networks.push(Self::Other(Box::new(EfficientNet::load(path.as_deref(), allow, device)?)));
        }
        Ok(networks)
    }

    /// FID for the network of 2015 alone; few images and unknown weights are part of the name.
    pub(crate) fn distance_name(&self, least: Option<usize>) -> String {
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
