//! What clips are clustered by: 13 cepstra and their first and second differences, the 39 numbers of HuBERT's first
//! iteration (Hsu et al. 2021, section 3.1; fairseq's `dump_mfcc_feature.py`).

mod deltas;
mod mel;
mod mfcc;

use ndarray::{Array2, Axis, concatenate};

pub use deltas::deltas;
pub use mfcc::{CEPSTRA, Mfcc};

use crate::error::SpeechError;
use crate::framing::Framing;

/// Numbers of a frame: cepstra, deltas, deltas of deltas.
pub const FEATURES: usize = 3 * CEPSTRA;

/// Makes the features of clips at one rate.
#[derive(Clone)]
pub struct FeatureExtractor {
    mfcc: Mfcc,
    subtract_mean: bool,
}

impl FeatureExtractor {
    /// At the rate of a framing. `subtract_mean` takes from every number its mean over the clip, which takes away much of
    /// the speaker and the microphone; HuBERT does not.
    pub fn new(framing: Framing, subtract_mean: bool) -> Self {
        Self { mfcc: Mfcc::new(framing), subtract_mean }
    }

    /// `[frames, 39]`, 100 frames a second.
    ///
    /// # Errors
    /// When the clip is shorter than a frame.
    pub fn features(&self, samples: &[f32]) -> Result<Array2<f32>, SpeechError> {
        self.mfcc.framing().check(samples)?;
        let cepstra = self.mfcc.cepstra(samples);
        let first = deltas(cepstra.view());
        let second = deltas(first.view());
        // The three have one number of rows.
        let mut features = concatenate(Axis(1), &[cepstra.view(), first.view(), second.view()])
            .map_err(|error| SpeechError::malformed("features", "frames of one number", error))?;
        if let (true, Some(mean)) = (self.subtract_mean, features.mean_axis(Axis(0))) {
            features -= &mean;
        }
        Ok(features)
    }
}
