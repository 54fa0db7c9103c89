//! How work ends before its end: by Ctrl-C, or because the system asks for it.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use anyhow::Context;

use crate::print::say_error;

/// A flag that Ctrl-C sets, and SIGTERM, by which schedulers and containers end programs. Ctrl-C for the second time ends
/// the program at once.
pub(crate) fn stop_when_asked() -> anyhow::Result<Arc<AtomicBool>> {
    stop_saying("stopping when this step is done and saved; Ctrl-C again ends at once, without saving")
}

/// As [`stop_when_asked`], with what is said when Ctrl-C comes first.
pub(crate) fn stop_saying(words: &'static str) -> anyhow::Result<Arc<AtomicBool>> {
    let stop = Arc::new(AtomicBool::new(false));
    let flag = Arc::clone(&stop);
    let handler = move || {
        if flag.swap(true, Ordering::Relaxed) {
            // Asked twice: do not wait for the step and the checkpoint.
            std::process::exit(130);
        }
        say_error!("\n{words}");
    };
    ctrlc::set_handler(handler).context("cannot listen to Ctrl-C")?;
    #[cfg(unix)]
    signal_hook::flag::register(signal_hook::consts::SIGTERM, Arc::clone(&stop)).context("cannot listen to SIGTERM")?;
    Ok(stop)
}
