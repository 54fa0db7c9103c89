//! Work on what comes up, on threads beside the one that asks for it; results come in the order of the work.
//!
//! Each piece of work has a slot in a queue of bounded length, and a worker fills the slot when it is done. So no more pieces
//! are under way than the queue is long, however unequal they are.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, Sender, SyncSender, channel, sync_channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;

use super::cursor::Cursor;
use super::walk::{Event, Walk};
use crate::error::ShardError;
use crate::example::Example;

/// What is made of an example, or why it is bad.
pub(super) type Work<T> = Arc<dyn Fn(Example) -> Result<T, String> + Send + Sync>;

/// Threads that walk and work ahead.
pub(super) struct Ahead<T> {
    slots: Option<Receiver<Receiver<Event<T>>>>,
    stop: Arc<AtomicBool>,
    threads: Vec<JoinHandle<()>>,
}

type Job<T> = (Sender<Event<T>>, Event<Example>);

impl<T: Send + 'static> Ahead<T> {
    /// Starts the threads; the walk goes on at a cursor.
    pub(super) fn start(walk: Walk, cursor: Cursor, work: Work<T>) -> Result<Self, ShardError> {
        let stop = Arc::clone(&walk.stop);
        let (slot_sender, slots) = sync_channel(walk.order.ahead);
        let (job_sender, jobs) = sync_channel::<Job<T>>(walk.order.ahead);
        let jobs = Arc::new(Mutex::new(jobs));
        let mut ahead = Self { slots: Some(slots), stop, threads: vec![] };
        for _ in 0..walk.order.threads {
            let (jobs, work) = (Arc::clone(&jobs), Arc::clone(&work));
            ahead.spawn("shards-work", move || work_through(&jobs, &work))?;
        }
        // Only workers hold the jobs, so that the walk notices when there are none left.
        drop(jobs);
        ahead
            .spawn("shards-read", move || walk.run(cursor, &mut |event| hand_out(event, &slot_sender, &job_sender)))?;
        Ok(ahead)
    }

    fn spawn(&mut self, name: &str, run: impl FnOnce() + Send + 'static) -> Result<(), ShardError> {
        let thread = std::thread::Builder::new().name(name.into()).spawn(run);
        self.threads.push(thread.map_err(|error| ShardError::Stopped(format!("no thread could be started: {error}")))?);
        Ok(())
    }

    /// The next event; waits until it is there.
    pub(super) fn next(&mut self) -> Result<Event<T>, ShardError> {
        let stopped = || ShardError::Stopped("its thread has ended".into());
        let slot = self.slots.as_ref().and_then(|slots| slots.recv().ok()).ok_or_else(stopped)?;
        slot.recv().map_err(|_| stopped())
    }
}

impl<T> Drop for Ahead<T> {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        // Without a receiver the walk ends with its next event, and without a walk the workers do.
        self.slots = None;
        for thread in self.threads.drain(..) {
            let _ = thread.join();
        }
    }
}

/// Gives an event a slot; whether anybody wants more.
fn hand_out<T>(event: Event<Example>, slots: &SyncSender<Receiver<Event<T>>>, jobs: &SyncSender<Job<T>>) -> bool {
    let (filled, slot) = channel();
    slots.send(slot).is_ok() && jobs.send((filled, event)).is_ok()
}

fn work_through<T>(jobs: &Mutex<Receiver<Job<T>>>, work: &Work<T>) {
    loop {
        let job = jobs.lock().unwrap_or_else(PoisonError::into_inner).recv();
        let Ok((slot, event)) = job else { return };
        // Nobody may want it any more, and then the walk ends soon.
        let _ = slot.send(worked(event, work));
    }
}

/// An event with what is made of its example.
fn worked<T>(event: Event<Example>, work: &Work<T>) -> Event<T> {
    match event {
        Event::Example { next, facts, example } => {
            let key = example.key.clone();
            // A decoder that panics costs one example, not the run.
            let result = catch_unwind(AssertUnwindSafe(|| work(example)));
            match result.unwrap_or_else(|_| Err("the work on it has panicked".into())) {
                Ok(example) => Event::Example { next, facts, example },
                Err(reason) => Event::Bad { next, reason: format!("`{key}`: {reason}") },
            }
        }
        Event::Skipped(reason) => Event::Skipped(reason),
        Event::Remarked(remarks) => Event::Remarked(remarks),
        Event::Entered(cursor) => Event::Entered(cursor),
        Event::Bad { next, reason } => Event::Bad { next, reason },
        Event::OtherSplit { next } => Event::OtherSplit { next },
        Event::EpochEnded => Event::EpochEnded,
        Event::Failed(error) => Event::Failed(error),
    }
}
