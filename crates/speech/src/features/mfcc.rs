//! Mel-frequency cepstra with exactly the conventions of Kaldi's `compute-mfcc-feats` at its defaults, without energy and
//! dither, as `torchaudio.compliance.kaldi.mfcc` has them:
//!
//! ```text
//! x ← x − mean(x);   x[i] ← x[i] − 0.97 x[i−1];   x ← x · (½ − ½ cos(2π i/(W−1)))^0.85
//! e_m = ln max(Σ_k w_mk |FFT(x)_k|², ε);   c_j = (1 + 11 sin(π j/22)) · √(2/M) Σ_m e_m cos(π j (m + ½)/M)
//! ```
//!
//! Symbols: `W` samples of a frame, `M = 23` mel filters, `j` the cepstrum from 0 to 12 (`√(1/M)` for the first), `ε` the
//! machine epsilon of f32. Samples are in [-1, 1]; Kaldi's own programs read 16-bit integers, which moves `c_0` alone.

use std::f64::consts::PI;
use std::sync::Arc;

use ndarray::Array2;
use realfft::{RealFftPlanner, RealToComplex};

use super::mel::{MelFilter, mel_filters};
use crate::framing::Framing;

/// Cepstra of a frame, the 0th among them.
pub const CEPSTRA: usize = 13;
/// `M`
const MEL_FILTERS: usize = 23;
const PREEMPHASIS: f64 = 0.97;
const LIFTER: f64 = 22.0;

/// Makes cepstra of clips at one rate.
#[derive(Clone)]
pub struct Mfcc {
    framing: Framing,
    /// `[W]`
    window: Vec<f64>,
    /// `[M]`
    filters: Vec<MelFilter>,
    /// With the lifter's factors. `[CEPSTRA, M]`
    cosines: Vec<[f64; MEL_FILTERS]>,
    fft: Arc<dyn RealToComplex<f64>>,
}

impl Mfcc {
    /// For clips at the rate of a framing.
    pub fn new(framing: Framing) -> Self {
        let hann = |i: usize| 0.5 - 0.5 * (2.0 * PI * i as f64 / (framing.window - 1) as f64).cos();
        Self {
            framing,
            window: (0..framing.window).map(|i| hann(i).powf(0.85)).collect(),
            filters: mel_filters(MEL_FILTERS, framing.rate, framing.fft),
            cosines: (0..CEPSTRA).map(cosines).collect(),
            fft: RealFftPlanner::new().plan_fft_forward(framing.fft),
        }
    }

    /// How frames lie on samples.
    pub fn framing(&self) -> &Framing {
        &self.framing
    }

    /// `[frames, 13]`, 100 frames a second; none where the clip is shorter than a frame.
    pub fn cepstra(&self, samples: &[f32]) -> Array2<f32> {
        let Framing { window, shift, .. } = self.framing;
        let mut cepstra = Array2::zeros((self.framing.frames(samples.len()), CEPSTRA));
        let mut frame = self.fft.make_input_vec();
        let mut spectrum = self.fft.make_output_vec();
        let mut scratch = self.fft.make_scratch_vec();
        for (t, mut row) in cepstra.outer_iter_mut().enumerate() {
            self.prepare(&samples[t * shift..t * shift + window], &mut frame);
            // The three buffers are of the lengths that the transform made them of, so it cannot fail.
            let _ = self.fft.process_with_scratch(&mut frame, &mut spectrum, &mut scratch);
            let power: Vec<f64> = spectrum.iter().map(|bin| bin.norm_sqr()).collect();
            let energies: [f64; MEL_FILTERS] =
                std::array::from_fn(|m| self.filters[m].energy(&power).max(f64::from(f32::EPSILON)).ln());
            for (cepstrum, cosines) in row.iter_mut().zip(&self.cosines) {
                *cepstrum = cosines.iter().zip(&energies).map(|(cosine, energy)| cosine * energy).sum::<f64>() as f32;
            }
        }
        cepstra
    }

    /// One frame without its mean, with pre-emphasis, windowed and followed by zeros.
    fn prepare(&self, samples: &[f32], frame: &mut [f64]) {
        let mean = samples.iter().map(|&sample| f64::from(sample)).sum::<f64>() / samples.len() as f64;
        let centered = |i: usize| f64::from(samples[i]) - mean;
        for (i, (sample, window)) in frame.iter_mut().zip(&self.window).enumerate() {
            // The first sample has itself for a predecessor.
            *sample = (centered(i) - PREEMPHASIS * centered(i.saturating_sub(1))) * window;
        }
        frame[samples.len()..].fill(0.0);
    }
}

/// The row of the cosine transform that makes the cepstrum `j`, with its lifter.
fn cosines(j: usize) -> [f64; MEL_FILTERS] {
    let (j, filters) = (j as f64, MEL_FILTERS as f64);
    let norm = if j == 0.0 { (1.0 / filters).sqrt() } else { (2.0 / filters).sqrt() };
    let lifter = 1.0 + LIFTER / 2.0 * (PI * j / LIFTER).sin();
    std::array::from_fn(|m| lifter * norm * (PI * j * (m as f64 + 0.5) / filters).cos())
}
