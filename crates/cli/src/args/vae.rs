//! What the user types after `interfuse vae`.

use std::path::PathBuf;

use clap::Subcommand;

use super::{ConfigArgs, DistanceArgs, TrainArgs};

#[derive(Debug, Subcommand)]
pub(crate) enum VaeCommand {
    /// Train an autoencoder as a configuration says
    Train(TrainArgs),
    /// Show what such a configuration makes: parameters, the shape of the latents
    Inspect(ConfigArgs),
    /// Images to latents: one safetensors file each, with mean and logvar unscaled, or ids of codes
    Encode(VaeFilesArgs),
    /// Such latents to images
    Decode(VaeFilesArgs),
    /// Images there and back, and how like they are
    Reconstruct(VaeReconstructArgs),
    /// Make a folder in the layout of diffusers of a single file of weights
    Import(VaeImportArgs),
}

/// Which autoencoder, and where it computes.
#[derive(Debug, clap::Args)]
pub(crate) struct VaeArgs {
    /// Folder with config.json and weights in the layout of diffusers
    #[arg(long, value_name = "FOLDER")]
    pub(crate) vae: PathBuf,
    /// Bring images to a square of so many pixels a side; they keep their own size if absent
    #[arg(long, value_name = "PIXELS")]
    pub(crate) size: Option<usize>,
    /// auto, cpu, wgpu, wgpu:N, cuda or cuda:N
    #[arg(long, default_value = "auto")]
    pub(crate) device: String,
}

#[derive(Debug, clap::Args)]
pub(crate) struct VaeFilesArgs {
    #[command(flatten)]
    pub(crate) vae: VaeArgs,
    /// Files, or folders of them
    #[arg(required = true)]
    pub(crate) inputs: Vec<PathBuf>,
    /// Folder to write to
    #[arg(long)]
    pub(crate) out: PathBuf,
}

#[derive(Debug, clap::Args)]
pub(crate) struct VaeReconstructArgs {
    #[command(flatten)]
    pub(crate) vae: VaeArgs,
    /// Images, or folders of them
    #[arg(required = true)]
    pub(crate) inputs: Vec<PathBuf>,
    /// Folder to write the reconstructions to; nothing is written if absent
    #[arg(long)]
    pub(crate) out: Option<PathBuf>,
    #[command(flatten)]
    pub(crate) networks: DistanceArgs,
}

#[derive(Debug, clap::Args)]
pub(crate) struct VaeImportArgs {
    /// Weights: .safetensors, .pth, .ckpt or .bin
    pub(crate) file: PathBuf,
    /// Published autoencoder that they are of: sd15, sdxl, sd3 or flux
    #[arg(long = "as", value_name = "NAME")]
    pub(crate) kind: Option<String>,
    /// Folder with the config.json that they belong to, instead of --as
    #[arg(long, value_name = "FOLDER")]
    pub(crate) config: Option<PathBuf>,
    /// Folder to write; must not be there yet
    #[arg(long)]
    pub(crate) out: PathBuf,
}
