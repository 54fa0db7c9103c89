//! The run folder: where each file of a run lies, and which checkpoints in it are whole.
//!
//! ```text
//! runs/first/
//!   config.toml                   the complete configuration
//!   data.json                     a fingerprint of the training data
//!   metrics.jsonl                 one JSON object a line, beside TensorBoard's event files
//!   previews/step-000500.png
//!   checkpoints/step-000500/      model.safetensors, ema.safetensors, config.json, …
//!   samples/                      PNGs and metadata.jsonl
//!   vae/                          what `vae train` is for, in the layout of diffusers
//!   evaluation.json
//!   .lock                         locked while a training is going on
//! ```

use std::fs;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use interfuse_checkpoint::FolderLock;
use interfuse_checkpoint::folder::WEIGHTS;
use interfuse_data::Image;
use interfuse_parameters::durable::create_folder;

use crate::configuration::renamed_keys;
use crate::error::{Context as _, Result, refuse, require};

/// A folder that holds one run.
#[derive(Debug)]
pub struct RunFolder {
    path: PathBuf,
    /// Of a folder that is trained in.
    lock: Option<FolderLock>,
}

impl RunFolder {
    /// Makes the folder of a new run, and the folders above it, and takes it for this process. A run that ended before its
    /// first checkpoint leaves nothing to go on from, so its folder is begun again.
    ///
    /// # Errors
    /// The folder already holds a run (that run is left as it is), is in use, or cannot be made.
    pub fn begin(path: &Path) -> Result<Self> {
        let run = Self { path: path.to_owned(), lock: Some(FolderLock::take(path)?) };
        let elsewhere = "choose another folder by --set run.dir=…";
        run.refuse_old_format(elsewhere)?;
        if let Some(checkpoint) = run.latest_checkpoint()? {
            refuse!(
                "{} already holds a run ({} exists): go on with it by --resume, or {elsewhere}",
                path.display(),
                checkpoint.display()
            );
        }
        require!(
            !run.vae().exists(),
            "{} already holds an autoencoder ({} exists): {elsewhere}",
            path.display(),
            run.vae().display()
        );
        for folder in [run.checkpoints_folder(), run.previews_folder()] {
            create_folder(&folder)?;
        }
        Ok(run)
    }

    /// The run that `path` holds, taken for this process so that its training goes on, and its latest checkpoint.
    ///
    /// # Errors
    /// As [`RunFolder::open`], or the folder is in use or holds no whole checkpoint.
    pub fn resume(path: &Path) -> Result<(Self, PathBuf)> {
        let mut run = Self::open(path)?;
        run.lock = Some(FolderLock::take(path)?);
        let latest = run.checkpoint_to_resume()?;
        Ok((run, latest))
    }

    /// The latest checkpoint, where training goes on.
    ///
    /// # Errors
    /// When the folder holds no whole one.
    pub(crate) fn checkpoint_to_resume(&self) -> Result<PathBuf> {
        self.latest_checkpoint()?.with_context(|| {
            let path = self.path.display();
            format!(
                "{path}: expected a checkpoint to resume from, found none; without --resume, training begins again there"
            )
        })
    }

    /// The run that `path` holds, to be looked at.
    ///
    /// # Errors
    /// There is no such folder, it has no `config.toml`, or an earlier version made it.
    pub fn open(path: &Path) -> Result<Self> {
        let run = Self { path: path.to_owned(), lock: None };
        require!(path.exists(), "there is no run folder {}", path.display());
        require!(path.is_dir(), "{} is not a folder, so it holds no run", path.display());
        require!(run.config().is_file(), "{} holds no run: config.toml is missing", path.display());
        run.refuse_old_format("train it again in another folder, with the keys of today")?;
        Ok(run)
    }

    fn refuse_old_format(&self, remedy: &str) -> Result<()> {
        let old = renamed_keys(&self.config());
        require!(
            old.is_empty(),
            "{} holds a run of format 1, which this version cannot read (its config.toml has `{}`): {remedy}",
            self.path.display(),
            old.first().map_or("", |(old, _)| old)
        );
        Ok(())
    }

    /// The folder itself; TensorBoard's event files lie in it.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The complete configuration, TOML.
    pub fn config(&self) -> PathBuf {
        self.path.join("config.toml")
    }

    /// What the data was that the run was started with, see [`DataFingerprint`](crate::fingerprint::DataFingerprint).
    pub fn data(&self) -> PathBuf {
        self.path.join("data.json")
    }

    /// The curves, one JSON object a line.
    pub fn metrics(&self) -> PathBuf {
        self.path.join("metrics.jsonl")
    }

    /// The numbers of the last evaluation.
    pub fn evaluation(&self) -> PathBuf {
        self.path.join("evaluation.json")
    }

    /// Generated images and their `metadata.jsonl`. Not made before there are any.
    pub fn samples(&self) -> PathBuf {
        self.path.join("samples")
    }

    /// The grid of images generated after `step` steps.
    pub fn preview(&self, step: u64) -> PathBuf {
        self.previews_folder().join(format!("{}.png", step_name(step)))
    }

    /// The checkpoint taken after `step` steps, whether or not it has been.
    pub fn checkpoint(&self, step: u64) -> PathBuf {
        self.checkpoints_folder().join(step_name(step))
    }

    /// Every whole checkpoint as (step, folder), earliest first. What an interrupted save left behind is passed over.
    ///
    /// # Errors
    /// The folder `checkpoints` exists and cannot be read.
    pub fn checkpoints(&self) -> Result<Vec<(u64, PathBuf)>> {
        let folder = self.checkpoints_folder();
        let entries = match fs::read_dir(&folder) {
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(Vec::new()),
            entries => entries.with_context(|| format!("cannot read {}", folder.display()))?,
        };
        let mut found = Vec::new();
        for entry in entries {
            let path = entry.with_context(|| format!("cannot read {}", folder.display()))?.path();
            match step_of(&path) {
                Some(step) if is_checkpoint(&path) => found.push((step, path)),
                // Our own saves are renamed when they are whole, so somebody has taken this one apart.
                Some(_) => tracing::warn!("{} is passed over: {WEIGHTS} is missing", path.display()),
                None => {}
            }
        }
        found.sort();
        Ok(found)
    }

    /// The whole checkpoint with the most steps, if there is any.
    ///
    /// # Errors
    /// As [`RunFolder::checkpoints`].
    pub fn latest_checkpoint(&self) -> Result<Option<PathBuf>> {
        Ok(self.checkpoints()?.pop().map(|(_, path)| path))
    }

    /// Writes the grid of images after `step` steps, and says where.
    ///
    /// # Errors
    /// It cannot be written.
    pub fn save_preview(&self, step: u64, grid: &Image) -> Result<PathBuf> {
        let path = self.preview(step);
        create_folder(&self.previews_folder())?;
        grid.save_png(&path)?;
        Ok(path)
    }

    /// Removes all whole checkpoints but the `kept` with the most steps.
    ///
    /// # Errors
    /// One cannot be removed.
    pub fn keep_checkpoints(&self, kept: usize) -> Result<()> {
        for (_, old) in self.checkpoints()?.iter().rev().skip(kept) {
            fs::remove_dir_all(old).with_context(|| format!("cannot remove {}", old.display()))?;
        }
        Ok(())
    }

    /// The autoencoder that a run of `vae train` leaves behind.
    pub fn vae(&self) -> PathBuf {
        self.path.join("vae")
    }

    fn checkpoints_folder(&self) -> PathBuf {
        self.path.join("checkpoints")
    }

    fn previews_folder(&self) -> PathBuf {
        self.path.join("previews")
    }
}

/// The checkpoint that a person means by RUN: a checkpoint's own folder, or a run folder for the latest in it.
///
/// # Errors
/// The folder is missing, is neither, is the leftover of an interrupted save, or is a run without a whole checkpoint.
pub fn resolve_checkpoint(path: &Path) -> Result<PathBuf> {
    require!(path.exists(), "there is no run or checkpoint folder {}", path.display());
    require!(
        path.extension().is_none_or(|extension| extension != "partial"),
        "{} was left by a save that did not finish: it is no checkpoint",
        path.display()
    );
    if is_checkpoint(path) {
        return Ok(path.to_owned());
    }
    if !path.join("config.toml").is_file() {
        refuse!(
            "{} is neither a run folder (config.toml is missing) nor a checkpoint ({WEIGHTS} is missing)",
            path.display()
        );
    }
    RunFolder::open(path)?
        .latest_checkpoint()?
        .with_context(|| format!("the run {} has no whole checkpoint yet", path.display()))
}

fn is_checkpoint(path: &Path) -> bool {
    path.join(WEIGHTS).is_file()
}

/// `step-000500`: six digits or more, so that names sort as numbers in most listings.
fn step_name(step: u64) -> String {
    format!("step-{step:06}")
}

/// The step in a name that [`step_name`] made; none in `step-000500.partial`.
fn step_of(path: &Path) -> Option<u64> {
    path.file_name()?.to_str()?.strip_prefix("step-")?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn with_checkpoint(run: &RunFolder, name: &str) -> PathBuf {
        let path = run.path().join("checkpoints").join(name);
        fs::create_dir_all(&path).unwrap();
        fs::write(path.join(WEIGHTS), b"").unwrap();
        path
    }

    fn new_run(parent: &Path) -> RunFolder {
        let run = RunFolder::begin(&parent.join("runs/first")).unwrap();
        fs::write(run.config(), "").unwrap();
        run
    }

    #[test]
    fn a_run_is_never_made_over_another() {
        let parent = tempfile::tempdir().unwrap();
        let run = new_run(parent.path());
        let path = run.path().to_owned();
        with_checkpoint(&run, "step-000500");
        let refusal = || RunFolder::begin(&path).unwrap_err().to_string();
        assert!(refusal().contains("in use"), "{}", refusal());
        drop(run);
        assert!(refusal().contains("already holds a run") && refusal().contains("--resume"), "{}", refusal());
        RunFolder::resume(&path).unwrap();
        fs::write(path.join("config.toml"), "every.checkpoint = 3\n").unwrap();
        assert!(refusal().contains("format 1") && refusal().contains("`every`"), "{}", refusal());
        assert!(RunFolder::resume(&path).unwrap_err().to_string().contains("format 1"));
    }

    #[test]
    fn a_run_without_a_checkpoint_is_begun_again_and_an_autoencoder_is_kept() {
        let parent = tempfile::tempdir().unwrap();
        let run = new_run(parent.path());
        let path = run.path().to_owned();
        fs::create_dir(path.join("checkpoints/step-000003.partial")).unwrap();
        drop(run);
        assert!(RunFolder::resume(&path).unwrap_err().to_string().contains("without --resume"));
        let run = RunFolder::begin(&path).unwrap();
        fs::create_dir(run.vae()).unwrap();
        drop(run);
        assert!(RunFolder::begin(&path).unwrap_err().to_string().contains("holds an autoencoder"));
    }

    #[test]
    fn opening_names_what_is_missing() {
        let parent = tempfile::tempdir().unwrap();
        let open = |path: &Path| RunFolder::open(path).unwrap_err().to_string();
        assert!(open(&parent.path().join("none")).starts_with("there is no run folder"));
        assert!(open(parent.path()).ends_with("holds no run: config.toml is missing"));
        let run = new_run(parent.path());
        assert!(open(&run.config()).contains("is not a folder"));
        RunFolder::open(run.path()).unwrap();
    }

    #[test]
    fn checkpoints_are_whole_and_in_the_order_of_their_steps() {
        let parent = tempfile::tempdir().unwrap();
        let run = new_run(parent.path());
        assert_eq!(run.latest_checkpoint().unwrap(), None);
        let late = with_checkpoint(&run, "step-1000000");
        let early = with_checkpoint(&run, "step-000500");
        with_checkpoint(&run, "step-2000000.partial");
        with_checkpoint(&run, "best");
        fs::create_dir(run.checkpoint(3_000_000)).unwrap();
        assert_eq!(run.checkpoints().unwrap(), [(500, early.clone()), (1_000_000, late.clone())]);
        assert_eq!(run.latest_checkpoint().unwrap(), Some(late));
        assert_eq!(run.checkpoint(500), early);
    }

    #[test]
    fn a_checkpoint_is_found_by_its_run_or_by_itself() {
        let parent = tempfile::tempdir().unwrap();
        let refusal = |path: &Path| resolve_checkpoint(path).unwrap_err().to_string();
        assert!(refusal(parent.path()).contains("neither a run folder"));
        let run = new_run(parent.path());
        assert!(refusal(run.path()).ends_with("has no whole checkpoint yet"));
        assert!(refusal(&run.checkpoint(7)).starts_with("there is no run or checkpoint folder"));
        let partial = with_checkpoint(&run, "step-000600.partial");
        assert!(refusal(&partial).contains("did not finish"));
        let whole = with_checkpoint(&run, "step-000500");
        assert_eq!(resolve_checkpoint(run.path()).unwrap(), whole);
        assert_eq!(resolve_checkpoint(&whole).unwrap(), whole);
    }
}
