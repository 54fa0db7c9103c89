//! Frames of a clip: 25 ms every 10 ms, as Kaldi lays them with `snip_edges`.
//!
//! Symbols: `N` samples, `W` a frame's samples, `S` the shift, `F` the points of its Fourier transform, `T = 1 + ⌊(N − W)/S⌋`
//! frames. `T` frames are made of `W + S (T − 1)` samples, so a clip resynthesized of `T` frames has `T` frames again.

use crate::error::SpeechError;

/// Frames a second.
pub const FRAME_RATE: u32 = 100;
/// Sample rates whose frames are whole samples: multiples of this, in Hz.
const STEP: u32 = 400;

/// How frames lie on samples.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Framing {
    /// Samples a second.
    pub rate: u32,
    /// `W`: samples of a frame, 25 ms.
    pub window: usize,
    /// `S`: samples from one frame to the next, 10 ms.
    pub shift: usize,
    /// `F`: points of the Fourier transform, the power of two from `W` up.
    pub fft: usize,
}

impl Framing {
    /// Of sound at a rate.
    ///
    /// # Errors
    /// When the rate is no multiple of 400 from 8,000 to 48,000.
    pub fn new(rate: u32) -> Result<Self, SpeechError> {
        if !(8_000..=48_000).contains(&rate) || !rate.is_multiple_of(STEP) {
            return Err(SpeechError::setting("sample_rate", "a multiple of 400 from 8000 to 48000 Hz", rate));
        }
        let window = (rate / 40) as usize;
        Ok(Self { rate, window, shift: (rate / FRAME_RATE) as usize, fft: window.next_power_of_two() })
    }

    /// `T`: frames of a clip; none where it is shorter than one.
    pub fn frames(&self, samples: usize) -> usize {
        if samples < self.window { 0 } else { 1 + (samples - self.window) / self.shift }
    }

    /// Checks that a clip has a frame at all.
    ///
    /// # Errors
    /// When it is shorter than one.
    pub fn check(&self, samples: &[f32]) -> Result<(), SpeechError> {
        if samples.len() >= self.window {
            return Ok(());
        }
        let what = format!("samples at {} Hz, a frame of 25 ms", self.rate);
        Err(SpeechError::too_few(what, self.window, samples.len()))
    }

    /// Samples that give a number of frames.
    pub fn samples(&self, frames: usize) -> usize {
        if frames == 0 { 0 } else { self.window + self.shift * (frames - 1) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn frames_are_those_of_kaldi() {
        let framing = Framing::new(16_000).unwrap();
        assert_eq!((framing.window, framing.shift, framing.fft), (400, 160, 512));
        assert_eq!([0, 399, 400, 559, 560, 16_000].map(|samples| framing.frames(samples)), [0, 0, 1, 1, 2, 98]);
        assert_eq!(Framing::new(8_000).unwrap(), Framing { rate: 8_000, window: 200, shift: 80, fft: 256 });
        for frames in 0..5 {
            assert_eq!(framing.frames(framing.samples(frames)), frames);
        }
    }

    #[test]
    fn other_rates_are_refused() {
        for rate in [0, 7_600, 22_050, 44_100, 96_000] {
            let message = Framing::new(rate).unwrap_err().to_string();
            assert!(message.contains("sample_rate") && message.contains(&rate.to_string()), "{message}");
        }
    }
}
