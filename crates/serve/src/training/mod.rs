//! A training run that is watched while it goes on, behind a trait.

pub(crate) mod curves;

use serde::Serialize;

/// Why a run cannot be watched; the client is told the sentence.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct TrainingError(pub String);

/// How far a run is.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct TrainingStatus {
    /// What the run is called.
    pub name: String,
    /// Whether it goes on.
    pub state: TrainingState,
    /// Steps that are taken.
    pub step: u64,
    /// Steps of the whole run.
    pub steps: u64,
    /// Steps a second of late, if known.
    pub steps_per_second: Option<f64>,
    /// Seconds until its end at that pace, if known.
    pub seconds_left: Option<f64>,
    /// The step of the newest preview, if there is one.
    pub preview_step: Option<u64>,
}

/// Whether a run goes on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum TrainingState {
    /// It takes steps.
    Running,
    /// It came to its end.
    Finished,
    /// It came to no end, and nothing was heard of it for a while.
    Quiet,
}

/// A number that a run recorded.
#[derive(Debug, Clone, PartialEq)]
pub struct MetricPoint {
    /// What it is, such as `loss/text`.
    pub name: String,
    /// The step after which it was recorded.
    pub step: u64,
    /// Its value; a non-finite one is left out of the curve.
    pub value: f64,
}

/// The newest preview of a run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Preview {
    /// The step after which it was made.
    pub step: u64,
    /// A PNG file.
    pub png: Vec<u8>,
}

/// A training run that is watched. Its methods may read files; they are called from several threads, each time the page asks.
pub trait Training: Send + Sync + 'static {
    /// How far it is.
    ///
    /// # Errors
    /// When that cannot be read.
    fn status(&self) -> Result<TrainingStatus, TrainingError>;

    /// What was recorded after step `after`, or from the beginning, each name in the order of its steps.
    ///
    /// # Errors
    /// When that cannot be read.
    fn metrics(&self, after: Option<u64>) -> Result<Vec<MetricPoint>, TrainingError>;

    /// The newest preview, if there is one.
    ///
    /// # Errors
    /// When it cannot be read.
    fn preview(&self) -> Result<Option<Preview>, TrainingError>;
}
