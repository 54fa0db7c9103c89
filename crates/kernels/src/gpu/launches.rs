//! Which kernels a GPU is given, and how long each takes, for whoever asks.
//!
//! What a library multiplies (cuBLASLt) is no launch of the framework and is not seen here.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use cubecl::config::{TypeNameFormatLevel, type_name_format};
use cubecl::future::block_on;
use cubecl::logging::{Duration, LaunchObservation, LaunchObserver, ProfileDuration, TimingMethod, TimingRequest};

use crate::timing::OperationTime;

/// Counts launches, and keeps what the device says of their time until nobody is in a hurry.
#[derive(Default)]
struct Counter {
    times: Mutex<BTreeMap<&'static str, OperationTime>>,
    unread: Mutex<Vec<(&'static str, ProfileDuration)>>,
    is_timed: bool,
}

impl Counter {
    fn change(&self, kernel: &'static str, change: impl FnOnce(&mut OperationTime)) {
        change(self.times.lock().unwrap_or_else(PoisonError::into_inner).entry(kernel).or_default());
    }
}

impl LaunchObserver for Counter {
    fn launched(&self, kernel: &'static str) {
        self.change(kernel, |found| found.calls += 1);
    }

    fn timing(&self) -> TimingRequest {
        if self.is_timed { TimingRequest::Deferred } else { TimingRequest::None }
    }

    fn profiled(&self, kernel: &'static str, profile: ProfileDuration) {
        self.unread.lock().unwrap_or_else(PoisonError::into_inner).push((kernel, profile));
    }

    fn timed(&self, kernel: &'static str, duration: Duration, _: TimingMethod) {
        self.change(kernel, |found| found.time += duration);
    }
}

/// Runs `f` and says which kernels were launched meanwhile, by any thread: how often, and, if `is_timed`, for how long they ran.
/// Timing puts marks between launches, which cost the host a little each.
pub fn launches<T>(is_timed: bool, f: impl FnOnce() -> T) -> (T, BTreeMap<String, OperationTime>) {
    let counter = Arc::new(Counter { is_timed, ..Counter::default() });
    let watching = LaunchObservation::new(counter.clone());
    let out = f();
    drop(watching);
    for (kernel, profile) in std::mem::take(&mut *counter.unread.lock().unwrap_or_else(PoisonError::into_inner)) {
        if let Some(ticks) = block_on(profile.resolve()) {
            counter.change(kernel, |found| found.time += ticks.duration());
        }
    }
    let mut by_name = BTreeMap::<String, OperationTime>::new();
    for (kernel, found) in counter.times.lock().unwrap_or_else(PoisonError::into_inner).iter() {
        let all = by_name.entry(type_name_format(kernel, TypeNameFormatLevel::Balanced)).or_default();
        all.calls += found.calls;
        all.time += found.time;
    }
    (out, by_name)
}
