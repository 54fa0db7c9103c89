//! A paper's comparison run again: which models it takes, and training them one after the other or side by side.
//!
//! A [`Plan`] is a list of runs that differ in a few keys and in their seeds. It may be ended at any moment and gone on with by
//! the same command: a run that is finished is left as it is, one that was interrupted goes on from its checkpoint.

mod codes;
mod latents;
pub mod mot;
pub mod scaling;
mod side_by_side;
mod units;

use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};

use interfuse_trainer::Outcome;

use crate::autoencoder::VaeSettings;
use crate::error::{Context as _, Result, refuse};
use crate::observer::RunObserver;
use crate::run_folder::RunFolder;
use crate::settings::Settings;
use crate::training::Run;

pub use self::units::UnitsPlan;

/// Models that are trained to be compared.
#[derive(Debug, Clone)]
pub struct Plan {
    /// What must be named before anything can be trained, in a sentence; `None` where nothing is missing.
    pub missing: Option<String>,
    /// What the models' codes come from, where they need one; trained before them.
    pub autoencoder: Option<VaeSettings>,
    /// Their units of speech, where they learn any; made before them as well.
    pub units: Option<UnitsPlan>,
    /// In the order in which they are trained.
    pub runs: Vec<PlannedRun>,
}

/// One model of a plan.
#[derive(Debug, Clone)]
pub struct PlannedRun {
    /// Which of the models it is, whatever its seed: `dense`, `mot`.
    pub variant: String,
    /// Its seed.
    pub seed: u64,
    /// The whole configuration, the run's folder included.
    pub settings: Settings,
}

impl PlannedRun {
    /// Where it is trained.
    pub fn folder(&self) -> &Path {
        &self.settings.run.dir
    }

    /// Whether all its steps are taken.
    ///
    /// # Errors
    /// When its folder is there and cannot be read.
    pub fn is_finished(&self) -> Result<bool> {
        is_finished(self.folder(), self.settings.train.steps)
    }
}

impl Plan {
    /// The runs that have steps left to take.
    ///
    /// # Errors
    /// As [`PlannedRun::is_finished`].
    pub fn unfinished(&self) -> Result<Vec<&PlannedRun>> {
        let runs = self.runs.iter().map(|run| Ok((run, run.is_finished()?)));
        let runs: Vec<(&PlannedRun, bool)> = runs.collect::<Result<_>>()?;
        Ok(runs.into_iter().filter(|(_, finished)| !finished).map(|(run, _)| run).collect())
    }

    /// Makes what several runs need, as far as it is not there: the autoencoder, units of speech, and the cache of latents or
    /// codes that the configuration names.
    fn prepare(&self, observer: &mut dyn RunObserver, stop: &AtomicBool) -> Result<Outcome> {
        if let Some(missing) = &self.missing {
            refuse!("{missing}");
        }
        if let Some(settings) = &self.autoencoder
            && codes::make(settings, observer, stop)? == Outcome::Stopped
        {
            return Ok(Outcome::Stopped);
        }
        if let Some(units) = self.units.as_ref().filter(|_| !self.runs.is_empty()) {
            units.make(observer)?;
        }
        match self.unfinished()?.first() {
            Some(run) => latents::make_cache(&run.settings, observer, stop),
            None => Ok(Outcome::Finished),
        }
    }

    /// Trains what is not yet trained, until all is or `stop` is set.
    ///
    /// # Errors
    /// When a run fails, or its folder is in use; names it.
    pub fn train(&self, observer: &mut dyn RunObserver, stop: &AtomicBool) -> Result<Outcome> {
        if self.prepare(observer, stop)? == Outcome::Stopped {
            return Ok(Outcome::Stopped);
        }
        for (index, run) in self.runs.iter().enumerate() {
            if run.is_finished()? {
                continue;
            }
            if stop.load(Ordering::Relaxed) {
                return Ok(Outcome::Stopped);
            }
            let name = format!("{} of seed {}", run.variant, run.seed);
            observer.note(&format!("run {} of {}: {name}, in {}", index + 1, self.runs.len(), run.folder().display()));
            if train_one(run, observer, stop).with_context(|| name)? == Outcome::Stopped {
                return Ok(Outcome::Stopped);
            }
        }
        Ok(Outcome::Finished)
    }
}

fn train_one(planned: &PlannedRun, observer: &mut dyn RunObserver, stop: &AtomicBool) -> Result<Outcome> {
    let settings = planned.settings.clone();
    let mut run = match steps_taken(planned.folder())?.is_some() {
        true => Run::resume(settings)?,
        false => Run::begin(settings)?,
    };
    run.train(observer, stop)
}

/// Steps behind the latest checkpoint of a folder; `None` where there is none, or no folder.
fn steps_taken(folder: &Path) -> Result<Option<u64>> {
    // A run that ended before its configuration was written has nothing to go on from.
    if !folder.join("config.toml").is_file() {
        return Ok(None);
    }
    Ok(RunFolder::open(folder)?.checkpoints()?.pop().map(|(step, _)| step))
}

fn is_finished(folder: &Path, steps: u64) -> Result<bool> {
    Ok(steps_taken(folder)?.is_some_and(|taken| taken >= steps))
}
