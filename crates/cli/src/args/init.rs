//! What the user types, or answers, to get a configuration.

use std::path::PathBuf;

#[derive(Debug, clap::Args)]
pub(crate) struct InitArgs {
    /// Folder of images with captions; asked for if absent, `images` where nobody can be asked
    pub(crate) images: Option<String>,
    /// Size that every image is brought to, in pixels: 32, or height and width as 48x64
    #[arg(long)]
    pub(crate) size: Option<String>,
    /// Minutes that training may take
    #[arg(long)]
    pub(crate) minutes: Option<f64>,
    /// GiB of memory that training may take; on the CPU three quarters of what is free if absent
    #[arg(long, value_name = "GIB")]
    pub(crate) memory: Option<f64>,
    /// auto, cpu, wgpu, wgpu:N, cuda or cuda:N
    #[arg(long, default_value = "auto")]
    pub(crate) device: String,
    /// Configuration to write
    #[arg(long)]
    pub(crate) out: Option<PathBuf>,
    /// Ask nothing: take the defaults of what is absent
    #[arg(long)]
    pub(crate) yes: bool,
    /// Replace a file that is there
    #[arg(long)]
    pub(crate) force: bool,
    #[command(flatten)]
    pub(crate) answer: super::AnswerArgs,
}
