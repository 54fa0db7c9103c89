//! Clips of every format, good and bad, against the tone that they were made of, and resampling against torchaudio.

// A panic is how a test reports.
#![allow(clippy::unwrap_used)]

use std::path::{Path, PathBuf};

use interfuse_speech::Audio;
use interfuse_speech::audio::{decode, read, write_wav};

fn clip(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/audio").join(name)
}

fn tone(rate: u32, length: usize) -> Vec<f32> {
    let angle = |i: usize| 2.0 * std::f64::consts::PI * 440.0 * i as f64 / f64::from(rate);
    (0..length).map(|i| (0.5 * angle(i).sin()) as f32).collect()
}

/// The largest difference, but for what a lossy encoder does at the ends.
fn difference(found: &[f32], expected: &[f32], margin: usize) -> f32 {
    let inner = margin..expected.len() - margin;
    inner.map(|i| (found[i] - expected[i]).abs()).fold(0.0, f32::max)
}

#[test]
fn every_format_gives_the_tone_that_was_written() {
    // The last bit of 8, 16 and 24 bits; Vorbis and MP3 lose more.
    let cases = [
        ("mono.wav", 8000, 2000, 4e-5, 0),
        ("bits24.wav", 8000, 2000, 2e-7, 0),
        ("float.wav", 8000, 2000, 1e-7, 0),
        ("bytes.wav", 8000, 2000, 8e-3, 0),
        ("mono.flac", 8000, 2000, 4e-5, 0),
        ("mono.ogg", 8000, 2000, 0.05, 200),
        ("mpeg25.mp3", 11025, 5512, 0.05, 1000),
        ("mpeg1.mp3", 44100, 11025, 0.05, 2000),
    ];
    for (name, rate, length, tolerance, margin) in cases {
        let audio = read(&clip(name)).unwrap();
        assert_eq!((audio.rate, audio.samples.len()), (rate, length), "{name}");
        let error = difference(&audio.samples, &tone(rate, length), margin);
        assert!(error <= tolerance, "{name}: {error}");
    }
}

#[test]
fn a_silent_channel_does_not_halve_the_other() {
    let audio = read(&clip("silent_left.wav")).unwrap();
    assert!(difference(&audio.samples, &tone(8000, 2000), 0) <= 4e-5);
    let expected: Vec<f32> = tone(8000, 2000).iter().map(|sample| sample * 0.75).collect();
    let audio = read(&clip("stereo.flac")).unwrap();
    assert!(difference(&audio.samples, &expected, 0) <= 4e-5);
}

#[test]
fn silence_and_a_single_sample_are_clips() {
    let audio = read(&clip("silence.wav")).unwrap();
    assert!(audio.is_silent() && audio.samples.len() == 800);
    let audio = read(&clip("one_sample.wav")).unwrap();
    assert_eq!(audio.samples.len(), 1);
    assert_eq!(audio.resampled(16000).samples.len(), 2);
}

#[test]
fn bad_files_are_errors_that_name_the_file() {
    let message = |name: &str, bytes: Vec<u8>| decode(bytes, name).unwrap_err().to_string();
    for (bytes, part) in [(vec![], "no bytes"), (b"not a sound, but a text".repeat(99), "expected a complete wav")] {
        let message = message("x.wav", bytes);
        assert!(message.contains("`x.wav`") && message.contains(part), "{message}");
    }
    let message = read(&clip("no_sample.wav")).unwrap_err().to_string();
    assert!(message.contains("no_sample.wav") && message.contains("no samples"), "{message}");
    let message = read(Path::new("/nowhere/a.wav")).unwrap_err().to_string();
    assert!(message.starts_with("cannot read /nowhere/a.wav"), "{message}");
}

#[test]
fn files_that_end_before_their_time_are_refused() {
    for name in ["mono.wav", "bits24.wav", "mono.flac", "mono.ogg", "mpeg25.mp3", "mpeg1.mp3"] {
        let bytes = std::fs::read(clip(name)).unwrap();
        // From a file that has lost a third down to one of a few bytes.
        for kept in [bytes.len() * 2 / 3, bytes.len() / 3, 50, 30, 3] {
            let message = match decode(bytes[..kept].to_vec(), name) {
                Ok(audio) => panic!("{name}: {kept} of {} bytes gave {} samples", bytes.len(), audio.samples.len()),
                Err(error) => error.to_string(),
            };
            assert!(message.starts_with(&format!("`{name}`: expected a complete wav")), "{message}");
        }
    }
}

#[test]
fn bytes_that_are_changed_never_panic() {
    for name in ["mono.wav", "mono.flac", "mono.ogg", "mpeg25.mp3"] {
        let bytes = std::fs::read(clip(name)).unwrap();
        for place in (0..bytes.len().min(600)).step_by(3) {
            let mut changed = bytes.clone();
            changed[place] ^= 0xff;
            if let Ok(audio) = decode(changed, name) {
                assert!(audio.samples.iter().all(|sample| sample.is_finite()), "{name}, byte {place}");
            }
        }
    }
}

#[test]
fn a_written_file_reads_back() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a.wav");
    let audio = Audio { samples: [tone(16000, 500), vec![1.5, -1.5]].concat(), rate: 16000 };
    write_wav(&path, &audio).unwrap();
    let found = read(&path).unwrap();
    assert_eq!((found.rate, found.samples.len()), (16000, 502));
    assert!(difference(&found.samples[..500], &audio.samples[..500], 0) <= 2e-5);
    assert!((found.samples[500] - 1.0).abs() < 1e-4 && found.samples[501] == -1.0);
    assert!(write_wav(&folder.path().join("none/a.wav"), &audio).is_err());
}

#[test]
fn rates_change_as_torchaudio_changes_them() {
    let fixture: serde_json::Value = serde_json::from_str(include_str!("resampled.json")).unwrap();
    let numbers = |value: &serde_json::Value| -> Vec<f32> {
        value.as_array().unwrap().iter().map(|number| number.as_f64().unwrap() as f32).collect()
    };
    for case in fixture["cases"].as_array().unwrap() {
        let [from, to] = ["from", "to"].map(|key| case[key].as_u64().unwrap() as u32);
        let found = Audio { samples: numbers(&fixture["noise"]), rate: from }.resampled(to);
        let expected = numbers(&case["samples"]);
        assert_eq!(found.samples.len(), expected.len());
        let error = difference(&found.samples, &expected, 0);
        assert!(error < 2e-6, "{from} to {to}: {error}");
    }
}
