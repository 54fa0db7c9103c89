//! The runs of a sweep that are left, each a child process in a folder of its own, several at once.
//!
//! ```text
//! sweep/
//!   .lock                         locked while a sweep works here
//!   table.csv                     what `interfuse scaling fit` reads
//!   runs.csv                      every run with its state and all that was measured
//!   runs/text-N8K-D1M-s0/
//!     .lock                       locked while the run is worked on, also by a child whose sweep was killed
//!     plan.json                   what was planned
//!     attempt-1/                  a run folder
//!     attempt-1.log               what the program wrote
//!     attempt-1.failed.json       why it failed
//!     attempt-2/                  the second attempt, after the restart rule
//!     finished.json               the result
//! ```
//!
//! What has its right name is whole, and every file says one thing once: whatever is killed whenever, the next sweep reads from
//! the files what is left to do. A run is finished when all its steps are taken, saved and measured, whether or not a sweep was
//! there to see it.

mod job;
mod launcher;
mod lock;
mod restart;
mod scheduler;
mod state;

use std::path::{Path, PathBuf};
use std::sync::atomic::AtomicBool;
use std::time::Duration;

use serde::Serialize;

pub use job::Job;
pub use launcher::{Ended, Launcher, Program, Running, THREADS, Work, end_all, shell_line, shell_word};
pub use lock::{is_trained_in, take_run};
pub use restart::{DIVERGED_ABOVE, RATE_FACTOR, WINDOW_FRACTION, WINDOW_TOKENS, divergence};
pub use state::{Finished, RunPlace, State};

use crate::error::{Result, SweepError};
use crate::plan::{Plan, PlannedRun};

/// How a sweep is run.
#[derive(Debug, Clone, PartialEq)]
pub struct SweepOptions {
    /// Runs at once, from 1; as many as there are devices, where there are devices.
    pub at_once: usize,
    /// Threads that all runs together have, at least one each; if absent `RAYON_NUM_THREADS`, else as many as there are cores.
    pub threads: Option<usize>,
    /// Devices such as `cuda:0`, of which every run has one to itself; none leaves the configuration's.
    pub devices: Vec<String>,
    /// Which part of the runs, where jobs of a scheduler share them.
    pub job: Option<Job>,
    /// Whether runs of different data or tokenizers stand in one table all the same.
    pub different_data: bool,
    /// How long a run that is asked to end may take before it is killed.
    pub grace: Duration,
    /// Between looks at the runs.
    pub poll: Duration,
}

impl Default for SweepOptions {
    fn default() -> Self {
        Self {
            at_once: 1,
            threads: None,
            devices: vec![],
            job: None,
            different_data: false,
            grace: Duration::from_secs(120),
            poll: Duration::from_millis(200),
        }
    }
}

impl SweepOptions {
    /// # Errors
    /// There is no room for a run or no thread; names the argument.
    pub fn validate(&self) -> Result<()> {
        if self.at_once == 0 {
            return Err(SweepError::value("--at-once", "at least 1", 0));
        }
        match self.threads {
            Some(threads) if threads < self.slots() => {
                let expected = format!("at least one thread for each of the {} runs at once", self.slots());
                Err(SweepError::value("--threads", expected, threads))
            }
            _ => Ok(()),
        }
    }

    /// Runs at once.
    pub fn slots(&self) -> usize {
        if self.devices.is_empty() { self.at_once } else { self.devices.len() }
    }

    /// Threads of one run.
    pub fn threads_each(&self) -> usize {
        let said = || std::env::var(THREADS).ok()?.parse().ok().filter(|threads| *threads > 0);
        let cores = || std::thread::available_parallelism().map_or(1, usize::from);
        let all = self.threads.or_else(said).unwrap_or_else(cores);
        (all / self.slots()).max(1)
    }
}

/// Where a sweep stands when it ends.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize)]
pub struct Report {
    /// Runs of this job that are finished, those of earlier sweeps included.
    pub finished: usize,
    /// Runs that failed for good, by name, with reasons.
    pub failed: Vec<(String, String)>,
    /// Runs that are left, because the sweep was asked to end.
    pub open: usize,
}

/// The runs of a plan that belong to a job, in the plan's order.
pub fn of_job(plan: &Plan, job: Option<Job>) -> impl Iterator<Item = &PlannedRun> {
    plan.runs.iter().enumerate().filter(move |(at, _)| job.is_none_or(|job| job.has(*at))).map(|(_, run)| run)
}

/// Runs what is left of a plan in `folder`, until all is done or `stop` is set; then runs are asked to save and end. `note` is
/// told in sentences what happens. At the end, tables are written of what is finished so far.
///
/// # Errors
/// An option is out of its range, another sweep works in the folder, a run was begun by another plan, a file cannot be written, or
/// what is finished has different data. A run that fails is no error; it stands in the report.
pub fn sweep(
    plan: &Plan,
    folder: &Path,
    launcher: &dyn Launcher,
    options: &SweepOptions,
    stop: &AtomicBool,
    note: &mut dyn FnMut(&str),
) -> Result<Report> {
    options.validate()?;
    let _lock = lock::take_sweep(folder, options.job.is_some())?;
    let report = scheduler::Scheduler::new(plan, folder, launcher, options, note)?.run(stop)?;
    crate::results::collect(plan, folder, options.different_data)?;
    Ok(report)
}

/// The commands of the runs that are not finished, a line of shell each: what `--list` prints, for schedulers that want the
/// commands themselves. A run that was begun goes on.
///
/// # Errors
/// A file of the folder cannot be understood.
pub fn commands(plan: &Plan, folder: &Path, program: &Program, options: &SweepOptions) -> Result<Vec<String>> {
    options.validate()?;
    let mut lines = vec![];
    for run in of_job(plan, options.job) {
        let place = RunPlace::new(folder, &run.name);
        if let State::Open { attempt } = place.state()? {
            let work = work_of(run, &place, attempt, None, options);
            lines.push(shell_line(&program.command(&work), work.threads));
        }
    }
    Ok(lines)
}

/// What the child of an attempt does.
fn work_of(run: &PlannedRun, place: &RunPlace, attempt: u32, device: Option<&str>, options: &SweepOptions) -> Work {
    let folder = place.attempt(attempt);
    let mut overrides = run.overrides.clone();
    if attempt > 1 {
        restart::apply(&mut overrides);
    }
    overrides.push(format!("run.dir={}", toml::Value::String(folder.display().to_string())));
    overrides.extend(device.map(|device| format!("run.device=\"{device}\"")));
    Work {
        config: run.config.clone(),
        overrides,
        resume: crate::runs::latest_checkpoint(&folder).is_some(),
        threads: options.threads_each(),
    }
}

/// The folder of all runs of a sweep.
fn runs_folder(folder: &Path) -> PathBuf {
    folder.join("runs")
}
