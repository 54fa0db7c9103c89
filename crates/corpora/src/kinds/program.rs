//! Asking a program of the machine for a path.

use std::path::PathBuf;
use std::process::Command;

/// The path that a program prints on a line; none where there is no such program, or it fails.
pub(super) fn path_printed_by(program: &str, arguments: &[&str]) -> Option<PathBuf> {
    let output = Command::new(program).args(arguments).output().ok()?;
    let text = String::from_utf8(output.stdout).ok()?;
    let line = text.lines().next()?.trim();
    (output.status.success() && !line.is_empty()).then(|| PathBuf::from(line))
}
