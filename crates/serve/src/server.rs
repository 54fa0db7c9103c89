//! The server: connections in, answers out, and an orderly end.

use std::future::Future;
use std::net::SocketAddr;
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Duration;

use axum::{Router, middleware};
use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::server::graceful::GracefulShutdown;
use hyper_util::service::TowerToHyperService;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, oneshot};

use crate::app::App;
use crate::config::ServeConfig;
use crate::engine::Engine;
use crate::error::ServeError;
use crate::patience::Patient;
use crate::queue::{Queue, work};
use crate::training::Training;
use crate::{api, guard, page};

/// What is served.
pub struct Served {
    /// The model; [`Idle`](crate::engine::Idle) where there is none yet.
    pub engine: Box<dyn Engine>,
    /// The training run that is watched beside it, if any.
    pub training: Option<Arc<dyn Training>>,
}

/// Serves until `shutdown` is ready. Then no further request is taken, those that are there are given
/// [`grace`](field@ServeConfig::grace) seconds, and what is not ready by then is stopped.
///
/// `bound` hears the address once connections are accepted there. The call blocks, and has threads of its own; it must not be made
/// on a thread of an asynchronous runtime.
///
/// # Errors
/// When a setting or the engine's description cannot be, the address is taken, or the system gives no threads.
pub fn serve(
    served: Served,
    config: &ServeConfig,
    bound: impl FnOnce(SocketAddr),
    shutdown: impl Future<Output = ()>,
) -> Result<(), ServeError> {
    config.validate()?;
    let description = served.engine.description();
    description.validate()?;
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .worker_threads(2)
        // Images are read and written on these.
        .max_blocking_threads(8)
        .thread_name("interfuse-serve")
        .build()
        .map_err(ServeError::Threads)?;
    let queue = Queue::new(config.queue, config.max_batch);
    let result = runtime.block_on(async {
        let address = config.address();
        let bind = |source| ServeError::Bind { address, source };
        let listener = TcpListener::bind(address).await.map_err(bind)?;
        let found = listener.local_addr().map_err(bind)?;
        let worker = Worker::start(served.engine, &queue)?;
        let app = App::new(description, config.clone(), queue.clone(), served.training);
        bound(found);
        run(app, listener, shutdown).await;
        worker.end(&queue).await;
        Ok(())
    });
    // A client that reads nothing keeps no one waiting.
    runtime.shutdown_timeout(Duration::from_secs(1));
    result
}

/// The engine's thread.
struct Worker {
    thread: JoinHandle<()>,
    ended: oneshot::Receiver<()>,
}

/// How long the engine may take to notice that it is to stop.
const STOPPING: Duration = Duration::from_secs(10);

impl Worker {
    fn start(mut engine: Box<dyn Engine>, queue: &Arc<Queue>) -> Result<Self, ServeError> {
        let (end, ended) = oneshot::channel();
        let queue = queue.clone();
        let worker = move || {
            work(&mut *engine, &queue);
            drop(engine);
            // Nobody may be there to hear it.
            let _ = end.send(());
        };
        let thread = std::thread::Builder::new().name("interfuse-engine".into()).spawn(worker);
        Ok(Self { thread: thread.map_err(ServeError::Threads)?, ended })
    }

    /// Ends the engine; one that does not listen is left behind.
    async fn end(self, queue: &Queue) {
        queue.halt();
        match tokio::time::timeout(STOPPING, self.ended).await {
            // The thread has nothing left to do but to end.
            Ok(_) => drop(self.thread.join()),
            Err(_) => tracing::warn!("the model did not stop within {} seconds", STOPPING.as_secs()),
        }
    }
}

fn router(app: Arc<App>) -> Router {
    let keyed = middleware::from_fn_with_state(app.clone(), guard::with_key);
    let guarded = middleware::from_fn_with_state(app.clone(), guard::same_site);
    Router::new()
        .merge(api::routes().route_layer(keyed))
        .merge(page::routes())
        .fallback(api::nothing_here)
        .method_not_allowed_fallback(api::other_method)
        .layer(guarded)
        .with_state(app)
}

/// The largest head of a request in bytes.
const MOST_HEAD: usize = 32 << 10;

/// Accepts connections until `shutdown` is ready, and sees those that are open to their end.
async fn run(app: Arc<App>, listener: TcpListener, shutdown: impl Future<Output = ()>) {
    let open = GracefulShutdown::new();
    let service = TowerToHyperService::new(router(app.clone()));
    let places = Arc::new(Semaphore::new(app.config.max_connections));
    let mut builder = http1::Builder::new();
    builder
        .timer(TokioTimer::new())
        .header_read_timeout(app.config.read_timeout())
        .max_headers(64)
        .max_header_size(MOST_HEAD)
        .max_buf_size(64 << 10);
    let mut shutdown = std::pin::pin!(shutdown);
    loop {
        let accepted = tokio::select! {
            () = &mut shutdown => break,
            accepted = accept(&listener, &places) => accepted,
        };
        let Some((stream, place)) = accepted else { continue };
        let stream = Patient::new(stream, app.config.read_timeout());
        let connection = open.watch(builder.serve_connection(TokioIo::new(stream), service.clone()));
        tokio::spawn(async move {
            let _place = place;
            if let Err(error) = connection.await {
                tracing::debug!("a connection ended early: {error}");
            }
        });
    }
    drop(listener);
    app.queue.close();
    let mut left = std::pin::pin!(open.shutdown());
    if tokio::time::timeout(app.config.grace(), &mut left).await.is_err() {
        app.queue.halt();
        // Clients hear that the server ends, if they listen.
        let _ = tokio::time::timeout(Duration::from_secs(1), left).await;
    }
}

/// The next connection, once there is a place for it.
async fn accept(listener: &TcpListener, places: &Arc<Semaphore>) -> Option<(TcpStream, OwnedSemaphorePermit)> {
    let place = places.clone().acquire_owned().await.ok()?;
    match listener.accept().await {
        Ok((stream, _)) => {
            // Events are small and are wanted at once; without this the system may hold them back.
            let _ = stream.set_nodelay(true);
            Some((stream, place))
        }
        Err(error) => {
            // Too many open files, most likely: it passes.
            tracing::warn!("a connection could not be accepted: {error}");
            tokio::time::sleep(Duration::from_millis(50)).await;
            None
        }
    }
}
