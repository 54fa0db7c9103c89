//! Learns units of a source, saves their codec, and takes a few held-out clips there and back: for each the clip, what comes
//! back, and the spectrograms of both.
//!
//! ```sh
//! cargo run --release -p interfuse-speech --example resynthesize -- '{"kind": "telephone-prompts"}' \
//!     '{"units": 100, "unit_rate": 50}' out
//! ```

#![allow(clippy::print_stdout)] // An example is a program.

use std::path::PathBuf;

use interfuse_speech::audio::write_wav;
use interfuse_speech::clips::ClipSource;
use interfuse_speech::error_rate::ErrorCounts;
use interfuse_speech::spectrum::write_spectrogram;
use interfuse_speech::units::{Recordings, UnitConfig, UnitTraining, round_trip, train};

/// Held-out clips that are scored.
const SCORED: usize = 40;
/// Held-out clips that are written.
const WRITTEN: usize = 3;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let [source, config, folder] = <[String; 3]>::try_from(std::env::args().skip(1).collect::<Vec<_>>())
        .map_err(|_| "expected three arguments")?;
    let (source, config): (ClipSource, UnitConfig) = (serde_json::from_str(&source)?, serde_json::from_str(&config)?);
    let folder = PathBuf::from(folder);
    std::fs::create_dir_all(&folder)?;
    let (clips, held_out) = source.open()?.parted(0.05);
    let (codec, report) = train(&config, &UnitTraining::default(), &clips, &mut |_, _| ())?;
    codec.save(&folder.join("units.safetensors"))?;
    println!("{}", serde_json::to_string(&report)?);
    let (mut errors, mut agreement, mut distance, mut count) = (ErrorCounts::default(), 0.0, 0.0, 0.0);
    for index in 0..held_out.len().min(SCORED) {
        let audio = held_out.audio(index)?;
        let trip = round_trip(&codec, audio, 0)?;
        errors += trip.unit_errors;
        (agreement, distance, count) = (agreement + trip.agreement, distance + trip.log_spectral_distance, count + 1.0);
    }
    println!(
        "unit error rate {:.3}, agreement {:.3}, log-spectral distance {:.2} dB, of {count} clips",
        errors.rate(),
        agreement / count,
        distance / count
    );
    for index in 0..held_out.len().min(WRITTEN) {
        let clip = held_out.audio(index)?.resampled(config.sample_rate);
        let back = codec.decode(&codec.encode(clip.clone())?, 0)?;
        for (what, audio) in [("clip", clip), ("back", back)] {
            write_wav(&folder.join(format!("{index}_{what}.wav")), &audio)?;
            write_spectrogram(&folder.join(format!("{index}_{what}.png")), &audio)?;
        }
        println!("{index}: {}", held_out.clips()[index].text);
    }
    Ok(())
}
