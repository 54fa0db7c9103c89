//! Which run is started when, and what follows from how it ended.

use std::collections::VecDeque;
use std::fs::File;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};

use super::launcher::{Ended, Launcher, Running, end_all};
use super::lock::{is_trained_in, take_run};
use super::restart::RATE_FACTOR;
use super::state::{Outcome, RunPlace, State};
use super::{Report, SweepOptions, of_job, work_of};
use crate::error::{Result, SweepError};
use crate::plan::{Plan, PlannedRun};
use crate::runs::latest_checkpoint;

/// How often a run may be killed without a further checkpoint.
const MOST_STALLS: u32 = 3;

/// A run that is waiting for its turn.
struct Waiting<'a> {
    run: &'a PlannedRun,
    /// Whether it was said that someone else has it.
    is_noted: bool,
}

/// A run that is being worked on.
struct Active<'a> {
    run: &'a PlannedRun,
    place: RunPlace,
    attempt: u32,
    lock: File,
    child: Box<dyn Running>,
    /// Place of its device among those of the options.
    device: Option<usize>,
    /// Steps behind its checkpoint when the child was started.
    from: u64,
    /// How often it was killed without a further checkpoint.
    stalls: u32,
}

/// What follows from an end.
enum Next {
    Done,
    Again,
}

pub(super) struct Scheduler<'a> {
    folder: &'a Path,
    launcher: &'a dyn Launcher,
    options: &'a SweepOptions,
    note: &'a mut dyn FnMut(&str),
    waiting: VecDeque<Waiting<'a>>,
    active: Vec<Active<'a>>,
    report: Report,
}

impl<'a> Scheduler<'a> {
    pub(super) fn new(
        plan: &'a Plan,
        folder: &'a Path,
        launcher: &'a dyn Launcher,
        options: &'a SweepOptions,
        note: &'a mut dyn FnMut(&str),
    ) -> Result<Self> {
        let waiting = of_job(plan, options.job).map(|run| Waiting { run, is_noted: false }).collect();
        Ok(Self { folder, launcher, options, note, waiting, active: vec![], report: Report::default() })
    }

    /// Works until nothing is left or `stop` is set.
    pub(super) fn run(mut self, stop: &AtomicBool) -> Result<Report> {
        let worked = self.work(stop);
        // Also after an error no child is left behind.
        let ended = self.end_all();
        worked?;
        ended?;
        self.report.open = self.waiting.len();
        Ok(self.report)
    }

    fn work(&mut self, stop: &AtomicBool) -> Result<()> {
        while !(self.waiting.is_empty() && self.active.is_empty()) {
            if stop.load(Ordering::Relaxed) {
                return Ok(());
            }
            self.fill()?;
            self.look()?;
            if !self.active.is_empty() || !self.waiting.is_empty() {
                std::thread::sleep(self.options.poll);
            }
        }
        Ok(())
    }

    /// Starts runs while there is room. A run that someone else has goes to the end of the line.
    fn fill(&mut self) -> Result<()> {
        for _ in 0..self.waiting.len() {
            if self.active.len() >= self.options.slots() {
                break;
            }
            let Some(mut waiting) = self.waiting.pop_front() else { break };
            let run = waiting.run;
            let place = RunPlace::new(self.folder, &run.name);
            match take_run(place.folder())? {
                Some(lock) if !is_at_work(&place)? => self.begin(run, place, lock)?,
                _ => {
                    if !waiting.is_noted {
                        (self.note)(&format!("{} is being worked on by another process; it is waited for", run.name));
                    }
                    waiting.is_noted = true;
                    self.waiting.push_back(waiting);
                }
            }
        }
        Ok(())
    }

    /// Starts a run, unless it is done or has failed for good.
    fn begin(&mut self, run: &'a PlannedRun, place: RunPlace, lock: File) -> Result<()> {
        place.check_plan(run)?;
        loop {
            let attempt = match place.state()? {
                State::Finished(_) => {
                    self.report.finished += 1;
                    return Ok(());
                }
                State::Failed(reason) => {
                    self.report.failed.push((run.name.clone(), reason));
                    return Ok(());
                }
                State::Open { attempt } => attempt,
            };
            // A sweep that was killed may have left a run that was done.
            if self.settle(run, &place, attempt)? {
                continue;
            }
            let device = self.free_device();
            let (child, from) = self.start(run, &place, attempt, device, &lock)?;
            self.active.push(Active { run, place, attempt, lock, child, device, from, stalls: 0 });
            return Ok(());
        }
    }

    /// Writes down what an attempt came to; whether it came to anything.
    fn settle(&mut self, run: &PlannedRun, place: &RunPlace, attempt: u32) -> Result<bool> {
        match place.outcome(run, attempt)? {
            Outcome::Unfinished => return Ok(false),
            Outcome::Finished(finished) => {
                place.finish(&finished)?;
                (self.note)(&format!("{}: finished, loss {:.4}", run.name, finished.row.loss));
            }
            Outcome::Useless(reason, again) => self.give_up(run, place, attempt, &reason, again)?,
        }
        Ok(true)
    }

    fn give_up(&mut self, run: &PlannedRun, place: &RunPlace, attempt: u32, reason: &str, again: bool) -> Result<()> {
        let then = match place.fail(attempt, reason, again)? {
            true => format!("it is begun again with {RATE_FACTOR} of the learning rate"),
            false => "it is given up".to_owned(),
        };
        (self.note)(&format!("{}: attempt {attempt} failed ({reason}); {then}", run.name));
        Ok(())
    }

    fn free_device(&self) -> Option<usize> {
        (0..self.options.devices.len()).find(|device| self.active.iter().all(|active| active.device != Some(*device)))
    }

    /// A child, and the steps behind the checkpoint that it goes on from.
    fn start(
        &mut self,
        run: &PlannedRun,
        place: &RunPlace,
        attempt: u32,
        device: Option<usize>,
        lock: &File,
    ) -> Result<(Box<dyn Running>, u64)> {
        let name = device.and_then(|device| self.options.devices.get(device)).map(String::as_str);
        let work = work_of(run, place, attempt, name, self.options);
        let from = latest_checkpoint(&place.attempt(attempt)).map_or(0, |(step, _)| step);
        let how = if work.resume { format!("goes on from step {from}") } else { "begins".to_owned() };
        (self.note)(&format!("{} {how}, {} steps", run.name, run.steps));
        let held = lock.try_clone().map_err(SweepError::file("hold", place.folder()))?;
        Ok((self.launcher.start(&work, &place.log(attempt), held)?, from))
    }

    /// Looks after the children.
    fn look(&mut self) -> Result<()> {
        let mut at = 0;
        while at < self.active.len() {
            let Some(ended) = self.active[at].child.ended()? else {
                at += 1;
                continue;
            };
            let active = self.active.swap_remove(at);
            self.conclude(active, ended)?;
        }
        Ok(())
    }

    fn conclude(&mut self, mut active: Active<'a>, ended: Ended) -> Result<()> {
        match self.next(&mut active, ended)? {
            // The state is read again from the files: what is counted is what a later sweep will find.
            Next::Done => self.begin(active.run, active.place, active.lock),
            Next::Again => {
                let Active { run, ref place, attempt, device, ref lock, .. } = active;
                (active.child, active.from) = self.start(run, place, attempt, device, lock)?;
                self.active.push(active);
                Ok(())
            }
        }
    }

    fn next(&mut self, active: &mut Active<'a>, ended: Ended) -> Result<Next> {
        let Active { run, place, attempt, from, stalls, .. } = active;
        if self.settle(run, place, *attempt)? {
            return Ok(Next::Done);
        }
        if let Ended::Code(code) = ended
            && code != 0
        {
            let words = place.last_words(*attempt).map_or_else(String::new, |line| format!(": {line}"));
            self.give_up(run, place, *attempt, &format!("exit code {code}{words}"), true)?;
            return Ok(Next::Done);
        }
        let checkpoint = latest_checkpoint(&place.attempt(*attempt)).map_or(0, |(step, _)| step);
        *stalls = if checkpoint > *from { 0 } else { *stalls + 1 };
        if *stalls < MOST_STALLS {
            return Ok(Next::Again);
        }
        let how = match ended {
            Ended::Code(_) => "ended before its last step".to_owned(),
            Ended::Signal(signal) => format!("was killed by signal {signal}"),
        };
        let reason = format!("it {how} {MOST_STALLS} times without a further checkpoint after step {checkpoint}");
        // A lower learning rate would not help.
        self.give_up(run, place, *attempt, &reason, false)?;
        Ok(Next::Done)
    }

    /// Asks all children to end, and kills those that take too long. What they finished meanwhile is written down.
    fn end_all(&mut self) -> Result<()> {
        let mut children: Vec<&mut dyn Running> =
            self.active.iter_mut().map(|active| &mut *active.child as _).collect();
        end_all(&mut children, self.options.grace, self.options.poll);
        let mut first_error = None;
        while let Some(active) = self.active.pop() {
            match self.settle(active.run, &active.place, active.attempt) {
                Ok(true) if matches!(active.place.state(), Ok(State::Finished(_))) => self.report.finished += 1,
                Ok(_) => self.waiting.push_front(Waiting { run: active.run, is_noted: false }),
                Err(error) => first_error = first_error.or(Some(error)),
            }
        }
        first_error.map_or(Ok(()), Err)
    }
}

/// Whether somebody else trains in the folder of the attempt that is next.
fn is_at_work(place: &RunPlace) -> Result<bool> {
    Ok(match place.state()? {
        State::Open { attempt } => is_trained_in(&place.attempt(attempt)),
        _ => false,
    })
}
