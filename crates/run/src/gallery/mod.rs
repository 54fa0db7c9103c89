//! A page of what finished runs make: their images, their numbers, and how long they took.
//!
//! Everything on it is read from the run folders: the newest preview, `evaluation.json`, `metrics.jsonl`. Nothing is measured
//! again, so the page says what the runs themselves have said.

mod measures;
mod page;

use std::fs;
use std::path::{Path, PathBuf};

use interfuse_checkpoint::folder::TOKENIZER;
use interfuse_data::Image;
use serde_json::Value;

use crate::configuration;
use crate::error::{Context as _, Result, require};
use crate::plan::{Plan, load_tokenizer};
use crate::run_folder::RunFolder;
use crate::settings::Settings;
use crate::training::preview_prompts;

pub use self::measures::Measure;

/// The runs of a gallery, in the order in which they were named.
#[derive(Debug)]
pub struct Gallery {
    /// One a run; no two have the same name.
    pub exhibits: Vec<Exhibit>,
}

/// What a run has to show.
#[derive(Debug)]
pub struct Exhibit {
    /// The name of its folder.
    pub name: String,
    /// Weights of its newest checkpoint.
    pub weights: u64,
    /// Steps that its metrics know of.
    pub steps: u64,
    /// Seconds that these took.
    pub seconds: f64,
    /// What its last evaluation found; nothing if there was none.
    pub measures: Vec<Measure>,
    /// Its images, each with what it shows.
    pub illustrations: Vec<Illustration>,
}

/// An image of a run folder.
#[derive(Debug)]
pub struct Illustration {
    /// What distinguishes it from the run's others; empty for the first.
    pub suffix: &'static str,
    /// One sentence, or the prompts of its images.
    pub caption: String,
    /// The image, enlarged where it is small.
    pub image: Image,
}

impl Gallery {
    /// Reads run folders, of hybrid models and of autoencoders.
    ///
    /// # Errors
    /// When one is no run folder or has no checkpoint, two have the same name, or a file in one cannot be read.
    pub fn of(runs: &[PathBuf]) -> Result<Self> {
        let exhibits: Vec<Exhibit> = runs.iter().map(|run| Exhibit::of(run)).collect::<Result<_>>()?;
        for (index, exhibit) in exhibits.iter().enumerate() {
            let twice = exhibits[..index].iter().any(|other| other.name == exhibit.name);
            require!(!twice, "{}: expected runs with names of their own, found two", exhibit.name);
        }
        Ok(Self { exhibits })
    }

    /// Writes the page, and its images into a folder of the same name beside it.
    ///
    /// # Errors
    /// When something cannot be written.
    pub fn save(&self, page: &Path) -> Result<()> {
        page::save(self, page)
    }
}

impl Exhibit {
    fn of(path: &Path) -> Result<Self> {
        let folder = RunFolder::open(path)?;
        let absolute = fs::canonicalize(path).with_context(|| format!("cannot read {}", path.display()))?;
        let name = absolute.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
        let checkpoint = folder.latest_checkpoint()?;
        require!(checkpoint.is_some(), "{}: expected a run with a checkpoint, found none", path.display());
        let checkpoint = checkpoint.unwrap_or_default();
        let (steps, seconds) = time(&folder)?;
        Ok(Self {
            name,
            weights: weights_in(&checkpoint.join("model.safetensors"))?,
            steps,
            seconds,
            measures: measures::found(&evaluation(&folder)?),
            illustrations: illustrations(&folder, &checkpoint)?,
        })
    }
}

/// What the last evaluation found; nothing where there was none.
fn evaluation(folder: &RunFolder) -> Result<Value> {
    let path = folder.evaluation();
    if !path.exists() {
        return Ok(Value::Null);
    }
    let text = fs::read_to_string(&path).with_context(|| format!("cannot read {}", path.display()))?;
    serde_json::from_str(&text).with_context(|| format!("{} is not JSON", path.display()))
}

/// The steps of a run and the seconds that they took.
fn time(folder: &RunFolder) -> Result<(u64, f64)> {
    let path = folder.metrics();
    let text = fs::read_to_string(&path).with_context(|| format!("cannot read {}", path.display()))?;
    let (mut steps, mut before, mut latest) = (0, 0.0, 0.0);
    for line in text.lines() {
        // The last line of a run that was killed may be cut short.
        let Ok(record) = serde_json::from_str::<Value>(line) else { continue };
        if let (Some(step), Some(seconds)) = (record["step"].as_u64(), record["seconds"].as_f64()) {
            steps = steps.max(step);
            // Seconds count from the start of a process, and a resume is another one.
            before += if seconds < latest { latest } else { 0.0 };
            latest = seconds;
        }
    }
    Ok((steps, before + latest))
}

/// How many numbers a file of 32-bit weights holds, by its length and that of its header.
fn weights_in(path: &Path) -> Result<u64> {
    let read = || -> std::io::Result<u64> {
        let mut header = [0; size_of::<u64>()];
        std::io::Read::read_exact(&mut fs::File::open(path)?, &mut header)?;
        let header = u64::from_le_bytes(header).saturating_add(size_of::<u64>() as u64);
        Ok(fs::metadata(path)?.len().saturating_sub(header) / size_of::<f32>() as u64)
    };
    read().with_context(|| format!("cannot read {}", path.display()))
}

/// The newest preview, and edits of images that training did not see.
fn illustrations(folder: &RunFolder, checkpoint: &Path) -> Result<Vec<Illustration>> {
    let mut illustrations = vec![];
    if let Some(path) = newest_preview(folder) {
        let caption = prompts(folder, checkpoint).unwrap_or_default().join(" · ");
        illustrations.push(Illustration { suffix: "", caption, image: enlarged(&path)? });
    }
    let edits = folder.path().join("edits-held_out.png");
    if edits.exists() {
        let caption = "edits of images that training did not see: before, after, and as expected".to_string();
        illustrations.push(Illustration { suffix: "-edits", caption, image: enlarged(&edits)? });
    }
    Ok(illustrations)
}

fn newest_preview(folder: &RunFolder) -> Option<PathBuf> {
    let previews = fs::read_dir(folder.path().join("previews")).ok()?;
    previews
        .filter_map(|entry| Some(entry.ok()?.path()))
        .filter(|path| path.extension().is_some_and(|e| e == "png"))
        .max()
}

/// What the previews of a hybrid model show, or of an autoencoder. Nothing where the data is not there any more.
fn prompts(folder: &RunFolder, checkpoint: &Path) -> Result<Vec<String>> {
    let Ok(settings) = configuration::load::<Settings>(&folder.config(), &[]) else {
        return Ok(vec!["images that training did not see, each with its reconstruction".into()]);
    };
    let tokenizer = load_tokenizer(&checkpoint.join(TOKENIZER))?;
    let plan = Plan::with_tokenizer(settings, tokenizer)?;
    Ok(preview_prompts(&plan)?.into_iter().map(|request| request.prompt).collect())
}

/// An image at so many times its size that it can be looked at, its pixels as squares.
fn enlarged(path: &Path) -> Result<Image> {
    const WIDTH: usize = 640;
    let image = Image::open(path, 3)?;
    let pixels = image.pixels();
    let (channels, height, width) = pixels.dim();
    let times = (WIDTH / width.max(1)).max(1);
    let large = ndarray::Array3::from_shape_fn((channels, height * times, width * times), |(channel, row, column)| {
        pixels[[channel, row / times, column / times]]
    });
    Ok(Image::new(large)?)
}
