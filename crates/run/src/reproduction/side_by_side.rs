//! The runs of a plan side by side, each a child process with its share of the threads: the matrices of a small model are too
//! small for many cores, and two models that have one core each are trained in the time of one that has two.
//!
//! ```text
//! runs/mot-chameleon/children/dense-seed0/
//!   .lock         locked while the run is worked on, also by a child whose parent was killed
//!   config.toml   what the child trains
//!   train.log     what it wrote
//! ```

use std::collections::VecDeque;
use std::fs::File;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};

use interfuse_sweep::SweepOptions;
use interfuse_sweep::running::{Ended, Launcher, Running, Work, end_all, is_trained_in, take_run};
use interfuse_trainer::Outcome;

use super::{Plan, PlannedRun, steps_taken};
use crate::configuration::save;
use crate::error::{Context as _, Result, refuse};
use crate::observer::RunObserver;

/// Lines of a child's log that are told when it fails.
const TAIL: usize = 5;

impl Plan {
    /// As [`Plan::train`], with the runs as child processes that `launcher` starts, as many at once and with as many threads as
    /// `options` say. They are the same runs to the bit. A child that fails is told with the end of its log, and the others go on.
    ///
    /// # Errors
    /// An option is out of its range, what the runs have in common cannot be made, a file cannot be written, or runs have failed,
    /// which are named.
    pub fn train_side_by_side(
        &self,
        launcher: &dyn Launcher,
        options: &SweepOptions,
        observer: &mut dyn RunObserver,
        stop: &AtomicBool,
    ) -> Result<Outcome> {
        options.validate()?;
        if self.prepare(observer, stop)? == Outcome::Stopped {
            return Ok(Outcome::Stopped);
        }
        let waiting = self.unfinished()?.into_iter().map(|run| (run, false)).collect();
        let mut children = Children { launcher, options, observer, waiting, active: vec![], failed: vec![] };
        let worked = children.work(stop);
        // Also after an error no child is left behind.
        let ended = children.end();
        worked?;
        ended?;
        children.outcome(self.runs.len())
    }
}

/// A run that a child works on.
struct Active<'a> {
    run: &'a PlannedRun,
    lock: File,
    child: Box<dyn Running>,
}

struct Children<'a> {
    launcher: &'a dyn Launcher,
    options: &'a SweepOptions,
    observer: &'a mut dyn RunObserver,
    /// Runs that wait for their turn, and whether it was said that someone else has them.
    waiting: VecDeque<(&'a PlannedRun, bool)>,
    active: Vec<Active<'a>>,
    /// Runs that failed, with the reason.
    failed: Vec<String>,
}

impl<'a> Children<'a> {
    /// Works until nothing is left or `stop` is set.
    fn work(&mut self, stop: &AtomicBool) -> Result<()> {
        while !self.waiting.is_empty() || !self.active.is_empty() {
            if stop.load(Ordering::Relaxed) {
                break;
            }
            self.fill()?;
            self.look()?;
            std::thread::sleep(self.options.poll);
        }
        Ok(())
    }

    /// Starts runs while there is room. A run that someone else has goes to the end of the line.
    fn fill(&mut self) -> Result<()> {
        for _ in 0..self.waiting.len() {
            if self.active.len() >= self.options.slots() {
                break;
            }
            let Some((run, is_noted)) = self.waiting.pop_front() else { break };
            match take_run(&place_of(run))? {
                Some(lock) if !is_trained_in(run.folder()) => {
                    // A child whose parent was killed may have brought it to its end meanwhile.
                    if !run.is_finished()? {
                        self.start(run, lock)?;
                    }
                }
                _ => {
                    if !is_noted {
                        let note = format!("{} is being worked on by another process; it is waited for", name_of(run));
                        self.observer.note(&note);
                    }
                    self.waiting.push_back((run, true));
                }
            }
        }
        Ok(())
    }

    fn start(&mut self, run: &'a PlannedRun, lock: File) -> Result<()> {
        let place = place_of(run);
        let config = place.join("config.toml");
        save(&run.settings, &config)?;
        let from = steps_taken(run.folder())?;
        let resume = from.is_some();
        let work = Work { config, overrides: vec![], resume, threads: self.options.threads_each() };
        let held = lock.try_clone().with_context(|| format!("cannot hold {}", place.display()))?;
        let how = from.map_or("begins".to_owned(), |step| format!("goes on from step {step}"));
        let log = log_of(run);
        self.observer.note(&format!("{} {how}; its words: {}", name_of(run), log.display()));
        let child = self.launcher.start(&work, &log, held)?;
        self.active.push(Active { run, lock, child });
        Ok(())
    }

    /// Looks after the children.
    fn look(&mut self) -> Result<()> {
        let mut at = 0;
        while at < self.active.len() {
            match self.active[at].child.ended()? {
                None => at += 1,
                Some(ended) => {
                    let Active { run, lock, .. } = self.active.swap_remove(at);
                    self.conclude(run, ended)?;
                    drop(lock);
                }
            }
        }
        Ok(())
    }

    fn conclude(&mut self, run: &PlannedRun, ended: Ended) -> Result<()> {
        let how = match ended {
            Ended::Code(0) if run.is_finished()? => {
                self.observer.note(&format!("{} is finished", name_of(run)));
                return Ok(());
            }
            Ended::Code(0) => "it ended before its last step".to_owned(),
            Ended::Code(code) => format!("exit code {code}"),
            Ended::Signal(signal) => format!("it was killed by signal {signal}"),
        };
        let words = tail(&log_of(run), TAIL);
        let last = words.last().map_or_else(String::new, |line| format!(": {line}"));
        let lines: String = words.iter().map(|line| format!("\n    {line}")).collect();
        self.observer.note(&format!("{} failed ({how}); its last words:{lines}", name_of(run)));
        self.failed.push(format!("{} ({how}{last})", name_of(run)));
        Ok(())
    }

    /// Lets all children save and end. What they finish meanwhile is finished.
    fn end(&mut self) -> Result<()> {
        let mut children: Vec<&mut dyn Running> =
            self.active.iter_mut().map(|active| &mut *active.child as _).collect();
        end_all(&mut children, self.options.grace, self.options.poll);
        for Active { run, .. } in std::mem::take(&mut self.active) {
            if !run.is_finished()? {
                self.waiting.push_front((run, false));
            }
        }
        Ok(())
    }

    fn outcome(&self, all: usize) -> Result<Outcome> {
        if !self.failed.is_empty() {
            refuse!("{} of {all} runs failed: {}", self.failed.len(), self.failed.join("; "));
        }
        Ok(if self.waiting.is_empty() { Outcome::Finished } else { Outcome::Stopped })
    }
}

fn name_of(run: &PlannedRun) -> String {
    format!("{} of seed {}", run.variant, run.seed)
}

/// What belongs to the child of a run and not to the run.
fn place_of(run: &PlannedRun) -> PathBuf {
    let (parent, name) = (run.folder().parent(), run.folder().file_name());
    parent.unwrap_or(Path::new("")).join("children").join(name.unwrap_or_default())
}

fn log_of(run: &PlannedRun) -> PathBuf {
    place_of(run).join("train.log")
}

/// The last lines of a log that say something, each cut where a line is too long to be read.
fn tail(log: &Path, lines: usize) -> Vec<String> {
    let bytes = std::fs::read(log).unwrap_or_default();
    let text = String::from_utf8_lossy(&bytes);
    let all: Vec<&str> = text.lines().map(str::trim).filter(|line| !line.is_empty()).collect();
    all[all.len().saturating_sub(lines)..].iter().map(|line| line.chars().take(300).collect()).collect()
}
