//! Everything that the program prints.
//!
//! A reader that went away, as in `interfuse inspect … | head -1`, or a full disk behind `>` must not end the work: what
//! cannot be written is dropped.

use std::fmt::Arguments;
use std::io::{ErrorKind, Write as _};
use std::sync::OnceLock;

/// The first failure of the standard output, other than that its reader went away.
static FAILED: OnceLock<String> = OnceLock::new();

/// Prints a line to the standard output.
macro_rules! say {
    ($($text:tt)*) => { $crate::print::line(format_args!($($text)*)) };
}

/// Prints a line to the standard error.
macro_rules! say_error {
    ($($text:tt)*) => { $crate::print::error_line(format_args!($($text)*)) };
}

pub(crate) use {say, say_error};

pub(crate) fn line(text: Arguments<'_>) {
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
