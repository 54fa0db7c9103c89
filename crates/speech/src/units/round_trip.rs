//! How much of a clip survives the way to units and back, without anyone to listen.

use serde::Serialize;

use super::codec::UnitCodec;
use crate::audio::Audio;
use crate::error::SpeechError;
use crate::error_rate::{ErrorCounts, errors};

/// What became of one clip.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct RoundTrip {
    /// From the deduplicated units of the clip to those of the clip that was made of them.
    pub unit_errors: ErrorCounts,
    /// Part of the times at which both clips have the same unit.
    pub agreement: f64,
    /// [`log_spectral_distance`] of the two clips, in dB.
    pub log_spectral_distance: f64,
}

/// Encodes a clip, decodes its units with their durations, and encodes what comes back.
///
/// # Errors
/// When the clip is shorter than 25 ms or longer than an hour.
pub fn round_trip(codec: &UnitCodec, audio: Audio, seed: u64) -> Result<RoundTrip, SpeechError> {
    let there = codec.encode(audio.clone())?;
    let again = codec.decode(&there, seed)?;
    let back = codec.encode(again.clone())?;
    let same = there.units().iter().zip(back.units()).filter(|(a, b)| a == b).count();
    Ok(RoundTrip {
        unit_errors: errors(there.deduplicated().units(), back.deduplicated().units()),
        agreement: same as f64 / there.units().len() as f64,
        log_spectral_distance: log_spectral_distance(codec, audio, again),
    })
}

/// The root mean square over bins of the difference in dB, averaged over the frames that both clips have (Gray and Markel
/// 1976): `(1/T) Σ_t √((1/B) Σ_b (20 log₁₀ |A_tb|/|B_tb|)²)`, at the codec's sample rate.
pub fn log_spectral_distance(codec: &UnitCodec, a: Audio, b: Audio) -> f64 {
    let [a, b] = [a, b].map(|audio| codec.log_magnitudes(audio));
    let frames = a.nrows().min(b.nrows());
    let decibels = 20.0 / std::f64::consts::LN_10;
    let frame = |(a, b): (ndarray::ArrayView1<'_, f32>, ndarray::ArrayView1<'_, f32>)| {
        let squares: f64 = a.iter().zip(b).map(|(a, b)| (decibels * f64::from(a - b)).powi(2)).sum();
        (squares / a.len() as f64).sqrt()
    };
    a.outer_iter().zip(b.outer_iter()).map(frame).sum::<f64>() / frames as f64
}
