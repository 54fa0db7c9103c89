//! A unit codec of clips.
//!
//! Clips are heard twice and never lie in memory together: first an even choice of their frames is clustered, then the mean
//! spectrum and the mean duration of each unit are taken over all of them. Clips are worked on side by side and counted in
//! their order, so on one kind of processor the codec is a function of clips and seed, whatever the number of threads.

use ndarray::{Array2, Axis};
use rayon::prelude::*;
use serde::{Deserialize, Serialize};

use super::codec::{Analysis, Inventory, UnitCodec, UnitConfig};
use super::sequence::UnitSequence;
use super::statistics::{UnitStatistics, UnitSummary};
use crate::audio::Audio;
use crate::error::SpeechError;
use crate::features::FEATURES;
use crate::kmeans::{Clustering, KmeansConfig, Reservoir, cluster};

/// Clips that are in memory at once.
const AT_ONCE: usize = 32;

/// Numbered clips of sound, read when they are asked for.
pub trait Recordings: Sync {
    /// How many there are.
    fn len(&self) -> usize;

    /// Whether there are none.
    fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// What messages call one of them.
    fn name(&self, index: usize) -> String {
        format!("clip {}", index + 1)
    }

    /// One of them, decoded.
    ///
    /// # Errors
    /// When it cannot be read or decoded; the message names its file.
    fn audio(&self, index: usize) -> Result<Audio, SpeechError>;
}

impl Recordings for Vec<Audio> {
    fn len(&self) -> usize {
        self.as_slice().len()
    }

    fn audio(&self, index: usize) -> Result<Audio, SpeechError> {
        Ok(self[index].clone())
    }
}

/// How a codec is learned.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct UnitTraining {
    /// Frames that are clustered at most, an even choice of all; each takes 156 bytes.
    pub frames: usize,
    /// How they are clustered; its seed is that of the choice too.
    pub kmeans: KmeansConfig,
}

impl Default for UnitTraining {
    fn default() -> Self {
        Self { frames: 400_000, kmeans: KmeansConfig::default() }
    }
}

/// What was learned of what.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct UnitTrainingReport {
    /// Clips that were heard.
    pub clips: usize,
    /// One sentence for each clip that was not.
    pub skipped: Vec<String>,
    /// Frames of all clips, one a unit.
    pub frames: u64,
    /// Frames that were clustered.
    pub clustered: usize,
    /// Mean squared distance of the clustered frames to their centroids.
    pub distortion: f64,
    /// Lloyd's steps that were taken.
    pub iterations: usize,
    /// What the units of all clips are like.
    pub units: UnitSummary,
}

/// Learns a codec; `progress` is told how many clips of all have been heard, of twice their number.
///
/// # Errors
/// When a setting is out of its range, no clip can be heard, or the clips have fewer distinct frames than units.
pub fn train(
    config: &UnitConfig,
    training: &UnitTraining,
    recordings: &dyn Recordings,
    progress: &mut dyn FnMut(usize, usize),
) -> Result<(UnitCodec, UnitTrainingReport), SpeechError> {
    let analysis = Analysis::new(config)?;
    training.kmeans.validate()?;
    let count = recordings.len();
    let mut reservoir = Reservoir::new(training.frames, FEATURES, training.kmeans.seed);
    let mut skipped = vec![];
    let features = |audio| analysis.features(&analysis.heard(audio));
    in_order(recordings, features, |index, features| {
        progress(index + 1, 2 * count);
        match features {
            Ok(features) => reservoir.add(features.view()),
            Err(error) => skipped.push(format!("{}: {error}", recordings.name(index))),
        }
    });
    if skipped.len() == count {
        let first = skipped.into_iter().next().unwrap_or_else(|| "there is none".into());
        return Err(SpeechError::malformed("clips to learn units of", "at least one that can be heard", first));
    }
    let (frames, chosen) = (reservoir.seen(), reservoir.into_frames()?);
    let Clustering { centroids, inertia, iterations } = cluster(chosen.view(), config.units, &training.kmeans)?;
    let mut means = Means::new(config.units, analysis.stft.bins());
    let heard = |audio| {
        let samples = analysis.heard(audio);
        let units = centroids.nearest(analysis.features(&samples)?.view());
        Ok((units, analysis.stft.log_magnitudes(&samples)))
    };
    in_order(recordings, heard, |index, heard| {
        progress(count + index + 1, 2 * count);
        if let Ok((units, spectra)) = heard {
            means.add(units, &spectra, config.stride());
        }
    });
    let report = UnitTrainingReport {
        clips: count - skipped.len(),
        skipped,
        frames,
        clustered: chosen.nrows(),
        distortion: inertia / chosen.nrows() as f64,
        iterations,
        units: means.statistics.summary(config.unit_rate),
    };
    let (spectra, durations) = means.finish();
    let codec = UnitCodec::learned(analysis, config, Inventory { centroids, spectra, durations })?;
    Ok((codec, report))
}

/// Works on clips side by side and hands the results on in order.
fn in_order<T: Send>(
    recordings: &dyn Recordings,
    work: impl Fn(Audio) -> Result<T, SpeechError> + Sync,
    mut take: impl FnMut(usize, Result<T, SpeechError>),
) {
    for first in (0..recordings.len()).step_by(AT_ONCE) {
        let last = recordings.len().min(first + AT_ONCE);
        let results: Vec<Result<T, SpeechError>> =
            (first..last).into_par_iter().map(|index| recordings.audio(index).and_then(&work)).collect();
        results.into_iter().enumerate().for_each(|(place, result)| take(first + place, result));
    }
}

/// Sums over all clips.
struct Means {
    /// Log-magnitude spectra of the frames of each unit. `[K, B]`
    spectra: Array2<f64>,
    /// Frames of 10 ms of each unit. `[K]`
    frames: Vec<u64>,
    /// Runs of each unit and their durations. `[K]`
    runs: Vec<u64>,
    durations: Vec<u64>,
    statistics: UnitStatistics,
}

impl Means {
    fn new(units: usize, bins: usize) -> Self {
        let none = vec![0; units];
        let spectra = Array2::zeros((units, bins));
        let statistics = UnitStatistics::default();
        Self { spectra, frames: none.clone(), runs: none.clone(), durations: none, statistics }
    }

    /// Takes in one clip. `spectra` is `[T, B]`, and a unit spans `stride` of its rows.
    fn add(&mut self, units: Vec<u32>, spectra: &Array2<f32>, stride: usize) {
        for (&unit, spectra) in units.iter().zip(spectra.axis_chunks_iter(Axis(0), stride)) {
            for spectrum in spectra.outer_iter() {
                self.frames[unit as usize] += 1;
                self.spectra.row_mut(unit as usize).zip_mut_with(&spectrum, |sum, &value| *sum += f64::from(value));
            }
        }
        let runs = UnitSequence::new(units).deduplicated();
        self.statistics.add(&runs);
        for (&unit, &duration) in runs.units().iter().zip(runs.durations()) {
            self.runs[unit as usize] += 1;
            self.durations[unit as usize] += u64::from(duration);
        }
    }

    /// Spectra `[K, B]` and durations `[K]`; a unit that never occurs has the spectrum of all sound and lasts 1.
    fn finish(self) -> (Array2<f32>, Vec<f32>) {
        let mean = self.spectra.sum_axis(Axis(0)) / (self.frames.iter().sum::<u64>().max(1) as f64);
        let mut spectra = self.spectra;
        for (mut spectrum, &frames) in spectra.outer_iter_mut().zip(&self.frames) {
            match frames {
                0 => spectrum.assign(&mean),
                frames => spectrum /= frames as f64,
            }
        }
        let duration = |(&sum, &runs): (&u64, &u64)| if runs == 0 { 1.0 } else { (sum as f64 / runs as f64) as f32 };
        let durations = self.durations.iter().zip(&self.runs).map(duration).collect();
        (spectra.mapv(|value| value as f32), durations)
    }
}
