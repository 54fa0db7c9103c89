//! Generated images in a folder: PNGs at native size, `metadata.jsonl` (a Hugging Face imagefolder), `grid.png` with its
//! prompts in `grid.txt`.

use std::path::{Path, PathBuf};

use interfuse_data::{Image, grid};
use interfuse_parameters::FileError;
use interfuse_parameters::durable::{check_folder, create_folder, write_file};
use interfuse_sampling::{ImageRequest, SamplingConfig};
use serde::Serialize;

use crate::error::{Result, refuse};

const METADATA: &str = "metadata.jsonl";
const GRID: &str = "grid.png";
const PROMPTS: &str = "grid.txt";

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
pub struct Origin<'a> {
    /// How they were sampled.
    pub sampling: &'a SamplingConfig,
    /// By which model.
    pub checkpoint: &'a Path,
    /// Images in a row of the grid.
    pub columns: usize,
}

/// Refuses a folder that holds anything that [`write()`] did not leave there, since it might be replaced. Makes nothing.
///
/// # Errors
/// When the folder holds something else, or is none.
pub fn check(folder: &Path) -> Result<()> {
    check_folder(folder)?;
    if !folder.exists() {
        return Ok(());
    }
    let entries = std::fs::read_dir(folder).map_err(FileError::of("read", folder))?;
    let ours = ours(folder);
    let other = entries.flatten().map(|entry| entry.path()).find(|path| !ours.contains(path));
    let Some(other) = other else { return Ok(()) };
    refuse!(
        "{}: expected a folder that is empty, does not exist or holds nothing but generated images, found `{}`",
        folder.display(),
        other.file_name().unwrap_or_default().display()
    )
}

/// The files of an earlier [`write()`]; none where `metadata.jsonl` is not one of ours.
fn ours(folder: &Path) -> Vec<PathBuf> {
    let metadata = folder.join(METADATA);
    let first = std::fs::read_to_string(&metadata).ok().and_then(|text| text.lines().next().map(str::to_owned));
    let line = first.and_then(|line| serde_json::from_str::<serde_json::Value>(&line).ok());
    let is_ours =
        line.is_some_and(|line| ["file_name", "seed", "checkpoint"].iter().all(|key| line.get(key).is_some()));
    if !is_ours {
        return vec![];
    }
    let entries = std::fs::read_dir(folder).into_iter().flatten().flatten();
    entries.map(|entry| entry.path()).filter(|path| path.is_file() && is_our_name(path)).collect()
}

fn is_our_name(path: &Path) -> bool {
    let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
    let number =
        name.strip_suffix(".png").is_some_and(|stem| stem.len() >= 6 && stem.bytes().all(|b| b.is_ascii_digit()));
    number || [METADATA, GRID, PROMPTS].contains(&name)
}

/// Writes images; `NNNNNN.png` are numbered in order, and images of an earlier call are replaced.
///
/// # Errors
/// When a file cannot be written.
pub fn write(folder: &Path, requests: &[ImageRequest], images: &[Image], origin: &Origin<'_>) -> Result<PathBuf> {
    create_folder(folder)?;
    for old in ours(folder) {
        std::fs::remove_file(&old).map_err(FileError::of("remove", &old))?;
    }
    let mut metadata = String::new();
    let mut prompts = String::new();
    for (index, (request, image)) in requests.iter().zip(images).enumerate() {
        let file_name = format!("{index:06}.png");
        image.save_png(&folder.join(&file_name))?;
        let line = Line {
            file_name,
            text: &request.prompt,
            seed: request.seed,
            guidance: origin.sampling.guidance,
            steps: origin.sampling.steps,
            checkpoint: origin.checkpoint.display().to_string(),
        };
        metadata.push_str(&serde_json::to_string(&line)?);
        metadata.push('\n');
        prompts.push_str(&format!("{}\t{}\n", request.prompt, request.seed));
    }
    write_file(&folder.join(METADATA), metadata.as_bytes())?;
    write_file(&folder.join(PROMPTS), prompts.as_bytes())?;
    let path = folder.join(GRID);
    enlarged_grid(images, origin.columns)?.save_png(&path)?;
    Ok(path)
}

/// A grid for the eye: small images are enlarged, pixel by pixel.
///
/// # Errors
/// When there is no image, or their shapes differ.
pub fn enlarged_grid(images: &[Image], columns: usize) -> Result<Image> {
    const COMFORTABLE_SIDE: usize = 96;
    let side = images.first().map_or(1, |image| image.shape().height.max(image.shape().width));
    let scale = (COMFORTABLE_SIDE / side.max(1)).clamp(1, 4);
    Ok(grid(images, columns, 2, scale)?)
}

#[cfg(test)]
mod tests {
    use ndarray::Array3;

    use super::*;

    #[test]
    fn nothing_is_replaced_but_what_was_generated() {
        let parent = tempfile::tempdir().unwrap();
        let folder = parent.path().join("generated");
        let image = Image::new(Array3::zeros((3, 2, 2))).unwrap();
        let origin = Origin { sampling: &SamplingConfig::default(), checkpoint: Path::new("run"), columns: 1 };
        let generate = |count: usize| {
            check(&folder)?;
            let requests = vec![ImageRequest::new("red", 0); count];
            write(&folder, &requests, &vec![image.clone(); count], &origin)
        };
        generate(2).unwrap();
        generate(1).unwrap();
        assert!(
            folder.join("000000.png").exists() && !folder.join("000001.png").exists(),
            "an image of before is left"
        );
        std::fs::write(folder.join("mine.txt"), "").unwrap();
        assert!(generate(1).unwrap_err().to_string().contains("`mine.txt`"));
        // A data set whose images are numbered as ours is no folder of generated images.
        let data = parent.path().join("data");
        std::fs::create_dir(&data).unwrap();
        std::fs::write(data.join("000000.png"), "").unwrap();
        assert!(check(&data).is_err());
        std::fs::write(data.join(METADATA), "{\"file_name\": \"000000.png\", \"text\": \"x\"}\n").unwrap();
        assert!(check(&data).is_err());
    }
}
