//! Generated images in a folder: PNGs at native size, `metadata.jsonl` (a Hugging Face imagefolder), `grid.png` with its
//! prompts in `grid.txt`.

use std::path::{Path, PathBuf};

use anyhow::Context;
use interfuse_data::{Image, grid};
use interfuse_sampling::{ImageRequest, SamplingConfig};
use serde::Serialize;

use crate::atomic_file::write_whole;

/// One line of `metadata.jsonl`.
#[derive(Debug, Serialize)]
struct Line<'a> {
    file_name: String,
    text: &'a str,
    seed: u64,
    guidance: f64,
    steps: usize,
    checkpoint: String,
}

/// How the images of a folder came to be.
pub(crate) struct Origin<'a> {
    pub(crate) sampling: &'a SamplingConfig,
    pub(crate) checkpoint: &'a Path,
    /// Images in a row of the grid.
    pub(crate) columns: usize,
}

/// Writes images; `NNNNNN.png` are numbered in order, and images of an earlier call are replaced.
pub(crate) fn write(
    folder: &Path,
    requests: &[ImageRequest],
    images: &[Image],
    origin: &Origin<'_>,
) -> anyhow::Result<PathBuf> {
    std::fs::create_dir_all(folder).with_context(|| format!("cannot create {}", folder.display()))?;
    let mut metadata = String::new();
    let mut prompts = String::new();
    for (index, (drawing, image)) in requests.iter().zip(images).enumerate() {
        let file_name = format!("{index:06}.png");
        image.save_png(&folder.join(&file_name))?;
        let line = Line {
            file_name,
            text: &drawing.prompt,
            seed: drawing.seed,
            guidance: origin.sampling.guidance,
            steps: origin.sampling.steps,
            checkpoint: origin.checkpoint.display().to_string(),
        };
        metadata.push_str(&serde_json::to_string(&line)?);
        metadata.push('\n');
        prompts.push_str(&format!("{}\t{}\n", drawing.prompt, drawing.seed));
    }
    write_whole(&folder.join("metadata.jsonl"), metadata.as_bytes())?;
    write_whole(&folder.join("grid.txt"), prompts.as_bytes())?;
    let path = folder.join("grid.png");
    enlarged_grid(images, origin.columns)?.save_png(&path)?;
    Ok(path)
}

/// A grid for the eye: small images are enlarged, pixel by pixel.
pub(crate) fn enlarged_grid(images: &[Image], columns: usize) -> anyhow::Result<Image> {
    const COMFORTABLE_SIDE: usize = 96;
    let side = images.first().map_or(1, |image| image.shape().height.max(image.shape().width));
    let scale = (COMFORTABLE_SIDE / side.max(1)).clamp(1, 4);
    Ok(grid(images, columns, 2, scale)?)
}
