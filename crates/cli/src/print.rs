//! Everything that the program prints.
//!
//! A reader that went away, as in `interfuse inspect … | head -1`, or a full disk behind `>` must not end the work: what
//! cannot be written is dropped.

use std::fmt::Arguments;
use std::io::{ErrorKind, Write as _};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, Ordering};

/// The first failure of the standard output, other than that its reader went away.
static FAILED: OnceLock<String> = OnceLock::new();

/// Whether words go to the standard error, because the standard output is one answer as JSON.
static WORDS_BESIDE: AtomicBool = AtomicBool::new(false);

/// Prints a line of words to the standard output, or beside an answer as JSON to the standard error.
macro_rules! say {
    ($($text:tt)*) => { $crate::print::line(format_args!($($text)*)) };
}

/// Prints a line to the standard error.
macro_rules! say_error {
    ($($text:tt)*) => { $crate::print::error_line(format_args!($($text)*)) };
}

pub(crate) use {say, say_error};

/// From here on words go to the standard error.
pub(crate) fn leave_standard_output_to_the_answer() {
    WORDS_BESIDE.store(true, Ordering::Relaxed);
}

pub(crate) fn line(text: Arguments<'_>) {
    match WORDS_BESIDE.load(Ordering::Relaxed) {
        true => error_line(text),
        false => answer(text),
    }
}

/// Prints a line to the standard output, whatever goes beside it.
pub(crate) fn answer(text: Arguments<'_>) {
    let mut out = std::io::stdout().lock();
    // A reader waits for lines, even behind a pipe.
    if let Err(error) = writeln!(out, "{text}").and_then(|()| out.flush())
        && error.kind() != ErrorKind::BrokenPipe
    {
        FAILED.get_or_init(|| error.to_string());
    }
}

pub(crate) fn error_line(text: Arguments<'_>) {
    // There is nowhere left to complain to.
    let _ = writeln!(std::io::stderr().lock(), "{text}");
}

/// Why some of the standard output is lost, if it is and somebody still waits for it.
pub(crate) fn failure() -> Option<&'static str> {
    FAILED.get().map(String::as_str)
}
