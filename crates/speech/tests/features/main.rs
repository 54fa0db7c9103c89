//! MFCC and deltas against torchaudio's, which are Kaldi's.

// A panic is how a test reports.
#![allow(clippy::unwrap_used)]

use interfuse_speech::features::{FEATURES, FeatureExtractor};
use interfuse_speech::framing::Framing;
use ndarray::Axis;

/// The signal of `generate.py`.
fn signal(rate: u32, length: usize) -> Vec<f32> {
    let mut state = 1_u64;
    let noise = std::iter::repeat_with(|| {
        state = (state * 1_103_515_245 + 12345) % (1 << 31);
        state as f64 / f64::from(1 << 30) - 1.0
    });
    let sine = |turns: f64| (2.0 * std::f64::consts::PI * turns).sin();
    let sample = |(i, noise): (usize, f64)| {
        let time = i as f64 / f64::from(rate);
        let tone = 0.4 * sine(200.0 * time + 900.0 * time * time) * sine(3.0 * time).powi(2);
        (tone + 0.02 * noise + 0.01) as f32
    };
    noise.take(length).enumerate().map(sample).collect()
}

#[test]
fn features_are_those_of_torchaudio() {
    let fixture: serde_json::Value = serde_json::from_str(include_str!("features.json")).unwrap();
    for case in fixture["cases"].as_array().unwrap() {
        let rate = case["rate"].as_u64().unwrap() as u32;
        let samples = signal(rate, case["length"].as_u64().unwrap() as usize);
        let found = FeatureExtractor::new(Framing::new(rate).unwrap(), false).features(&samples).unwrap();
        let expected = case["features"].as_array().unwrap();
        assert_eq!(found.dim(), (expected.len(), FEATURES));
        let mut largest = 0.0f64;
        for (row, expected) in found.outer_iter().zip(expected) {
            for (found, expected) in row.iter().zip(expected.as_array().unwrap()) {
                largest = largest.max((f64::from(*found) - expected.as_f64().unwrap()).abs());
            }
        }
        assert!(largest <= 1e-4, "{rate} Hz: {largest}");
    }
}

#[test]
fn without_the_mean_every_number_is_zero_on_average() {
    let samples = signal(16_000, 8000);
    let framing = Framing::new(16_000).unwrap();
    let [kept, subtracted] =
        [false, true].map(|subtract| FeatureExtractor::new(framing, subtract).features(&samples).unwrap());
    assert!(subtracted.mean_axis(Axis(0)).unwrap().iter().all(|mean| mean.abs() < 1e-3));
    let shift = &kept - &subtracted;
    assert!(shift.outer_iter().all(|row| (&row - &shift.row(0)).iter().all(|difference| difference.abs() < 1e-3)));
}

#[test]
fn silence_has_features_and_less_than_a_frame_has_none() {
    let extractor = FeatureExtractor::new(Framing::new(16_000).unwrap(), true);
    assert!(extractor.features(&[0.0; 1000]).unwrap().iter().all(|value| value.is_finite()));
    let message = extractor.features(&[0.5]).unwrap_err().to_string();
    assert_eq!(message, "samples at 16000 Hz, a frame of 25 ms: at least 400 needed, found 1");
}
