//! The queue between the connections and the engine's thread.
//!
//! A *job* is one image or one text; a request is one or more jobs and one [`Ticket`], which hears of them. Jobs wait in the
//! order in which they came. The thread takes the first and all others of the same settings with it, up to the largest batch.
//! A ticket that is dropped takes its jobs back, whether they wait or run: that is how a client that has gone, or has waited
//! too long, stops the computation.

mod job;
mod ticket;
mod worker;

use std::collections::VecDeque;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

pub(crate) use job::{Event, News, Outcome, Previews, Task};
pub(crate) use ticket::{Silence, Ticket};
pub(crate) use worker::work;

use job::{Job, Life};

/// Why a request is not taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Refusal {
    /// Too many wait; there may be room after so many seconds.
    Full { retry_after: u64 },
    /// The server is about to end.
    Closed,
}

/// What waits and what runs, in images and texts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize)]
pub(crate) struct Load {
    pub(crate) waiting: usize,
    pub(crate) running: usize,
}

#[derive(Debug)]
pub(crate) struct Queue {
    state: Mutex<State>,
    /// Told when a job comes and when the queue closes.
    changed: Condvar,
    capacity: usize,
    max_batch: usize,
    /// Set when nobody waits for anything any more.
    halted: AtomicBool,
}

#[derive(Debug)]
struct State {
    waiting: VecDeque<Job>,
    running: usize,
    closed: bool,
    /// How long the batch before took, and how many jobs it had.
    pace: (Duration, usize),
}

impl Queue {
    pub(crate) fn new(capacity: usize, max_batch: usize) -> Arc<Self> {
        let state =
            State { waiting: VecDeque::new(), running: 0, closed: false, pace: (Duration::from_secs(1), max_batch) };
        Arc::new(Self {
            state: Mutex::new(state),
            changed: Condvar::new(),
            capacity,
            max_batch,
            halted: AtomicBool::new(false),
        })
    }

    /// The state stays whole whatever happens to a thread that holds it: nothing in this file leaves it half changed.
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes all tasks of a request, or none.
    pub(crate) fn submit(
        self: &Arc<Self>,
        tasks: Vec<Task>,
        previews: Previews,
        deadline: Instant,
    ) -> Result<Ticket, Refusal> {
        let mut state = self.state();
        if state.closed {
            return Err(Refusal::Closed);
        }
        state.waiting.retain(Job::is_wanted);
        if state.waiting.len() + tasks.len() > self.capacity {
            return Err(Refusal::Full { retry_after: state.retry_after() });
        }
        let count = tasks.len();
        let life = Arc::new(Life::new(deadline, previews, count));
        let (sender, receiver) = tokio::sync::mpsc::unbounded_channel();
        let jobs = tasks.into_iter().enumerate();
        state.waiting.extend(jobs.map(|(item, task)| Job { task, item, life: life.clone(), news: sender.clone() }));
        drop(state);
        self.changed.notify_all();
        Ok(Ticket::new(receiver, life, self.clone(), count))
    }

    /// Waits for the next batch; none once the queue is closed and empty.
    fn next_batch(&self) -> Option<Vec<Job>> {
        let mut state = self.state();
        loop {
            state.waiting.retain(Job::is_wanted);
            if let Some(first) = state.waiting.pop_front() {
                let mut batch = vec![first];
                let mut others = VecDeque::with_capacity(state.waiting.len());
                for job in std::mem::take(&mut state.waiting) {
                    match batch.len() < self.max_batch && job.task.goes_with(&batch[0].task) {
                        true => batch.push(job),
                        false => others.push_back(job),
                    }
                }
                state.waiting = others;
                state.running = batch.len();
                return Some(batch);
            }
            if state.closed {
                return None;
            }
            state = self.changed.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
    }

    fn finished(&self, jobs: usize, took: Duration) {
        let mut state = self.state();
        state.running = 0;
        state.pace = (took, jobs.max(1));
    }

    pub(crate) fn load(&self) -> Load {
        let state = self.state();
        Load { waiting: state.waiting.iter().filter(|job| job.is_wanted()).count(), running: state.running }
    }

    /// Takes no further requests; those that wait are still computed.
    pub(crate) fn close(&self) {
        self.state().closed = true;
        self.changed.notify_all();
    }

    /// Closes, forgets what waits and stops what runs.
    pub(crate) fn halt(&self) {
        self.halted.store(true, Ordering::Relaxed);
        let mut state = self.state();
        state.closed = true;
        state.waiting.clear();
        drop(state);
        self.changed.notify_all();
    }

    fn is_halted(&self) -> bool {
        self.halted.load(Ordering::Relaxed)
    }

    /// Drops jobs that nobody waits for.
    fn forget_unwanted(&self) {
        self.state().waiting.retain(Job::is_wanted);
    }
}

impl State {
    /// Seconds, from 1 to 60, after which what waits now is likely done.
    fn retry_after(&self) -> u64 {
        let (took, jobs) = self.pace;
        let jobs_left = (self.waiting.len() + self.running) as f64;
        (took.as_secs_f64() * jobs_left / jobs as f64).ceil().clamp(1.0, 60.0) as u64
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::{DrawSettings, Drawing};

    fn draw(steps: usize, seed: u64) -> Task {
        Task::Draw(DrawSettings { steps, guidance: 1.0, size: None }, Drawing { prompt: String::new(), seed })
    }

    fn soon() -> Instant {
        Instant::now() + Duration::from_secs(60)
    }

    fn seeds(batch: &[Job]) -> Vec<u64> {
        let seed = |job: &Job| match &job.task {
            Task::Draw(_, drawing) => drawing.seed,
            _ => u64::MAX,
        };
        batch.iter().map(seed).collect()
    }

    #[test]
    fn a_batch_has_the_first_and_what_goes_with_it_in_order() {
        let queue = Queue::new(10, 3);
        let tasks = vec![draw(4, 0), draw(5, 1), draw(4, 2), draw(4, 3), draw(4, 4)];
        let ticket = queue.submit(tasks, Previews::NONE, soon()).unwrap();
        queue.close();
        let batches: Vec<_> = std::iter::from_fn(|| queue.next_batch()).map(|batch| seeds(&batch)).collect();
        assert_eq!(batches, [vec![0, 2, 3], vec![1], vec![4]]);
        drop(ticket);
    }

    #[test]
    fn a_request_is_taken_whole_or_not_at_all() {
        let queue = Queue::new(3, 3);
        let _two = queue.submit(vec![draw(1, 0), draw(1, 1)], Previews::NONE, soon()).unwrap();
        let refused = queue.submit(vec![draw(1, 2), draw(1, 3)], Previews::NONE, soon());
        assert_eq!(refused.err(), Some(Refusal::Full { retry_after: 1 }));
        assert_eq!(queue.load(), Load { waiting: 2, running: 0 });
        assert!(queue.submit(vec![draw(1, 2)], Previews::NONE, soon()).is_ok());
    }

    #[test]
    fn a_dropped_ticket_makes_room() {
        let queue = Queue::new(1, 1);
        let ticket = queue.submit(vec![draw(1, 0)], Previews::NONE, soon()).unwrap();
        drop(ticket);
        assert_eq!(queue.load().waiting, 0);
        assert!(queue.submit(vec![draw(1, 1)], Previews::NONE, soon()).is_ok());
    }

    #[test]
    fn a_job_past_its_deadline_is_not_computed() {
        let queue = Queue::new(4, 4);
        let _late = queue.submit(vec![draw(1, 0)], Previews::NONE, Instant::now()).unwrap();
        let _ticket = queue.submit(vec![draw(1, 1)], Previews::NONE, soon()).unwrap();
        assert_eq!(seeds(&queue.next_batch().unwrap()), [1]);
    }

    #[test]
    fn who_was_stopped_hears_why() {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let stopped = |deadline, halts: bool| {
            let queue = Queue::new(4, 4);
            let mut ticket = queue.submit(vec![draw(1, 0)], Previews::NONE, deadline).unwrap();
            let batch = queue.next_batch().unwrap();
            if halts {
                queue.halt();
            }
            while !halts && batch[0].is_wanted() {}
            batch[0].news.send(Event { item: 0, news: News::Done(Err(crate::engine::EngineError::Stopped)) }).unwrap();
            runtime.block_on(ticket.next()).err()
        };
        assert_eq!(stopped(soon(), true), Some(Silence::Halted));
        assert_eq!(stopped(Instant::now() + Duration::from_millis(50), false), Some(Silence::TimedOut));
    }

    #[test]
    fn a_closed_queue_takes_nothing_and_a_halted_one_forgets() {
        let queue = Queue::new(4, 4);
        let _ticket = queue.submit(vec![draw(1, 0)], Previews::NONE, soon()).unwrap();
        queue.halt();
        assert_eq!(queue.submit(vec![draw(1, 0)], Previews::NONE, soon()).err(), Some(Refusal::Closed));
        assert!(queue.next_batch().is_none());
    }
}
