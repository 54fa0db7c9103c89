//! Samples to a wav file of 16 bits.

use std::io::Cursor;
use std::path::Path;

use hound::{SampleFormat, WavSpec, WavWriter};
use interfuse_parameters::durable::write_file;

use super::Audio;
use crate::error::SpeechError;

/// Writes a mono wav file of 16 bits; samples beyond [-1, 1] are cut off there. The file is whole or absent.
///
/// # Errors
/// When the file cannot be written.
pub fn write_wav(path: &Path, audio: &Audio) -> Result<(), SpeechError> {
    let bytes = encode(audio).map_err(|error| {
        SpeechError::malformed(path.display().to_string(), "sound that fits into a wav file", error)
    })?;
    Ok(write_file(path, &bytes)?)
}

fn encode(audio: &Audio) -> Result<Vec<u8>, hound::Error> {
    let spec = WavSpec { channels: 1, sample_rate: audio.rate, bits_per_sample: 16, sample_format: SampleFormat::Int };
    let mut bytes = Cursor::new(vec![]);
    let mut writer = WavWriter::new(&mut bytes, spec)?;
    for sample in &audio.samples {
        writer.write_sample((sample * 32768.0).round().clamp(-32768.0, 32767.0) as i16)?;
    }
    writer.finalize()?;
    Ok(bytes.into_inner())
}
