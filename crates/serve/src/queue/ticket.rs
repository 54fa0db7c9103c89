//! What a request holds of its jobs. Dropped, it takes them back.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use tokio::sync::mpsc::UnboundedReceiver;

use super::Queue;
use super::job::{Event, Life, News};
use crate::engine::EngineError;

/// Why nothing more is heard.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Silence {
    /// The time of the request is over.
    TimedOut,
    /// The server ends.
    Halted,
}

#[derive(Debug)]
pub(crate) struct Ticket {
    events: UnboundedReceiver<Event>,
    life: Arc<Life>,
    queue: Arc<Queue>,
    count: usize,
}

impl Ticket {
    pub(super) fn new(events: UnboundedReceiver<Event>, life: Arc<Life>, queue: Arc<Queue>, count: usize) -> Self {
        Self { events, life, queue, count }
    }

    /// Jobs of the request.
    pub(crate) fn count(&self) -> usize {
        self.count
    }

    /// The next that is heard of any job.
    pub(crate) async fn next(&mut self) -> Result<Event, Silence> {
        match tokio::time::timeout_at(self.life.deadline().into(), self.events.recv()).await {
            Err(_) => Err(Silence::TimedOut),
            // The engine's thread drops a job that is past its deadline without a word.
            Ok(None) if !self.life.is_wanted() => Err(Silence::TimedOut),
            Ok(None) => Err(Silence::Halted),
            // An engine that was told to stop may say so before the clock does.
            Ok(Some(Event { news: News::Done(Err(EngineError::Stopped)), .. })) if self.queue.is_halted() => {
                Err(Silence::Halted)
            }
            Ok(Some(Event { news: News::Done(Err(EngineError::Stopped)), .. })) if !self.life.is_wanted() => {
                Err(Silence::TimedOut)
            }
            Ok(Some(event)) => {
                if matches!(event.news, News::Preview { .. }) {
                    self.life.unheard.fetch_sub(1, Ordering::Relaxed);
                }
                Ok(event)
            }
        }
    }
}

impl Drop for Ticket {
    fn drop(&mut self) {
        self.life.end();
        self.queue.forget_unwanted();
    }
}
