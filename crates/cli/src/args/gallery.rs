//! What the user types after `interfuse gallery`.

use std::path::PathBuf;

#[derive(Debug, clap::Args)]
pub(crate) struct GalleryArgs {
    /// Run folders, of models and of autoencoders, in the order of the page
    #[arg(required = true)]
    pub(crate) runs: Vec<PathBuf>,
    /// The page; its images go into a folder of the same name beside it
    #[arg(long, default_value = "gallery.md")]
    pub(crate) out: PathBuf,
    /// Replace a page that exists
    #[arg(long)]
    pub(crate) force: bool,
}
