//! What every handler shares.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Instant, SystemTime, UNIX_EPOCH};

use axum::http::StatusCode;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::api::error::ApiError;
use crate::config::ServeConfig;
use crate::engine::Description;
use crate::queue::{Previews, Queue, Task, Ticket};
use crate::training::Training;

pub(crate) struct App {
    pub(crate) description: Description,
    pub(crate) config: ServeConfig,
    pub(crate) queue: Arc<Queue>,
    pub(crate) training: Option<Arc<dyn Training>>,
    pub(crate) uploads: Uploads,
    answers: AtomicU64,
}

impl App {
    pub(crate) fn new(
        description: Description,
        config: ServeConfig,
        queue: Arc<Queue>,
        training: Option<Arc<dyn Training>>,
    ) -> Arc<Self> {
        let uploads = Uploads::new(config.max_body);
        Arc::new(Self { description, config, queue, training, uploads, answers: AtomicU64::new(1) })
    }

    /// Puts a request into the queue. Its time begins now.
    pub(crate) fn submit(&self, tasks: Vec<Task>, previews: Previews) -> Result<Ticket, ApiError> {
        Ok(self.queue.submit(tasks, previews, Instant::now() + self.config.timeout())?)
    }

    /// A number that no other answer of this server has.
    pub(crate) fn next_answer(&self) -> u64 {
        self.answers.fetch_add(1, Ordering::Relaxed)
    }
}

/// Seconds since 1970.
pub(crate) fn now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs())
}

/// The room that all bodies together may take up: that of 16 of the largest ones.
pub(crate) struct Uploads(Arc<Semaphore>);

/// Room is counted in pieces of so many bytes.
const PIECE: usize = 1024;

impl Uploads {
    fn new(max_body: usize) -> Self {
        Self(Arc::new(Semaphore::new(max_body.div_ceil(PIECE).saturating_mul(16))))
    }

    /// Adds room for so many bytes to what a body has.
    pub(crate) fn take(&self, room: &mut Option<OwnedSemaphorePermit>, bytes: usize) -> Result<(), ApiError> {
        let pieces = u32::try_from(bytes.div_ceil(PIECE)).unwrap_or(u32::MAX);
        let Ok(more) = self.0.clone().try_acquire_many_owned(pieces) else {
            let error =
                ApiError::new(StatusCode::SERVICE_UNAVAILABLE, "too much is being sent at once; ask again later");
            return Err(ApiError { retry_after: Some(1), ..error.with_code("uploads_full") });
        };
        match room {
            Some(room) => room.merge(more),
            None => *room = Some(more),
        }
        Ok(())
    }
}
