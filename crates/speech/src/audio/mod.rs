//! Sound on the host: one channel of samples at a known rate.

mod decode;
mod resample;
mod wav;

pub use decode::{AUDIO_EXTENSIONS, decode, is_audio, read};
pub use wav::write_wav;

/// Rates that are accepted, in Hz: below the first no speech is left, above the second no recording is made.
pub const SAMPLE_RATES: std::ops::RangeInclusive<u32> = 1_000..=384_000;

/// One channel of sound.
#[derive(Clone, Debug, PartialEq)]
pub struct Audio {
    /// In [-1, 1], finite; decoders of lossy formats may overshoot a little. `[samples]`
    pub samples: Vec<f32>,
    /// Samples a second, within [`SAMPLE_RATES`].
    pub rate: u32,
}

impl Audio {
    /// How long it lasts.
    pub fn seconds(&self) -> f64 {
        self.samples.len() as f64 / f64::from(self.rate)
    }

    /// Whether no sample is louder than the last bit of 16 bits.
    pub fn is_silent(&self) -> bool {
        self.samples.iter().all(|sample| sample.abs() <= 1.0 / 32768.0)
    }

    /// The same sound at another rate; `⌈samples · rate / self.rate⌉` samples, the first at the time of the first.
    pub fn resampled(self, rate: u32) -> Self {
        if rate == self.rate {
            return self;
        }
        Self { samples: resample::resample(&self.samples, self.rate, rate), rate }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn silence_is_what_sixteen_bits_cannot_tell_from_zero() {
        let audio = |samples: &[f32]| Audio { samples: samples.to_vec(), rate: 8000 };
        assert!(audio(&[]).is_silent() && audio(&[0.0, -3e-5]).is_silent());
        assert!(!audio(&[0.0, 1e-4]).is_silent());
        assert_eq!(audio(&[0.0; 4000]).seconds(), 0.5);
    }
}
