//! The short-time Fourier transform on the frames of [`crate::framing`], and its inverse by overlap and addition.
//!
//! Symbols: `T` frames, `F` points of a transform, `B = F/2 + 1` bins, `W` a frame's samples, `S` the shift. The window is
//! Hann's of `F` points, longer than `W`, and lies with its middle on the middle of its frame; what it reaches of the
//! samples before and after the clip is silence.

use std::f32::consts::PI;
use std::sync::Arc;

use ndarray::Array2;
use realfft::num_complex::Complex;
use realfft::{ComplexToReal, RealFftPlanner, RealToComplex};

use crate::framing::Framing;

/// The natural logarithm of the least magnitude that is told from silence, 1e-5.
pub const LOG_FLOOR: f32 = -11.512_925;

/// Part of the largest sum of squared windows below which a sample is left as it is: it lies under the edge of one window.
const LEAST_OVERLAP: f32 = 1e-3;

/// Transforms at one framing.
#[derive(Clone)]
pub struct Stft {
    framing: Framing,
    /// `[F]`
    window: Vec<f32>,
    forward: Arc<dyn RealToComplex<f32>>,
    inverse: Arc<dyn ComplexToReal<f32>>,
}

impl Stft {
    /// On the frames of a framing.
    pub fn new(framing: Framing) -> Self {
        let mut planner = RealFftPlanner::new();
        let hann = |i: usize| 0.5 - 0.5 * (2.0 * PI * i as f32 / framing.fft as f32).cos();
        Self {
            framing,
            window: (0..framing.fft).map(hann).collect(),
            forward: planner.plan_fft_forward(framing.fft),
            inverse: planner.plan_fft_inverse(framing.fft),
        }
    }

    /// How frames lie on samples.
    pub fn framing(&self) -> &Framing {
        &self.framing
    }

    /// `B`
    pub fn bins(&self) -> usize {
        self.framing.fft / 2 + 1
    }

    /// The transforms of a clip, `[T, B]`.
    pub fn transform(&self, samples: &[f32]) -> Array2<Complex<f32>> {
        let mut bins = Array2::zeros((self.framing.frames(samples.len()), self.bins()));
        let mut frame = self.forward.make_input_vec();
        let mut spectrum = self.forward.make_output_vec();
        let mut scratch = self.forward.make_scratch_vec();
        for (t, mut row) in bins.outer_iter_mut().enumerate() {
            let first = self.first(t);
            for (i, (value, window)) in frame.iter_mut().zip(&self.window).enumerate() {
                let sample = usize::try_from(first + i as isize).ok().and_then(|place| samples.get(place));
                *value = window * sample.copied().unwrap_or(0.0);
            }
            // The buffers are of the lengths that the transform made them of, so it cannot fail.
            let _ = self.forward.process_with_scratch(&mut frame, &mut spectrum, &mut scratch);
            row.iter_mut().zip(&spectrum).for_each(|(bin, value)| *bin = *value);
        }
        bins
    }

    /// The natural logarithms of magnitudes, from [`LOG_FLOOR`] up. `[T, B]`
    pub fn log_magnitudes(&self, samples: &[f32]) -> Array2<f32> {
        self.transform(samples).mapv(|bin| bin.norm().ln().max(LOG_FLOOR))
    }

    /// The clip whose transforms are nearest to `bins` (Griffin and Lim 1984, equation 6):
    /// `x = Σ_t w_t IFFT(bins_t) / Σ_t w_t²`.
    ///
    /// # Shapes
    /// - `bins`: `[T, B]`; returns the samples of `T` frames
    pub fn inverse(&self, bins: &Array2<Complex<f32>>) -> Vec<f32> {
        let length = self.framing.samples(bins.nrows());
        let (mut samples, mut weights) = (vec![0.0; length], vec![0.0; length]);
        let mut spectrum = self.inverse.make_input_vec();
        let mut frame = self.inverse.make_output_vec();
        let mut scratch = self.inverse.make_scratch_vec();
        for (t, row) in bins.outer_iter().enumerate() {
            spectrum.iter_mut().zip(row).for_each(|(value, bin)| *value = *bin);
            // A real signal has no phase at the ends of its spectrum.
            for end in [0, self.bins() - 1] {
                spectrum[end].im = 0.0;
            }
            let _ = self.inverse.process_with_scratch(&mut spectrum, &mut frame, &mut scratch);
            let first = self.first(t);
            for (i, (value, window)) in frame.iter().zip(&self.window).enumerate() {
                if let Some(place) = usize::try_from(first + i as isize).ok().filter(|&place| place < length) {
                    samples[place] += window * value / self.framing.fft as f32;
                    weights[place] += window * window;
                }
            }
        }
        let least = LEAST_OVERLAP * weights.iter().copied().fold(0.0, f32::max);
        samples.iter_mut().zip(&weights).filter(|(_, weight)| **weight > least).for_each(|(x, weight)| *x /= weight);
        samples
    }

    /// The place of a window's first point among the samples.
    fn first(&self, t: usize) -> isize {
        (t * self.framing.shift) as isize - ((self.framing.fft - self.framing.window) / 2) as isize
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn clip(length: usize) -> Vec<f32> {
        (0..length).map(|i| ((i * i) as f32 * 1e-4).sin() * 0.5).collect()
    }

    #[test]
    fn the_inverse_gives_the_clip_back() {
        for rate in [8_000, 16_000] {
            let stft = Stft::new(Framing::new(rate).unwrap());
            let samples = clip(stft.framing().samples(30));
            let found = stft.inverse(&stft.transform(&samples));
            assert_eq!(found.len(), samples.len());
            let error = found.iter().zip(&samples).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max);
            assert!(error < 1e-4, "{rate}: {error}");
        }
    }

    #[test]
    fn a_tone_stands_in_its_bin_and_silence_on_the_floor() {
        let stft = Stft::new(Framing::new(16_000).unwrap());
        let tone: Vec<f32> = (0..8000).map(|i| (2.0 * PI * 1000.0 * i as f32 / 16_000.0).sin()).collect();
        let found = stft.log_magnitudes(&tone);
        // 1000 Hz is bin 32 of 512 points; Hann's window sums to 256, half of which is the tone's.
        assert!((found[[20, 32]] - 128f32.ln()).abs() < 1e-3, "{}", found[[20, 32]]);
        assert!(stft.log_magnitudes(&[0.0; 4000]).iter().all(|&value| value == LOG_FLOOR));
        assert_eq!(stft.log_magnitudes(&[0.0; 10]).nrows(), 0);
    }
}
