//! The engine's thread: a batch after the other, until the queue ends.

use std::ops::ControlFlow;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::Ordering;
use std::time::Instant;

use super::Queue;
use super::job::{Event, Job, News, Outcome, Task};
use crate::engine::{Caption, Document, Engine, EngineError, Observer, Piece, Raster, Results};

/// Works until the queue is closed and empty.
pub(crate) fn work(engine: &mut dyn Engine, queue: &Queue) {
    while let Some(batch) = queue.next_batch() {
        let started = Instant::now();
        let mut watch = Watch { queue, jobs: &batch };
        // An engine that panics has lost one batch; the server outlives it and says so to those who waited.
        let outcomes = catch_unwind(AssertUnwindSafe(|| compute(engine, &mut watch))).unwrap_or_else(|_| {
            tracing::error!("the model stopped with a panic in the middle of a batch");
            vec![Err(EngineError::Failed("the model stopped in the middle of its work".into())); batch.len()]
        });
        let count = batch.len();
        // Counted first: whoever hears that a job is done must not find it running.
        queue.finished(count, started.elapsed());
        let missing = std::iter::repeat_with(|| Err(EngineError::Failed("the model returned no result".into())));
        for (job, outcome) in batch.iter().zip(outcomes.into_iter().chain(missing)) {
            job.tell(News::Done(outcome));
        }
    }
}

fn compute(engine: &mut dyn Engine, watch: &mut Watch<'_>) -> Results<Outcome> {
    let jobs = watch.jobs;
    let Some(first) = jobs.first() else { return vec![] };
    match &first.task {
        Task::Draw(settings, _) => {
            let drawings = collect(jobs, |task| match task {
                Task::Draw(_, drawing) => Some(drawing.clone()),
                _ => None,
            });
            images(engine.draw(&drawings, settings, watch))
        }
        Task::Edit(settings, _) => {
            let edits = collect(jobs, |task| match task {
                Task::Edit(_, edit) => Some(edit.clone()),
                _ => None,
            });
            images(engine.edit(&edits, settings, watch))
        }
        Task::Caption(settings, _) => {
            let images = collect(jobs, |task| match task {
                Task::Caption(_, image) => Some(image.clone()),
                _ => None,
            });
            words(engine.caption(&images, settings, watch))
        }
        Task::Answer(settings, _) => {
            let questions = collect(jobs, |task| match task {
                Task::Answer(_, question) => Some(question.clone()),
                _ => None,
            });
            words(engine.answer(&questions, settings, watch))
        }
        Task::Write(settings, _) => {
            let writings = collect(jobs, |task| match task {
                Task::Write(_, writing) => Some(writing.clone()),
                _ => None,
            });
            engine.write(&writings, settings, watch).into_iter().map(|result| result.map(Outcome::Document)).collect()
        }
    }
}

/// What the jobs of a batch, all of one kind, ask for.
fn collect<T>(jobs: &[Job], of: impl Fn(&Task) -> Option<T>) -> Vec<T> {
    jobs.iter().filter_map(|job| of(&job.task)).collect()
}

fn words(results: Results<Caption>) -> Results<Outcome> {
    let document = |Caption { text, is_cut }| Document { pieces: vec![Piece::Text(text)], is_cut };
    results.into_iter().map(|caption| caption.map(document).map(Outcome::Document)).collect()
}

fn images(results: Results<Raster>) -> Results<Outcome> {
    results.into_iter().map(|result| result.map(Outcome::Image)).collect()
}

impl Job {
    fn tell(&self, news: News) {
        // Nobody may be there to hear it.
        let _ = self.news.send(Event { item: self.item, news });
    }
}

struct Watch<'a> {
    queue: &'a Queue,
    jobs: &'a [Job],
}

impl Observer for Watch<'_> {
    fn is_wanted(&self, item: usize) -> bool {
        !self.queue.is_halted() && self.jobs.get(item).is_some_and(Job::is_wanted)
    }

    fn stepped(&mut self, done: usize, of: usize, look: &mut dyn FnMut(usize) -> Option<Raster>) -> ControlFlow<()> {
        for (item, job) in self.jobs.iter().enumerate() {
            let unheard = &job.life.unheard;
            let has_room = unheard.load(Ordering::Relaxed) < job.life.most_unheard;
            let watched = has_room && job.life.previews.shows(done, of);
            if watched
                && job.is_wanted()
                && let Some(image) = look(item)
            {
                unheard.fetch_add(1, Ordering::Relaxed);
                job.tell(News::Preview { done, of, image });
            }
        }
        self.goes_on()
    }

    fn wrote(&mut self, item: usize, words: &str) -> ControlFlow<()> {
        if let Some(job) = self.jobs.get(item).filter(|_| !words.is_empty()) {
            job.tell(News::Words(words.into()));
        }
        self.goes_on()
    }

    fn drew(&mut self, item: usize, image: &Raster) -> ControlFlow<()> {
        if let Some(job) = self.jobs.get(item) {
            job.tell(News::Drew(image.clone()));
        }
        self.goes_on()
    }

    fn goes_on(&self) -> ControlFlow<()> {
        match !self.queue.is_halted() && self.jobs.iter().any(Job::is_wanted) {
            true => ControlFlow::Continue(()),
            false => ControlFlow::Break(()),
        }
    }
}
