//! Why a run could not start, go on or be measured.

use std::error::Error as StdError;

use interfuse_checkpoint::CheckpointError;
use interfuse_data::DataError;
use interfuse_evaluation::EvaluationError;
use interfuse_parameters::FileError;
use interfuse_sampling::SamplingError;
use interfuse_speech::SpeechError;
use interfuse_sweep::SweepError;
use interfuse_trainer::TrainError;
use interfuse_transfusion::ConfigError;
use interfuse_vae::VaeError;
use thiserror::Error;

/// Any failure of this crate. [`sentence`] says it with its causes.
#[derive(Debug, Error)]
pub enum RunError {
    /// What was asked for cannot be done: which key or file, what was expected and what was found.
    #[error("{0}")]
    Refused(String),
    /// A failure, and what was being done.
    #[error("{context}")]
    Within {
        /// What was being done, or with what.
        context: String,
        /// What failed.
        source: Box<dyn StdError + Send + Sync>,
    },
    /// A file or folder cannot be read or written.
    #[error(transparent)]
    File(#[from] FileError),
    /// From the data.
    #[error(transparent)]
    Data(#[from] DataError),
    /// From the model's settings.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// From an autoencoder.
    #[error(transparent)]
    Vae(#[from] VaeError),
    /// From clips, units or a unit codec.
    #[error(transparent)]
    Speech(#[from] SpeechError),
    /// From a model's folder.
    #[error(transparent)]
    Checkpoint(#[from] CheckpointError),
    /// From training.
    #[error(transparent)]
    Train(#[from] TrainError),
    /// From sampling.
    #[error(transparent)]
    Sampling(#[from] SamplingError),
    /// From child processes that train.
    #[error(transparent)]
    Sweep(#[from] SweepError),
    /// From measuring.
    #[error(transparent)]
    Evaluation(#[from] EvaluationError),
    /// A value that JSON cannot express.
    #[error("cannot express as JSON: {0}")]
    Json(#[from] serde_json::Error),
    /// A text that could not be put together.
    #[error(transparent)]
    Text(#[from] std::fmt::Error),
}

/// What this crate's functions return.
pub type Result<T, E = RunError> = std::result::Result<T, E>;

/// An error and its causes in one sentence. Many of our messages already end with their cause, which is then not said
/// again.
pub fn sentence(error: &(dyn StdError + 'static)) -> String {
    let mut sentence = String::new();
    let chain = std::iter::successors(Some(error), |error| (*error).source());
    for part in chain.map(ToString::to_string).filter(|part| !part.is_empty()) {
        if sentence.is_empty() {
            sentence = part;
        } else if !sentence.ends_with(&part) {
            sentence = format!("{sentence}: {part}");
        }
    }
    sentence
}

/// Says what was being done when something failed.
pub(crate) trait Context<T> {
    fn context(self, context: impl Into<String>) -> Result<T>;
    fn with_context(self, context: impl FnOnce() -> String) -> Result<T>;
}

impl<T, E: Into<Box<dyn StdError + Send + Sync>>> Context<T> for std::result::Result<T, E> {
    fn context(self, context: impl Into<String>) -> Result<T> {
        self.map_err(|error| RunError::Within { context: context.into(), source: error.into() })
    }

    fn with_context(self, context: impl FnOnce() -> String) -> Result<T> {
        self.map_err(|error| RunError::Within { context: context(), source: error.into() })
    }
}

impl<T> Context<T> for Option<T> {
    fn context(self, context: impl Into<String>) -> Result<T> {
        self.ok_or_else(|| RunError::Refused(context.into()))
    }

    fn with_context(self, context: impl FnOnce() -> String) -> Result<T> {
        self.ok_or_else(|| RunError::Refused(context()))
    }
}

/// Returns [`RunError::Refused`] with a formatted message.
macro_rules! refuse {
    ($($message:tt)*) => {
        return Err($crate::error::RunError::Refused(format!($($message)*)))
    };
}

/// As [`refuse!`], unless a condition holds.
macro_rules! require {
    ($condition:expr, $($message:tt)*) => {
        if !$condition {
            $crate::error::refuse!($($message)*)
        }
    };
}

pub(crate) use {refuse, require};

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cause_is_said_once() {
        let refused = |text: &str| RunError::Refused(text.into());
        let inner: Result<()> = Err(refused("no such file"));
        let error = inner.context("cannot read x: no such file").context("training ended early").unwrap_err();
        assert_eq!(sentence(&error), "training ended early: cannot read x: no such file");
        assert_eq!(sentence(&refused("alone")), "alone");
    }
}
