//! How long work ends before its end: by Ctrl-C, or by an error.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use anyhow::Context;
use interfuse_trainer::TrainError;

use crate::run_folder::RunFolder;

/// A flag that Ctrl-C sets; the second time ends the program at once.
pub(crate) fn stop_on_ctrl_c() -> anyhow::Result<Arc<AtomicBool>> {
    let stop = Arc::new(AtomicBool::new(false));
    let flag = Arc::clone(&stop);
    let handler = move || {
        if flag.swap(true, Ordering::Relaxed) {
            // Asked twice: do not wait for the step and the checkpoint.
            std::process::exit(130);
        }
        eprintln!("\nstopping when this step is done and saved; Ctrl-C again ends at once, without saving");
    };
    ctrlc::set_handler(handler).context("cannot listen to Ctrl-C")?;
    Ok(stop)
}

/// Says which checkpoint is left after an error.
pub(crate) fn with_last_checkpoint(error: TrainError, folder: &RunFolder) -> anyhow::Error {
    let good = match folder.latest_checkpoint() {
        Ok(Some(path)) => format!("the last good checkpoint is {}", path.display()),
        _ => "there is no checkpoint yet".to_string(),
    };
    anyhow::Error::new(error).context(format!("training ended early; {good}"))
}
