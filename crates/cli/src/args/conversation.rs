//! Arguments of `interfuse edit` and `interfuse ask`.

use std::path::PathBuf;

use super::{AnswerArgs, ModelArgs, SamplingArgs};

#[derive(Debug, clap::Args)]
pub(crate) struct EditArgs {
    #[command(flatten)]
    pub(crate) model: ModelArgs,
    /// The image: jpg, png or webp
    pub(crate) image: PathBuf,
    /// What is to be done, such as "make it red"
    pub(crate) instruction: String,
    /// Another image that stands behind the first, for models that learned from several; may be repeated
    #[arg(long = "image", value_name = "IMAGE")]
    pub(crate) more_images: Vec<PathBuf>,
    /// Images to make
    #[arg(long, default_value_t = 1)]
    pub(crate) count: usize,
    /// Seed of the first image; the next has the next
    #[arg(long, default_value_t = 0)]
    pub(crate) seed: u64,
    #[command(flatten)]
    pub(crate) sampling: SamplingArgs,
    /// Scale of the guidance by the images that are given; 1 is none
    #[arg(long)]
    pub(crate) image_guidance: Option<f64>,
    /// Folder to write to; samples/ of the run folder if absent
    #[arg(long)]
    pub(crate) out: Option<PathBuf>,
    #[command(flatten)]
    pub(crate) answer: AnswerArgs,
}

#[derive(Debug, clap::Args)]
pub(crate) struct AskArgs {
    #[command(flatten)]
    pub(crate) model: ModelArgs,
    /// The image: jpg, png or webp
    pub(crate) image: PathBuf,
    /// What is asked, such as "which colour is it?"; several are asked one after the other, each after the answers before it
    #[arg(required = true, value_name = "QUESTION")]
    pub(crate) questions: Vec<String>,
    /// Another image that stands behind the first, for models that learned from several; may be repeated
    #[arg(long = "image", value_name = "IMAGE")]
    pub(crate) more_images: Vec<PathBuf>,
    #[command(flatten)]
    pub(crate) answer: AnswerArgs,
}
