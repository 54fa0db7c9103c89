//! How long each operation takes on the CPU, and which kernels a GPU is given, for whoever asks (`interfuse bench step
//! --by-operation`).
//!
//! An operation that runs within another counts as that one's. Workers that compute side by side each count their own time, so
//! sums may be as many times the clock's as there are workers. What Burn's primitives take is in none of them.

use std::cell::Cell;
use std::collections::BTreeMap;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

#[cfg(feature = "gpu")]
pub use crate::gpu::launches::launches;

static ASKED: AtomicBool = AtomicBool::new(false);
static TIMES: Mutex<BTreeMap<&'static str, OperationTime>> = Mutex::new(BTreeMap::new());

thread_local! {
    static WITHIN: Cell<bool> = const { Cell::new(false) };
}

/// How often an operation ran, and how long it took in all.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct OperationTime {
    /// Forward and backward passes count apart.
    pub calls: u64,
    /// Over all workers.
    pub time: Duration,
}

/// Runs `f` and says what the operations on the CPU took meanwhile, by their names, those of all threads. One at a time.
pub fn timed<T>(f: impl FnOnce() -> T) -> (T, BTreeMap<&'static str, OperationTime>) {
    /// Stops counting even when `f` panics.
    struct Asked;
    impl Drop for Asked {
        fn drop(&mut self) {
            ASKED.store(false, Ordering::Relaxed);
        }
    }
    drop(take());
    ASKED.store(true, Ordering::Relaxed);
    let asked = Asked;
    let out = f();
    drop(asked);
    (out, take())
}

fn take() -> BTreeMap<&'static str, OperationTime> {
    std::mem::take(&mut *TIMES.lock().unwrap_or_else(std::sync::PoisonError::into_inner))
}

/// An operation that is running, until it is dropped.
pub(crate) struct Running {
    operation: &'static str,
    since: Instant,
}

/// Begins to count for an operation; nothing where nobody asks, or within another.
pub(crate) fn operation(operation: &'static str) -> Option<Running> {
    if !ASKED.load(Ordering::Relaxed) || WITHIN.replace(true) {
        return None;
    }
    Some(Running { operation, since: Instant::now() })
}

impl Drop for Running {
    fn drop(&mut self) {
        WITHIN.set(false);
        let mut times = TIMES.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        let entry = times.entry(self.operation).or_default();
        entry.calls += 1;
        entry.time += self.since.elapsed();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_outermost_operation_counts_and_only_when_someone_asks() {
        let work = || {
            let _outer = operation("outer of a test");
            let _inner = operation("inner of a test");
            std::thread::sleep(Duration::from_millis(5));
        };
        work();
        let ((), times) = timed(|| {
            work();
            std::thread::scope(|scope| scope.spawn(work).join().unwrap());
        });
        let outer = times["outer of a test"];
        assert_eq!(outer.calls, 2);
        assert!(outer.time >= Duration::from_millis(10), "{outer:?}");
        assert!(!times.contains_key("inner of a test"));
        work();
        assert!(!timed(|| ()).1.contains_key("outer of a test"), "what nobody asked for is not counted");
    }
}
