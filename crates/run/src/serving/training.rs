//! A run folder that is watched, whether its training goes on or not.

use std::path::PathBuf;
use std::time::{Duration, SystemTime};

use interfuse_serve::training::{MetricPoint, Preview, Training, TrainingError, TrainingState, TrainingStatus};
use serde_json::Value;

use crate::configuration;
use crate::run_folder::RunFolder;
use crate::settings::Settings;

/// After so long without a record, nothing is heard of a run.
const QUIET: Duration = Duration::from_secs(120);
/// Steps over which the pace is taken.
const OF_LATE: usize = 50;

/// A run folder.
pub struct RunTraining {
    folder: PathBuf,
}

impl RunTraining {
    /// Watches a run folder; what is not there yet is looked for again each time.
    pub fn new(folder: PathBuf) -> Self {
        Self { folder }
    }

    /// The records of the run, as far as they are whole.
    fn records(&self) -> Result<Vec<Value>, TrainingError> {
        let path = self.folder.join("metrics.jsonl");
        match std::fs::read_to_string(&path) {
            Ok(text) => Ok(text.lines().filter_map(|line| serde_json::from_str(line).ok()).collect()),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(vec![]),
            Err(error) => Err(TrainingError(format!("cannot read {}: {error}", path.display()))),
        }
    }

    /// The newest preview and its step.
    fn newest_preview(&self) -> Option<(u64, PathBuf)> {
        let entries = std::fs::read_dir(self.folder.join("previews")).ok()?;
        let of = |path: PathBuf| {
            let step = path.file_stem()?.to_str()?.strip_prefix("step-")?.parse().ok()?;
            (path.extension()? == "png").then_some((step, path))
        };
        entries.flatten().filter_map(|entry| of(entry.path())).max()
    }

    fn steps(&self) -> Result<u64, TrainingError> {
        let fail = |error: crate::error::RunError| TrainingError(crate::error::sentence(&error));
        let folder = RunFolder::open(&self.folder).map_err(fail)?;
        let settings: Settings = configuration::load(&folder.config(), &[]).map_err(fail)?;
        Ok(settings.train.steps)
    }
}

fn step_of(record: &Value) -> Option<u64> {
    record.get("step").and_then(Value::as_u64)
}

impl Training for RunTraining {
    fn status(&self) -> Result<TrainingStatus, TrainingError> {
        let (records, steps) = (self.records()?, self.steps()?);
        let paces: Vec<(u64, f64)> = records
            .iter()
            .filter_map(|record| Some((step_of(record)?, record.get("seconds").and_then(Value::as_f64)?)))
            .collect();
        let step = records.iter().filter_map(step_of).max().unwrap_or(0);
        let late = &paces[paces.len().saturating_sub(OF_LATE)..];
        let steps_per_second = match (late.first(), late.last()) {
            (Some((first, began)), Some((last, ended))) if ended > began => {
                Some((last - first) as f64 / (ended - began))
            }
            _ => None,
        };
        let written = std::fs::metadata(self.folder.join("metrics.jsonl")).and_then(|file| file.modified()).ok();
        let age = written.and_then(|written| SystemTime::now().duration_since(written).ok());
        let state = match (step >= steps, age) {
            (true, _) => TrainingState::Finished,
            (false, Some(age)) if age < QUIET => TrainingState::Running,
            _ => TrainingState::Quiet,
        };
        let name = self.folder.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
        let left = steps_per_second.filter(|pace| *pace > 0.0).map(|pace| steps.saturating_sub(step) as f64 / pace);
        Ok(TrainingStatus {
            name,
            state,
            step,
            steps,
            steps_per_second,
            seconds_left: left.filter(|_| state == TrainingState::Running),
            preview_step: self.newest_preview().map(|(step, _)| step),
        })
    }

    fn metrics(&self, after: Option<u64>) -> Result<Vec<MetricPoint>, TrainingError> {
        let mut points = vec![];
        for record in self.records()? {
            let (Some(step), Some(fields)) = (step_of(&record), record.as_object()) else { continue };
            if after.is_some_and(|after| step <= after) {
                continue;
            }
            let of_interest = |name: &str| name.contains("loss") || name == "gradient_norm" || name == "learning_rate";
            let numbers = fields.iter().filter(|(name, _)| of_interest(name));
            points
                .extend(numbers.filter_map(|(name, value)| {
                    Some(MetricPoint { name: name.clone(), step, value: value.as_f64()? })
                }));
        }
        Ok(points)
    }

    fn preview(&self) -> Result<Option<Preview>, TrainingError> {
        let Some((step, path)) = self.newest_preview() else { return Ok(None) };
        let png =
            std::fs::read(&path).map_err(|error| TrainingError(format!("cannot read {}: {error}", path.display())))?;
        Ok(Some(Preview { step, png }))
    }
}
