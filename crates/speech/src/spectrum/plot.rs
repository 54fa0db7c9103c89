//! An image of sound: time to the right, frequency upward, the louder the darker.

use std::io::Cursor;
use std::path::Path;

use image::{GrayImage, ImageFormat, Luma};
use interfuse_parameters::durable::write_file;

use super::stft::Stft;
use crate::audio::Audio;
use crate::error::SpeechError;
use crate::framing::Framing;

/// Decibels from the loudest place, black, to white.
const RANGE: f32 = 70.0;

/// The rate at which sound is shown whose own has no frames of whole samples, in Hz.
const SHOWN: u32 = 16_000;

/// One column a frame of 10 ms, one row a bin up to half the sample rate, the lowest at the bottom; white where the clip is
/// silent.
///
/// # Errors
/// When the clip is shorter than a frame of 25 ms.
pub fn spectrogram(audio: &Audio) -> Result<GrayImage, SpeechError> {
    let (audio, framing) = match Framing::new(audio.rate) {
        Ok(framing) => (audio.clone(), framing),
        Err(_) => (audio.clone().resampled(SHOWN), Framing::new(SHOWN)?),
    };
    framing.check(&audio.samples)?;
    let stft = Stft::new(framing);
    // 20 log10 of the magnitude is 8.686 times its natural logarithm.
    let decibels = stft.log_magnitudes(&audio.samples) * (20.0 / std::f32::consts::LN_10);
    let loudest = decibels.iter().copied().fold(f32::NEG_INFINITY, f32::max);
    let (frames, bins) = decibels.dim();
    let silent = audio.is_silent();
    Ok(GrayImage::from_fn(frames as u32, bins as u32, |x, y| {
        let below = loudest - decibels[[x as usize, bins - 1 - y as usize]];
        Luma([if silent { u8::MAX } else { (below / RANGE * 255.0).clamp(0.0, 255.0) as u8 }])
    }))
}

/// Writes [`spectrogram`] as a PNG. The file is whole or absent.
///
/// # Errors
/// When the clip is shorter than a frame of 25 ms, or the file cannot be written.
pub fn write_spectrogram(path: &Path, audio: &Audio) -> Result<(), SpeechError> {
    let mut bytes = Cursor::new(vec![]);
    spectrogram(audio)?
        .write_to(&mut bytes, ImageFormat::Png)
        .map_err(|error| SpeechError::malformed(path.display().to_string(), "an image that fits into a PNG", error))?;
    Ok(write_file(path, &bytes.into_inner())?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tone_is_one_dark_line() {
        let rate = 16_000;
        let tone = |i: usize| (2.0 * std::f32::consts::PI * 2000.0 * i as f32 / rate as f32).sin();
        let audio = Audio { samples: (0..4000).map(tone).collect(), rate };
        let image = spectrogram(&audio).unwrap();
        assert_eq!(image.dimensions(), (23, 257));
        // 2000 Hz is bin 64 from the bottom.
        assert!(image.get_pixel(10, 256 - 64).0[0] < 5 && image.get_pixel(10, 20).0[0] > 250);
        let silence = Audio { samples: vec![0.0; 4000], rate };
        assert!(spectrogram(&silence).unwrap().pixels().all(|pixel| pixel.0 == [255]));
    }

    #[test]
    fn less_than_a_frame_makes_no_file() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.png");
        let audio = |length, rate| Audio { samples: vec![0.1; length], rate };
        assert!(write_spectrogram(&path, &audio(10, 16_000)).unwrap_err().to_string().contains("found 10"));
        assert!(!path.exists());
        write_spectrogram(&path, &audio(1000, 8_000)).unwrap();
        assert_eq!(image::open(&path).unwrap().height(), 129);
        assert_eq!(spectrogram(&audio(1000, 22_050)).unwrap().height(), 257);
    }
}
