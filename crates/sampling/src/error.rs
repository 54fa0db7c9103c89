//! What can go wrong between a prompt and an image.

use interfuse_data::DataError;
use interfuse_vae::VaeError;
use thiserror::Error;

/// Any failure of this crate.
#[derive(Debug, Error)]
pub enum SamplingError {
    /// A setting outside its range.
    #[error("sampling.{key}: expected {expected}, found {found}")]
    Setting {
        /// The key at fault.
        key: &'static str,
        /// What fits.
        expected: String,
        /// What it says.
        found: String,
    },
    /// A prompt that is too long.
    #[error(
        "the prompt {prompt:?} has {found} tokens with all that stands before it, but the model was trained on rows of at \
         most {limit}: {} too many", .found.saturating_sub(*.limit)
    )]
    PromptTooLong {
        /// The prompt.
        prompt: String,
        /// Its tokens, markers included.
        found: usize,
        /// The most tokens of the training rows.
        limit: usize,
    },
    /// A text without anything to be filled in.
    #[error("expected a text with `<mask>` where something is to be filled in, found {text:?}")]
    NoMask {
        /// The text.
        text: String,
    },
    /// The model lacks a modality that its card names.
    #[error("this model has no modality `{0}`, which the task needs")]
    NoModality(String),
    /// The model was not trained for what is asked of it.
    #[error("this model was trained without {missing}, so it cannot {task}")]
    CannotDo {
        /// `images`, `speech`.
        missing: &'static str,
        /// What was asked for.
        task: &'static str,
    },
    /// A unit that the model has no id for.
    #[error("expected units from 0 to {}, found {unit}", .alphabet - 1)]
    UnknownUnit {
        /// The unit.
        unit: u32,
        /// How many units the model knows.
        alphabet: usize,
    },
    /// A clip, or units of speech, cannot be used.
    #[error(transparent)]
    Speech(#[from] interfuse_speech::SpeechError),
    /// The model has no latents of a size.
    #[error("an image of {height} × {width} pixels does not fit the model: {expected}")]
    Size {
        /// Its height in pixels.
        height: usize,
        /// Its width in pixels.
        width: usize,
        /// What fits.
        expected: String,
    },
    /// The image has other channels than the model's.
    #[error("the image {name} has {found} channels, but the model takes {expected}")]
    Channels {
        /// The image.
        name: String,
        /// How many it has.
        found: usize,
        /// The model's.
        expected: usize,
    },
    /// From the tokenizer or an image.
    #[error(transparent)]
    Data(#[from] DataError),
    /// From the codec.
    #[error(transparent)]
    Codec(#[from] VaeError),
}

impl SamplingError {
    pub(crate) fn setting(key: &'static str, expected: impl ToString, found: impl ToString) -> Self {
        Self::Setting { key, expected: expected.to_string(), found: found.to_string() }
    }
}
