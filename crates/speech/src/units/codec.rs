//! Clips to units and back.
//!
//! Encoding names the nearest centroid of each frame's features. Decoding repeats the mean log-magnitude spectrum of each
//! unit for its duration, smooths over three frames, and finds phases by Griffin-Lim. Neither pitch nor loudness nor the
//! speaker is coded, so what comes back is a whispering buzz: enough to hear what was said, not who said it or how.
//!
//! Symbols: `K` units, `D` features, `B` bins, `T` frames of 10 ms, of which a unit spans one (100 Hz) or two (50 Hz).

use ndarray::{Array2, ArrayView2, Axis, s};
use serde::{Deserialize, Serialize};

use super::sequence::UnitSequence;
use crate::audio::Audio;
use crate::error::SpeechError;
use crate::features::FeatureExtractor;
use crate::framing::{FRAME_RATE, Framing};
use crate::kmeans::Centroids;
use crate::spectrum::{Stft, griffin_lim};

/// Steps of Griffin-Lim.
const GRIFFIN_LIM_STEPS: usize = 60;
/// The longest clip that is decoded: a duration in a file may be any number, and memory is not.
const LONGEST_SECONDS: u64 = 3600;

/// What units stand for.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct UnitConfig {
    /// `K`: how many units there are.
    pub units: usize,
    /// Samples a second at which clips are heard: a multiple of 400 from 8,000 to 48,000; others are resampled to it.
    pub sample_rate: u32,
    /// Units a second: 100, as in HuBERT's first iteration, or 50.
    pub unit_rate: u32,
    /// Whether every clip's features lose their mean first, so that units are less of speakers and microphones.
    pub subtract_mean: bool,
}

impl Default for UnitConfig {
    fn default() -> Self {
        Self { units: 100, sample_rate: 16_000, unit_rate: 50, subtract_mean: false }
    }
}

impl UnitConfig {
    /// # Errors
    /// When a value is out of its range.
    pub fn validate(&self) -> Result<(), SpeechError> {
        if !(2..=65_536).contains(&self.units) {
            return Err(SpeechError::setting("units", "a number from 2 to 65536", self.units));
        }
        if ![FRAME_RATE, FRAME_RATE / 2].contains(&self.unit_rate) {
            return Err(SpeechError::setting("unit_rate", "50 or 100 Hz", self.unit_rate));
        }
        Framing::new(self.sample_rate).map(|_| ())
    }

    /// Frames that a unit spans.
    pub(super) fn stride(&self) -> usize {
        (FRAME_RATE / self.unit_rate) as usize
    }
}

/// What a codec has learned of each unit.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Inventory {
    /// `[K, D]`
    pub(super) centroids: Centroids,
    /// Mean of the natural logarithms of the magnitudes. `[K, B]`
    pub(super) spectra: Array2<f32>,
    /// Mean duration of a run, in units of time, from 1 up. `[K]`
    pub(super) durations: Vec<f32>,
}

/// How clips become features and spectra.
#[derive(Clone)]
pub(super) struct Analysis {
    pub(super) stft: Stft,
    extractor: FeatureExtractor,
    config: UnitConfig,
}

impl Analysis {
    /// # Errors
    /// When a setting is out of its range.
    pub(super) fn new(config: &UnitConfig) -> Result<Self, SpeechError> {
        config.validate()?;
        let framing = Framing::new(config.sample_rate)?;
        let extractor = FeatureExtractor::new(framing, config.subtract_mean);
        Ok(Self { stft: Stft::new(framing), extractor, config: config.clone() })
    }

    /// The samples at the codec's rate.
    pub(super) fn heard(&self, audio: Audio) -> Vec<f32> {
        audio.resampled(self.config.sample_rate).samples
    }

    /// The features that are clustered, one row a unit: every second frame at 50 Hz. `[⌈T / stride⌉, D]`
    ///
    /// # Errors
    /// When the clip is shorter than a frame.
    pub(super) fn features(&self, samples: &[f32]) -> Result<Array2<f32>, SpeechError> {
        let features = self.extractor.features(samples)?;
        Ok(features.slice(s![..;self.config.stride(), ..]).to_owned())
    }
}

/// Takes clips to units and back. Known by the hash of its file.
#[derive(Clone)]
pub struct UnitCodec {
    pub(super) inventory: Inventory,
    pub(super) hash: String,
    analysis: Analysis,
}

impl std::fmt::Debug for UnitCodec {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("UnitCodec").field("config", self.config()).field("hash", &self.hash).finish_non_exhaustive()
    }
}

impl UnitCodec {
    pub(super) fn of(analysis: Analysis, inventory: Inventory, hash: String) -> Self {
        Self { inventory, hash, analysis }
    }

    /// What its units stand for.
    pub fn config(&self) -> &UnitConfig {
        &self.analysis.config
    }

    /// What tells its units from another's: the SHA-256 of its file, in hexadecimal.
    pub fn hash(&self) -> &str {
        &self.hash
    }

    /// `[K, D]`
    pub fn centroids(&self) -> ArrayView2<'_, f32> {
        self.inventory.centroids.vectors().view()
    }

    /// Mean log-magnitude spectrum of each unit. `[K, B]`
    pub fn spectra(&self) -> ArrayView2<'_, f32> {
        self.inventory.spectra.view()
    }

    /// The units of a clip, each of duration 1. A clip of 25 ms has one.
    ///
    /// # Errors
    /// When the clip is shorter than 25 ms.
    pub fn encode(&self, audio: Audio) -> Result<UnitSequence, SpeechError> {
        let samples = self.analysis.heard(audio);
        Ok(UnitSequence::new(self.inventory.centroids.nearest(self.analysis.features(&samples)?.view())))
    }

    /// A clip of units; its phases are a function of `seed`. Encoded again it has as many units.
    ///
    /// # Errors
    /// When a unit is beyond the alphabet, or the clip would last more than an hour.
    pub fn decode(&self, sequence: &UnitSequence, seed: u64) -> Result<Audio, SpeechError> {
        self.check(sequence)?;
        let stride = self.config().stride();
        let frames: Vec<usize> =
            sequence.repeated().flat_map(|unit| std::iter::repeat_n(unit as usize, stride)).collect();
        let spectra = smoothed(&self.inventory.spectra.select(Axis(0), &frames));
        let samples = griffin_lim(&self.analysis.stft, &spectra.mapv(f32::exp), GRIFFIN_LIM_STEPS, seed);
        Ok(Audio { samples, rate: self.config().sample_rate })
    }

    /// Deduplicated units, such as a language model writes, with the mean duration of each.
    ///
    /// # Errors
    /// When a unit is beyond the alphabet.
    pub fn with_mean_durations(&self, units: Vec<u32>) -> Result<UnitSequence, SpeechError> {
        let sequence = UnitSequence::new(units);
        self.check(&sequence)?;
        let duration = |&unit: &u32| self.inventory.durations[unit as usize].round().max(1.0) as u32;
        let durations = sequence.units().iter().map(duration).collect();
        UnitSequence::with_durations(sequence.units().to_vec(), durations)
    }

    /// Distance of two clips at the codec's rate, see [`super::round_trip()`].
    pub(super) fn log_magnitudes(&self, audio: Audio) -> Array2<f32> {
        self.analysis.stft.log_magnitudes(&self.analysis.heard(audio))
    }

    fn check(&self, sequence: &UnitSequence) -> Result<(), SpeechError> {
        let alphabet = self.config().units;
        if let Some(unit) = sequence.units().iter().find(|&&unit| unit as usize >= alphabet) {
            return Err(SpeechError::malformed("units", format!("units from 0 to {}", alphabet - 1), unit));
        }
        let seconds = sequence.duration() / u64::from(self.config().unit_rate);
        if seconds > LONGEST_SECONDS {
            let expected = format!("a clip of at most {LONGEST_SECONDS} seconds");
            return Err(SpeechError::malformed("durations", expected, format!("{seconds} seconds")));
        }
        Ok(())
    }
}

/// The mean of each frame and its neighbors. `[T, B]`
fn smoothed(spectra: &Array2<f32>) -> Array2<f32> {
    let Some(last) = spectra.nrows().checked_sub(1) else { return spectra.clone() };
    let mut smoothed = spectra.clone();
    for (t, mut row) in smoothed.outer_iter_mut().enumerate() {
        row += &spectra.row(t.saturating_sub(1));
        row += &spectra.row((t + 1).min(last));
        row /= 3.0;
    }
    smoothed
}
