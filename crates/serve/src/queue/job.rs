//! One image or text to be made, and what is heard of it.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Instant;

use tokio::sync::mpsc::UnboundedSender;

use crate::engine::{
    CaptionSettings, Document, DrawSettings, Drawing, Edit, EngineError, Question, Raster, WriteSettings, Writing,
};

/// What is asked of the engine.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Task {
    Draw(DrawSettings, Drawing),
    Edit(DrawSettings, Edit),
    Caption(CaptionSettings, Raster),
    Answer(CaptionSettings, Question),
    Write(WriteSettings, Writing),
}

impl Task {
    /// Whether both can be in one batch.
    pub(crate) fn goes_with(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Draw(one, _), Self::Draw(other, _)) | (Self::Edit(one, _), Self::Edit(other, _)) => one == other,
            (Self::Caption(one, _), Self::Caption(other, _)) | (Self::Answer(one, _), Self::Answer(other, _)) => {
                one == other
            }
            (Self::Write(one, _), Self::Write(other, _)) => one == other,
            _ => false,
        }
    }
}

/// What the engine made of a task.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Outcome {
    Image(Raster),
    Document(Document),
}

/// What is heard of one job of a request.
#[derive(Debug)]
pub(crate) struct Event {
    /// Counted from 0 within the request.
    pub(crate) item: usize,
    pub(crate) news: News,
}

#[derive(Debug)]
pub(crate) enum News {
    /// The image as it is after `done` steps.
    Preview { done: usize, of: usize, image: Raster },
    /// Words that were written since the last ones.
    Words(String),
    /// An image within a document.
    Drew(Raster),
    /// The last that is heard of this job.
    Done(Result<Outcome, EngineError>),
}

/// How many intermediate images a request wants to see.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Previews(pub(crate) usize);

impl Previews {
    pub(crate) const NONE: Self = Self(0);

    /// Whether the image after `done` of `of` steps is among them. They lie evenly between the start and the last step, which is
    /// the image itself.
    pub(crate) fn shows(self, done: usize, of: usize) -> bool {
        let before = |done: usize| done.saturating_mul(self.0 + 1) / of.max(1);
        let shown = done > 0 && done < of && before(done) > before(done - 1);
        shown || (self.0 + 1 >= of && done > 0 && done < of)
    }
}

/// What the jobs of a request share: whether anybody waits, and for how long.
#[derive(Debug)]
pub(super) struct Life {
    gone: AtomicBool,
    deadline: Instant,
    pub(super) previews: Previews,
    /// Intermediate images that were sent and not heard yet.
    pub(super) unheard: AtomicUsize,
    /// How many of them there may be; a client that reads more slowly misses some.
    pub(super) most_unheard: usize,
}

/// Intermediate images that may lie unheard for each job of a request.
const MOST_UNHEARD: usize = 4;

impl Life {
    pub(super) fn new(deadline: Instant, previews: Previews, jobs: usize) -> Self {
        let most_unheard = jobs.saturating_mul(MOST_UNHEARD);
        Self { gone: AtomicBool::new(false), deadline, previews, unheard: AtomicUsize::new(0), most_unheard }
    }

    pub(super) fn end(&self) {
        self.gone.store(true, Ordering::Relaxed);
    }

    pub(super) fn deadline(&self) -> Instant {
        self.deadline
    }

    pub(super) fn is_wanted(&self) -> bool {
        !self.gone.load(Ordering::Relaxed) && Instant::now() < self.deadline
    }
}

/// A task in the queue.
#[derive(Debug)]
pub(super) struct Job {
    pub(super) task: Task,
    pub(super) item: usize,
    pub(super) life: Arc<Life>,
    pub(super) news: UnboundedSender<Event>,
}

impl Job {
    pub(super) fn is_wanted(&self) -> bool {
        self.life.is_wanted()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn previews_lie_evenly_between_the_start_and_the_last_step() {
        let shown = |count, of| (0..=of).filter(|&done| Previews(count).shows(done, of)).collect::<Vec<_>>();
        assert_eq!(shown(3, 10), [3, 5, 8]);
        assert!(shown(0, 10).is_empty());
        assert_eq!(shown(1, 2), [1]);
        assert_eq!(shown(9, 4), [1, 2, 3]);
        assert!(shown(5, 1).is_empty());
        assert_eq!(shown(usize::MAX - 1, 3), [1, 2]);
        for of in 1..40 {
            for count in 0..40 {
                assert_eq!(shown(count, of).len(), count.min(of - 1), "{count} of {of}");
            }
        }
    }
}
