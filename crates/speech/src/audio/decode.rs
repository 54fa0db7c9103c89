//! Bytes of a wav, flac, ogg vorbis or mp3 file to one channel of samples.
//!
//! Formats are told apart by their bytes, never by the name of the file.

use std::io::Cursor;
use std::path::Path;

use interfuse_parameters::FileError;
use symphonia::core::audio::GenericAudioBufferRef;
use symphonia::core::codecs::audio::{AudioDecoder, AudioDecoderOptions};
use symphonia::core::errors::Error;
use symphonia::core::formats::probe::Hint;
use symphonia::core::formats::{FormatOptions, FormatReader, TrackType};
use symphonia::core::io::{MediaSourceStream, ReadOnlySource};
use symphonia::core::meta::MetadataOptions;

use super::{Audio, SAMPLE_RATES};
use crate::error::SpeechError;

/// The file extensions of sound that is read, in lower case.
pub const AUDIO_EXTENSIONS: [&str; 5] = ["wav", "flac", "ogg", "oga", "mp3"];

/// What every file is expected to be.
const EXPECTED: &str = "a complete wav, flac, ogg vorbis or mp3 file";

/// A channel of less than this part of the loudest channel's power is taken for silent: -40 dB.
const SILENT_CHANNEL: f64 = 1e-4;

/// Whether a path ends like sound that is read.
pub fn is_audio(path: &Path) -> bool {
    let extension = path.extension().map(|extension| extension.to_string_lossy().to_lowercase());
    extension.is_some_and(|extension| AUDIO_EXTENSIONS.contains(&extension.as_str()))
}

/// Reads and decodes one file.
///
/// # Errors
/// When the file cannot be read, or as [`decode`].
pub fn read(path: &Path) -> Result<Audio, SpeechError> {
    let bytes = std::fs::read(path).map_err(FileError::of("read", path))?;
    decode(bytes, &path.display().to_string())
}

/// Decodes the bytes of one file; `name` is what messages call it.
///
/// Channels are averaged, but for those that are silent beside the loudest, which would only halve it.
/// An mp3 file without a header of its length cannot be known to be cut off.
///
/// # Errors
/// When the bytes are none of the formats, broken, end before their time or hold no sample, or a sample is not finite.
pub fn decode(bytes: Vec<u8>, name: &str) -> Result<Audio, SpeechError> {
    let refused = |found: &dyn std::fmt::Display| SpeechError::malformed(name, EXPECTED, found);
    if bytes.is_empty() {
        return Err(refused(&"no bytes"));
    }
    let (channels, rate) = channels(bytes).map_err(|reason| refused(&reason))?;
    let samples = mixed(&channels);
    if samples.is_empty() {
        return Err(refused(&"no samples"));
    }
    if let Some(place) = samples.iter().position(|sample| !sample.is_finite()) {
        return Err(refused(&format!("a sample that is not finite, number {}", place + 1)));
    }
    if !SAMPLE_RATES.contains(&rate) {
        return Err(refused(&format!("{rate} samples a second")));
    }
    Ok(Audio { samples, rate })
}

/// The samples of each channel and their rate, or what is wrong with the bytes.
fn channels(bytes: Vec<u8>) -> Result<(Vec<Vec<f32>>, u32), String> {
    // Where a stream can be rewound, symphonia guesses the length of an mp3 file from its first frames and cuts off what
    // comes after; a stream that cannot be rewound is read as it is.
    let source = ReadOnlySource::new(Cursor::new(bytes));
    let stream = MediaSourceStream::new(Box::new(source), Default::default());
    let mut format = symphonia::default::get_probe()
        .probe(&Hint::new(), stream, FormatOptions::default(), MetadataOptions::default())
        .map_err(sentence)?;
    let track = format.default_track(TrackType::Audio).ok_or("no track of sound")?;
    let (track, expected) = (track.id, track.num_frames);
    let mut decoder = decoder(format.as_ref())?;
    let mut channels: Vec<Vec<f32>> = vec![];
    let mut rate = 0;
    while let Some(packet) = format.next_packet().map_err(sentence)? {
        if packet.track_id == track {
            append(&mut channels, &mut rate, decoder.decode(&packet).map_err(sentence)?)?;
        }
    }
    let found = channels.first().map_or(0, Vec::len) as u64;
    match expected {
        Some(expected) if found < expected => Err(format!("{found} of {expected} samples")),
        _ => Ok((channels, rate)),
    }
}

fn decoder(format: &dyn FormatReader) -> Result<Box<dyn AudioDecoder>, String> {
    let track = format.default_track(TrackType::Audio).ok_or("no track of sound")?;
    let parameters = track.codec_params.as_ref().and_then(|parameters| parameters.audio()).ok_or("no codec")?;
    symphonia::default::get_codecs().make_audio_decoder(parameters, &AudioDecoderOptions::default()).map_err(sentence)
}

/// Appends the samples of one packet to each channel.
fn append(channels: &mut Vec<Vec<f32>>, rate: &mut u32, packet: GenericAudioBufferRef<'_>) -> Result<(), String> {
    let mut planes: Vec<Vec<f32>> = vec![];
    packet.copy_to_vecs_planar(&mut planes);
    if channels.is_empty() {
        *rate = packet.spec().rate();
        channels.resize_with(planes.len(), Vec::new);
    }
    if planes.len() != channels.len() || packet.spec().rate() != *rate {
        return Err("a change of channels or sample rate on the way".into());
    }
    for (channel, plane) in channels.iter_mut().zip(planes) {
        channel.extend(plane);
    }
    Ok(())
}

/// The average of the channels that are not silent beside the loudest.
fn mixed(channels: &[Vec<f32>]) -> Vec<f32> {
    let power = |channel: &Vec<f32>| channel.iter().map(|&sample| f64::from(sample).powi(2)).sum::<f64>();
    let powers: Vec<f64> = channels.iter().map(power).collect();
    let loudest = powers.iter().copied().fold(0.0, f64::max);
    let heard: Vec<&Vec<f32>> = channels
        .iter()
        .zip(&powers)
        .filter(|&(_, &power)| power.is_nan() || power >= SILENT_CHANNEL * loudest)
        .map(|(channel, _)| channel)
        .collect();
    match heard.as_slice() {
        [] => vec![],
        [only] => only.to_vec(),
        heard => {
            let sum = |frame: usize| heard.iter().map(|channel| channel[frame]).sum::<f32>();
            (0..heard[0].len()).map(|frame| sum(frame) / heard.len() as f32).collect()
        }
    }
}

/// An error of the decoder without its prefix.
fn sentence(error: Error) -> String {
    match error {
        Error::IoError(error) if error.kind() == std::io::ErrorKind::UnexpectedEof => "an end before its time".into(),
        Error::IoError(error) => error.to_string(),
        Error::DecodeError(reason) | Error::Unsupported(reason) | Error::LimitError(reason) => reason.into(),
        Error::SeekError(_) => "a place that cannot be reached".into(),
        Error::ResetRequired => "a second stream after the first".into(),
        error => error.to_string(),
    }
}
