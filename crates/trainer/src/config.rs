//! Settings of training.

use burn::tensor::Device;
use interfuse_kernels::Precision;
use interfuse_sequence::RowShape;
use serde::{Deserialize, Serialize};

use crate::error::TrainError;

/// How much is trained, and on what batches.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TrainConfig {
    /// Optimizer steps, at least 1.
    pub steps: u64,
    /// Documents of a micro-batch, at least 1.
    pub batch_size: usize,
    /// Micro-batches of an optimizer step, at least 1; their gradient is that of one batch of all their documents.
    #[serde(default = "one")]
    pub gradient_accumulation: usize,
    /// The most documents packed into a sequence, a divisor of `batch_size`; chosen from the lengths of the captions, so that
    /// little is padding, if absent.
    #[serde(default)]
    pub documents_per_sequence: Option<usize>,
    /// Rows of each lane of a sequence, by lane; as many as so many documents need if absent.
    #[serde(default)]
    pub row_shape: Option<RowShape>,
    /// What the matrix products of a step are computed in.
    #[serde(default)]
    pub precision: TrainPrecision,
    /// Whether the backward pass keeps of every layer of the backbone only what goes into it, and computes the layer again when its
    /// gradient is asked for: the same steps in less memory, each of them longer by up to a third.
    #[serde(default)]
    pub activation_checkpointing: bool,
    /// Steps in a row with a loss or gradient that is not finite after which training stops; at least 1.
    #[serde(default = "ten")]
    pub most_bad_steps: u64,
}

/// What the factors of a step's matrix products are in; on GPUs the rows between them as well. Weights, moments, their
/// average, sums, losses and checkpoints are `f32` in every case, so a run can go on in another precision.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum TrainPrecision {
    /// 32 bits; where the framework multiplies on tensor cores, factors are rounded to TF32.
    #[default]
    F32,
    /// 16 bits of `bf16`: on GPUs with tensor cores for it, and on CPUs with AMX or with AVX-512 and BF16.
    Bf16,
    /// `bf16` where the device multiplies it faster: on tensor cores, on AMX, and on AMD's processors since Zen 4; `f32`
    /// elsewhere.
    Auto,
}

impl TrainPrecision {
    /// What it is on a device.
    pub fn on(self, device: &Device) -> Precision {
        match self {
            Self::F32 => Precision::F32,
            Self::Bf16 => Precision::Bf16,
            Self::Auto => Precision::fastest_on(device),
        }
    }
}

/// Held-out losses with fixed noise.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct ValidationConfig {
    /// Images that are measured; 0 measures none.
    pub images: usize,
    /// Times t of the noise levels, each in (0, 1].
    pub levels: Vec<f32>,
    /// Whether the gradients of the modalities' losses are compared, on one batch of captioned images: the cosine of each two
    /// over the weights that both reach. Takes a forward and backward pass for each modality.
    pub gradient_cosines: bool,
}

impl Default for ValidationConfig {
    fn default() -> Self {
        Self { images: 64, levels: vec![0.1, 0.3, 0.5, 0.7, 0.9], gradient_cosines: false }
    }
}

/// After how many steps each thing is due; 0 is never. All are due at the end as well.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct IntervalConfig {
    /// Steps between held-out losses.
    pub validation: u64,
    /// Steps between previews.
    pub preview: u64,
    /// Steps between checkpoints.
    pub checkpoint: u64,
    /// Steps between evaluations of the moving average, as `interfuse evaluate` makes them; 0 is never. An
    /// autoencoder has none.
    pub evaluation: u64,
}

impl Default for IntervalConfig {
    fn default() -> Self {
        Self { validation: 500, preview: 500, checkpoint: 500, evaluation: 0 }
    }
}

fn one() -> usize {
    1
}

fn ten() -> u64 {
    10
}

impl TrainConfig {
    /// Checks the settings.
    ///
    /// # Errors
    /// Names the key, what was expected and what was found.
    pub fn validate(&self) -> Result<(), TrainError> {
        let counts = [
            ("train.steps", self.steps as usize),
            ("train.batch_size", self.batch_size),
            ("train.gradient_accumulation", self.gradient_accumulation),
            ("train.documents_per_sequence", self.documents_per_sequence.unwrap_or(1)),
            ("train.most_bad_steps", self.most_bad_steps as usize),
        ];
        if let Some((key, _)) = counts.iter().find(|(_, count)| *count == 0) {
            return Err(TrainError::setting(key, "at least 1", 0));
        }
        let documents = self.documents_per_sequence.unwrap_or(1);
        match self.batch_size.is_multiple_of(documents) {
            true => Ok(()),
            false => {
                let expected = format!("a divisor of train.batch_size = {}", self.batch_size);
                Err(TrainError::setting("train.documents_per_sequence", expected, documents))
            }
        }
    }

    /// Sequences of a micro-batch.
    pub fn sequences(&self) -> usize {
        (self.batch_size / self.documents_per_sequence.unwrap_or(1)).max(1)
    }
}

impl ValidationConfig {
    /// Checks the settings.
    ///
    /// # Errors
    /// Names the key, what was expected and what was found.
    pub fn validate(&self) -> Result<(), TrainError> {
        match self.levels.iter().find(|&&level| !(level > 0.0 && level <= 1.0)) {
            Some(level) => Err(TrainError::setting("validation.levels", "times in (0, 1]", level)),
            None => Ok(()),
        }
    }
}
