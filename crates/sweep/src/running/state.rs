//! Where a run stands, by the files in its folder.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use interfuse_scaling::table::Run;
use serde::{Deserialize, Serialize};

use crate::durable::{create_folder, read_json, write_json};
use crate::error::{Result, SweepError};
use crate::plan::PlannedRun;
use crate::runs::{RunResult, read_records, read_run};
use crate::settings::key_of;

use super::restart::divergence;

/// How often a run is begun at most.
pub(super) const ATTEMPTS: u32 = 2;

/// The folder of a planned run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RunPlace {
    folder: PathBuf,
}

/// Where a run stands.
#[derive(Debug, Clone, PartialEq)]
pub enum State {
    /// It is done.
    Finished(Box<Finished>),
    /// It failed for good, with the reasons of every attempt.
    Failed(String),
    /// It has steps left to take.
    Open {
        /// In this attempt, from 1.
        attempt: u32,
    },
}

/// The result of a run.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Finished {
    /// Which attempt it was, from 1.
    pub attempt: u32,
    /// Its row of the table.
    pub row: Run,
    /// All that its folder says.
    pub run: RunResult,
}

/// Why an attempt failed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct FailedAttempt {
    reason: String,
    /// Whether another attempt may do better.
    again: bool,
}

/// What a run was begun with.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Begun {
    config_sha256: String,
    overrides: Vec<String>,
}

/// What an attempt came to.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Outcome {
    /// All steps are taken, saved and measured.
    Finished(Box<Finished>),
    /// So are they, but what came out is no result; whether another attempt may do better.
    Useless(String, bool),
    /// There are steps left.
    Unfinished,
}

impl RunPlace {
    /// Of a run by its name.
    pub fn new(sweep: &Path, name: &str) -> Self {
        Self { folder: super::runs_folder(sweep).join(name) }
    }

    /// The folder itself.
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// The run folder of an attempt.
    pub fn attempt(&self, attempt: u32) -> PathBuf {
        self.folder.join(format!("attempt-{attempt}"))
    }

    /// What the program wrote in an attempt.
    pub fn log(&self, attempt: u32) -> PathBuf {
        self.folder.join(format!("attempt-{attempt}.log"))
    }

    fn failed_attempt(&self, attempt: u32) -> PathBuf {
        self.folder.join(format!("attempt-{attempt}.failed.json"))
    }

    fn finished(&self) -> PathBuf {
        self.folder.join("finished.json")
    }

    /// Where the run stands.
    ///
    /// # Errors
    /// A file of its folder cannot be understood.
    pub fn state(&self) -> Result<State> {
        if let Some(finished) = read_json(&self.finished())? {
            return Ok(State::Finished(finished));
        }
        let mut reasons = vec![];
        for attempt in 1..=ATTEMPTS {
            let Some(FailedAttempt { reason, again }) = read_json(&self.failed_attempt(attempt))? else {
                return Ok(State::Open { attempt });
            };
            reasons.push(format!("attempt {attempt}: {reason}"));
            if !again {
                break;
            }
        }
        Ok(State::Failed(reasons.join("; ")))
    }

    /// That the run was begun by the same plan, or is begun now.
    pub(super) fn check_plan(&self, run: &PlannedRun) -> Result<()> {
        let path = self.folder.join("plan.json");
        let now = Begun { config_sha256: run.config_sha256.clone(), overrides: run.overrides.clone() };
        let Some(before): Option<Begun> = read_json(&path)? else {
            create_folder(&self.folder)?;
            return write_json(&path, &now);
        };
        if before == now {
            return Ok(());
        }
        let keyed = |begun: &Begun| -> BTreeMap<String, String> {
            begun.overrides.iter().map(|change| (key_of(change).to_owned(), change.clone())).collect()
        };
        let (old, new) = (keyed(&before), keyed(&now));
        let mut changed: Vec<&str> =
            old.keys().chain(new.keys()).filter(|key| old.get(*key) != new.get(*key)).map(String::as_str).collect();
        if before.config_sha256 != now.config_sha256 {
            changed.push("the group's configuration");
        }
        changed.sort_unstable();
        changed.dedup();
        let expected = format!("the plan that {} was begun with, or another folder", run.name);
        Err(SweepError::value(self.folder.display().to_string(), expected, format!("changes: {}", changed.join(", "))))
    }

    /// What an attempt has come to so far.
    pub(super) fn outcome(&self, run: &PlannedRun, attempt: u32) -> Result<Outcome> {
        let folder = self.attempt(attempt);
        // What is torn or missing in a folder that a kill left is made good when the run goes on.
        let (Ok(result), Ok(records)) = (read_run(&folder), read_records(&folder)) else {
            return Ok(Outcome::Unfinished);
        };
        let is_saved = result.checkpoint.is_some_and(|step| step >= run.steps);
        if result.steps < run.steps || !is_saved {
            return Ok(Outcome::Unfinished);
        }
        if let Some(reason) = divergence(&records, run.batch_tokens) {
            return Ok(Outcome::Useless(reason, true));
        }
        Ok(match run.measured.row(&result, &run.name) {
            Ok(row) => Outcome::Finished(Box::new(Finished { attempt, row, run: result })),
            // A loss that is not there will not be there next time either; one that is not finite may.
            Err(error) => Outcome::Useless(error.to_string(), run.measured.is_measured(&result)),
        })
    }

    /// Writes that the run is done.
    pub(super) fn finish(&self, finished: &Finished) -> Result<()> {
        write_json(&self.finished(), finished)
    }

    /// Writes that an attempt failed, and whether there is another.
    pub(super) fn fail(&self, attempt: u32, reason: &str, again: bool) -> Result<bool> {
        let again = again && attempt < ATTEMPTS;
        write_json(&self.failed_attempt(attempt), &FailedAttempt { reason: reason.to_owned(), again })?;
        Ok(again)
    }

    /// The last line that the program wrote in an attempt, for a reason.
    pub(super) fn last_words(&self, attempt: u32) -> Option<String> {
        let bytes = std::fs::read(self.log(attempt)).ok()?;
        let text = String::from_utf8_lossy(&bytes);
        let line = text.lines().rev().map(str::trim).find(|line| !line.is_empty())?;
        Some(line.chars().take(300).collect())
    }
}
