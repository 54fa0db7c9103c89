//! `metrics.jsonl`: one JSON object a line, each line on its way to the disk before the next step begins.

use std::fs::{self, File, OpenOptions};
use std::io::Write as _;
use std::path::{Path, PathBuf};

use interfuse_parameters::durable::write_file;
use serde::Serialize;
use serde_json::Value;

use crate::error::{Context as _, Result, refuse};

/// An open `metrics.jsonl`.
#[derive(Debug)]
pub struct JsonLines {
    path: PathBuf,
    file: File,
}

impl JsonLines {
    /// Starts a new, empty file.
    ///
    /// # Errors
    /// The path cannot be written.
    pub fn create(path: &Path) -> Result<Self> {
        let file = File::create(path).with_context(|| format!("cannot write {}", path.display()))?;
        Ok(Self { path: path.to_owned(), file })
    }

    /// Goes on with the file of a run that resumes after `step` steps.
    ///
    /// Lines of later steps are dropped, for those steps come again, and so is a last line that an interruption tore. A
    /// line without `step` is kept. A missing file is made.
    ///
    /// # Errors
    /// The file cannot be read or written, or a line before the last is not JSON.
    pub fn resume(path: &Path, step: u64) -> Result<Self> {
        if path.exists() {
            let text = fs::read(path).with_context(|| format!("cannot read {}", path.display()))?;
            write_file(path, &lines_until(path, &text, step)?)?;
        }
        let file = OpenOptions::new()
            .append(true)
            .create(true)
            .open(path)
            .with_context(|| format!("cannot write {}", path.display()))?;
        Ok(Self { path: path.to_owned(), file })
    }

    /// Appends one record, which should be an object with a whole number `step`.
    ///
    /// # Errors
    /// The record is not expressible as JSON, or the disk is full.
    pub fn write<T: Serialize>(&mut self, record: &T) -> Result<()> {
        let mut line = serde_json::to_vec(record).context("cannot express a metrics record as JSON")?;
        line.push(b'\n');
        // One call for the whole line, unbuffered: a process that is killed leaves at most one torn line behind.
        self.file.write_all(&line).with_context(|| format!("cannot write {}", self.path.display()))
    }
}

/// The lines of `text` up to and including those of `step`.
fn lines_until(path: &Path, text: &[u8], step: u64) -> Result<Vec<u8>> {
    let mut kept = Vec::with_capacity(text.len());
    let mut lines = text.split(|&byte| byte == b'\n').enumerate().filter(|(_, line)| !line.is_empty()).peekable();
    while let Some((index, line)) = lines.next() {
        match serde_json::from_slice::<Value>(line) {
            Ok(record) if record["step"].as_u64().is_none_or(|at| at <= step) => {
                kept.extend_from_slice(line);
                kept.push(b'\n');
            }
            Ok(_) => {}
            Err(_) if lines.peek().is_none() => {}
            Err(error) => refuse!(
                "{}, line {} is not JSON ({error}): take the line out to resume this run",
                path.display(),
                index + 1
            ),
        }
    }
    Ok(kept)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn resumed(text: &str, step: u64) -> Result<String, String> {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("metrics.jsonl");
        fs::write(&path, text).unwrap();
        JsonLines::resume(&path, step)
            .and_then(|mut lines| lines.write(&json!({ "step": step + 1, "again": true })))
            .map(|()| fs::read_to_string(&path).unwrap())
            .map_err(|error| error.to_string())
    }

    #[test]
    fn each_record_is_a_line() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("metrics.jsonl");
        let mut lines = JsonLines::create(&path).unwrap();
        lines.write(&json!({ "step": 1, "loss": 0.5 })).unwrap();
        lines.write(&json!({ "step": 2, "loss": 0.25 })).unwrap();
        let expected = "{\"step\":1,\"loss\":0.5}\n{\"step\":2,\"loss\":0.25}\n";
        assert_eq!(fs::read_to_string(&path).unwrap(), expected);
    }

    #[test]
    fn resuming_drops_what_will_come_again_and_a_torn_line() {
        let text = "{\"step\":9}\n{\"note\":\"kept\"}\n{\"step\":10}\n{\"step\":11}\n{\"step\":1";
        let expected = "{\"step\":9}\n{\"note\":\"kept\"}\n{\"step\":10}\n{\"step\":11,\"again\":true}\n";
        assert_eq!(resumed(text, 10).unwrap(), expected);
    }

    #[test]
    fn a_last_line_that_lacks_only_its_end_is_kept() {
        assert_eq!(resumed("{\"step\":1}", 1).unwrap(), "{\"step\":1}\n{\"step\":2,\"again\":true}\n");
    }

    #[test]
    fn a_file_that_someone_else_wrote_is_not_cut() {
        let error = resumed("{\"step\":1}\nnote to self\n{\"step\":2}\n", 1).unwrap_err();
        assert!(error.contains("metrics.jsonl, line 2 is not JSON"), "{error}");
    }

    #[test]
    fn a_missing_file_is_made() {
        let folder = tempfile::tempdir().unwrap();
        JsonLines::resume(&folder.path().join("metrics.jsonl"), 5).unwrap();
    }
}
