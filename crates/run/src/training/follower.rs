//! A rank that computes its share of every step, and leaves files and words to rank 0.

use std::sync::atomic::AtomicBool;

use interfuse_trainer::{Outcome, Ranks, Trainer};

use super::{begin, resume};
use crate::error::Result;
use crate::plan::Plan;
use crate::run_folder::RunFolder;
use crate::settings::Settings;

/// One of the ranks behind the first.
pub struct Follower {
    plan: Plan,
    trainer: Trainer,
}

impl Follower {
    /// Follows a new run.
    ///
    /// # Errors
    /// When the settings do not fit together or the data is not there, or they are others than those of rank 0.
    pub fn begin(settings: Settings, ranks: &Ranks) -> Result<Self> {
        let begun = begin(settings, ranks)?;
        Ok(Self { plan: begun.plan, trainer: begun.trainer })
    }

    /// Follows a run that goes on.
    ///
    /// # Errors
    /// As [`Self::begin`]; when this rank does not see the run's folder.
    pub fn resume(settings: Settings, ranks: &Ranks) -> Result<Self> {
        let folder = RunFolder::open(&settings.run.dir)?;
        let begun = resume(settings, &folder.checkpoint_to_resume()?, ranks)?;
        Ok(Self { plan: begun.plan, trainer: begun.trainer })
    }

    /// Trains until the last step, or until any rank is asked to stop.
    ///
    /// # Errors
    /// When a step fails.
    pub fn train(&mut self, stop: &AtomicBool) -> Result<Outcome> {
        Ok(interfuse_trainer::run(&mut self.trainer, &self.plan.settings.intervals, &mut (), stop)?)
    }
}
