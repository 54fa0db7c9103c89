//! A unit codec of synthetic speech: vowels of two formants, with pauses.

// A panic is how a test reports.
#![allow(clippy::unwrap_used)]

use std::fs;

use interfuse_speech::units::{
    Recordings, UnitCodec, UnitConfig, UnitSequence, UnitTraining, UnitTrainingReport, round_trip, train,
};
use interfuse_speech::{Audio, SpeechError};

const RATE: u32 = 8_000;

/// Five vowels by their first two formants, in Hz.
const VOWELS: [[f32; 2]; 5] = [[300.0, 2200.0], [500.0, 1800.0], [700.0, 1100.0], [450.0, 800.0], [300.0, 700.0]];

/// A fifth of a second for each vowel, at a rate; pulses of the voice through two resonances.
fn speech(vowels: &[usize], rate: u32) -> Audio {
    let mut samples = vec![];
    let mut state = [[0.0f32; 2]; 2];
    for vowel in vowels {
        for i in 0..rate / 5 {
            let mut sound = if i % (rate / 100) == 0 { 1.0 } else { 0.0 };
            for (formant, state) in VOWELS[*vowel].iter().zip(&mut state) {
                let radius = 0.97f32;
                let angle = 2.0 * std::f32::consts::PI * formant / rate as f32;
                let next = sound + 2.0 * radius * angle.cos() * state[0] - radius * radius * state[1];
                *state = [next, state[0]];
                sound = next * 0.2;
            }
            samples.push(sound);
        }
    }
    Audio { samples, rate }
}

fn clips() -> Vec<Audio> {
    (0..12).map(|clip| speech(&[clip % 5, (clip * 3 + 1) % 5, (clip * 2 + 3) % 5], RATE)).collect()
}

fn config() -> UnitConfig {
    UnitConfig { units: 16, sample_rate: RATE, ..UnitConfig::default() }
}

fn trained(config: &UnitConfig) -> (UnitCodec, UnitTrainingReport) {
    train(config, &UnitTraining::default(), &clips(), &mut |_, _| ()).unwrap()
}

#[test]
fn every_frame_has_a_unit_at_both_rates() {
    for (unit_rate, units) in [(100, 58), (50, 29)] {
        let (codec, report) = trained(&UnitConfig { unit_rate, ..config() });
        let clip = clips().remove(0);
        let sequence = codec.encode(clip).unwrap();
        // 4800 samples are 58 frames.
        assert_eq!((sequence.units().len(), sequence.duration()), (units, units as u64));
        assert!(sequence.units().iter().all(|&unit| unit < 16));
        assert!(sequence.deduplicated().units().len() < units);
        assert_eq!((report.clips, report.frames, report.units.used), (12, 12 * units as u64, 16));
        assert_eq!(codec.spectra().dim(), (16, 129));
        let again = codec.encode(codec.decode(&sequence, 0).unwrap()).unwrap();
        assert_eq!(again.units().len(), units);
    }
}

#[test]
fn vowels_come_back_as_themselves() {
    let (codec, _) = trained(&config());
    for clip in clips() {
        let trip = round_trip(&codec, clip.clone(), 0).unwrap();
        assert!(trip.agreement > 0.6, "{trip:?}");
        assert!(trip.log_spectral_distance < 12.0, "{trip:?}");
        assert!(trip.unit_errors.rate() < 1.0, "{trip:?}");
    }
    // A clip of other units is farther away.
    let sequence = codec.encode(speech(&[0, 0, 0], RATE)).unwrap();
    let far = codec.decode(&sequence, 0).unwrap();
    let near = round_trip(&codec, speech(&[3, 3, 3], RATE), 0).unwrap().log_spectral_distance;
    let distance = interfuse_speech::units::round_trip::log_spectral_distance(&codec, speech(&[3, 3, 3], RATE), far);
    assert!(distance > 1.5 * near, "{distance} {near}");
}

#[test]
fn a_clip_is_heard_at_any_rate() {
    let (codec, _) = trained(&config());
    let there = codec.encode(speech(&[0, 2, 4], RATE)).unwrap();
    let other = codec.encode(speech(&[0, 2, 4], RATE).resampled(16_000)).unwrap();
    let same = there.units().iter().zip(other.units()).filter(|(a, b)| a == b).count();
    assert!(same * 10 >= there.units().len() * 9, "{same} of {}", there.units().len());
}

#[test]
fn the_codec_is_a_function_of_clips_and_seed_whatever_the_threads() {
    let within = |threads: usize| {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
        pool.install(|| trained(&config()).0.hash().to_string())
    };
    let hash = within(1);
    assert_eq!(within(3), hash);
    let mut training = UnitTraining::default();
    training.kmeans.seed = 1;
    let (other, _) = train(&config(), &training, &clips(), &mut |_, _| ()).unwrap();
    assert_ne!(other.hash(), hash);
}

#[test]
fn few_frames_are_chosen_evenly_and_enough() {
    let training = UnitTraining { frames: 100, ..UnitTraining::default() };
    let (codec, report) = train(&config(), &training, &clips(), &mut |_, _| ()).unwrap();
    assert_eq!((report.clustered, report.frames), (100, 348));
    assert!(codec.encode(clips().remove(0)).unwrap().units().len() == 29);
}

#[test]
fn a_codec_is_known_by_its_file() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("units.safetensors");
    let (codec, _) = trained(&UnitConfig { subtract_mean: true, ..config() });
    codec.save(&path).unwrap();
    let opened = UnitCodec::open(&path).unwrap();
    assert_eq!((opened.hash(), opened.config()), (codec.hash(), codec.config()));
    assert_eq!(opened.hash().len(), 64);
    let clip = speech(&[1, 4, 2], RATE);
    assert_eq!(opened.encode(clip.clone()).unwrap(), codec.encode(clip).unwrap());
    let units = opened.with_mean_durations(vec![3, 5]).unwrap();
    assert_eq!(opened.decode(&units, 1).unwrap(), codec.decode(&units, 1).unwrap());
}

#[test]
fn bad_files_are_refused_by_name() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("units.safetensors");
    let (codec, _) = trained(&config());
    codec.save(&path).unwrap();
    let whole = fs::read(&path).unwrap();
    let message = |bytes: &[u8]| {
        fs::write(&path, bytes).unwrap();
        UnitCodec::open(&path).unwrap_err().to_string()
    };
    for kept in [0, 7, 100, whole.len() - 1] {
        assert!(message(&whole[..kept]).contains("units.safetensors"), "{kept}");
    }
    // The last four bytes are a number of some tensor.
    let nan = [&whole[..whole.len() - 4], &f32::NAN.to_le_bytes()].concat();
    assert!(message(&nan).contains("NaN or infinite"));
    let text = String::from_utf8_lossy(&whole[8..400]).to_string();
    let place = 8 + text.find("\\\"units\\\":16").unwrap();
    let other = [&whole[..place], b"\\\"units\\\":17", &whole[place + 12..]].concat();
    let found = message(&other);
    assert!(found.contains("F32 [16, 39] instead of F32 [17, 39]"), "{found}");
    let other = [&whole[..place], b"\\\"units\\\":-6", &whole[place + 12..]].concat();
    assert!(message(&other).contains("units.safetensors"));
    assert!(UnitCodec::open(&folder.path().join("none")).unwrap_err().to_string().starts_with("cannot read"));
}

#[test]
fn units_beyond_the_alphabet_and_endless_durations_are_refused() {
    let (codec, _) = trained(&config());
    let message = |sequence| codec.decode(&sequence, 0).unwrap_err().to_string();
    assert_eq!(message(UnitSequence::new(vec![3, 16])), "`units`: expected units from 0 to 15, found 16");
    assert!(codec.with_mean_durations(vec![99]).is_err());
    let endless = UnitSequence::with_durations(vec![1, 2], vec![u32::MAX, u32::MAX]).unwrap();
    assert!(message(endless).contains("at most 3600 seconds"));
    assert!(codec.decode(&UnitSequence::default(), 0).unwrap().samples.is_empty());
}

#[test]
fn silence_and_a_single_sample_are_handled() {
    let (codec, _) = trained(&config());
    let silence = Audio { samples: vec![0.0; 4000], rate: RATE };
    let units = codec.encode(silence.clone()).unwrap().deduplicated();
    assert_eq!(units.units().len(), 1);
    let trip = round_trip(&codec, silence, 0).unwrap();
    assert!(trip.log_spectral_distance.is_finite() && (0.0..=1.0).contains(&trip.agreement));
    let message = codec.encode(Audio { samples: vec![0.3], rate: RATE }).unwrap_err().to_string();
    assert_eq!(message, "samples at 8000 Hz, a frame of 25 ms: at least 200 needed, found 1");
}

/// Good clips between one that cannot be decoded and one that is too short.
struct Mixed(Vec<Audio>);

impl Recordings for Mixed {
    fn len(&self) -> usize {
        self.0.len() + 2
    }

    fn audio(&self, index: usize) -> Result<Audio, SpeechError> {
        match index {
            0 => interfuse_speech::audio::decode(vec![], "bad.wav"),
            1 => Ok(Audio { samples: vec![0.1], rate: RATE }),
            index => Ok(self.0[index - 2].clone()),
        }
    }
}

#[test]
fn bad_clips_are_skipped_and_named() {
    let mut heard = vec![];
    let mut progress = |done, all| heard.push((done, all));
    let (codec, report) = train(&config(), &UnitTraining::default(), &Mixed(clips()), &mut progress).unwrap();
    assert_eq!((report.clips, report.skipped.len()), (12, 2));
    assert!(
        report.skipped[0].contains("bad.wav") && report.skipped[1].starts_with("clip 2: samples at 8000 Hz"),
        "{:?}",
        report.skipped
    );
    assert_eq!(codec.hash(), trained(&config()).0.hash());
    assert_eq!((heard.first(), heard.last(), heard.len()), (Some(&(1, 28)), Some(&(28, 28)), 28));
}

#[test]
fn what_cannot_be_learned_is_refused() {
    let message = |config: &UnitConfig, clips: Vec<Audio>| {
        train(config, &UnitTraining::default(), &clips, &mut |_, _| ()).unwrap_err().to_string()
    };
    assert!(message(&config(), vec![]).contains("at least one"));
    let silence = Audio { samples: vec![0.0; 16_000], rate: RATE };
    let found = message(&config(), vec![silence]);
    assert_eq!(found, "distinct frames for k-means: at least 16 needed, found 1");
    let short = Audio { samples: vec![0.0; 10], rate: RATE };
    assert!(message(&config(), vec![short]).contains("found 10"));
    assert!(message(&UnitConfig { units: 1, ..config() }, clips()).contains("`units`"));
    assert!(message(&UnitConfig { unit_rate: 25, ..config() }, clips()).contains("`unit_rate`"));
    assert!(message(&UnitConfig { sample_rate: 44_100, ..config() }, clips()).contains("`sample_rate`"));
}
