//! Another sample rate, by the band-limited interpolation of Smith (1984, "A flexible sampling-rate conversion method"):
//!
//! ```text
//! y[j] = Σ_i x[i] h(i/o − j/n),   h(s) = b/o · sinc(b s) · kaiser(b s / w)
//! ```
//!
//! Symbols: `o`, `n` the old and the new rate without their common divisor; `b = min(o, n) · rolloff` the bandwidth; `w` the
//! zero crossings of the sinc to either side. These are exactly the kernels of `torchaudio.functional.resample` with
//! librosa's parameters for `kaiser_best`. Filters repeat after `n` outputs, so there are `n` of them.
//! No delay is added: the first sample stays at time 0.

use ndarray::aview1;

/// `w`: zero crossings of the sinc to either side.
const ZERO_CROSSINGS: f64 = 64.0;
/// Part of the band that passes.
const ROLLOFF: f64 = 0.947_593_716_739_959_6;
/// Shape of Kaiser's window.
const BETA: f64 = 14.769_656_459_379_492;

/// The taps of one place between two samples of the input.
struct Phase {
    /// Place of the first tap relative to the period's first input sample.
    start: isize,
    taps: Vec<f32>,
}

/// `⌈samples · to / from⌉` samples; the rates are positive.
pub(super) fn resample(samples: &[f32], from: u32, to: u32) -> Vec<f32> {
    let divisor = gcd(from, to);
    let (old, new) = ((from / divisor) as usize, (to / divisor) as usize);
    let length = (samples.len() * new).div_ceil(old);
    // A clip shorter than a period needs no more phases than it has outputs.
    let phases: Vec<Phase> = (0..new.min(length)).map(|j| phase(j, old, new)).collect();
    (0..length).map(|j| apply(&phases[j % new], samples, (j / new * old) as isize)).collect()
}

/// The filter of the outputs `j`, `j + n`, `j + 2n`, …
fn phase(j: usize, old: usize, new: usize) -> Phase {
    let bandwidth = old.min(new) as f64 * ROLLOFF;
    let (old, center) = (old as f64, j as f64 / new as f64);
    let reach = ZERO_CROSSINGS / bandwidth;
    let start = ((center - reach) * old).ceil() as isize;
    let end = ((center + reach) * old).floor() as isize;
    let tap = |i: isize| {
        let crossings = (i as f64 / old - center) * bandwidth;
        (bandwidth / old * sinc(crossings) * kaiser(crossings / ZERO_CROSSINGS)) as f32
    };
    Phase { start, taps: (start..=end).map(tap).collect() }
}

/// One output; what lies before and after the clip is silence.
fn apply(phase: &Phase, samples: &[f32], period: isize) -> f32 {
    let first = period + phase.start;
    let skipped = first.min(0).unsigned_abs();
    let from = first.max(0) as usize;
    let to = samples.len().min((first + phase.taps.len() as isize).max(0) as usize);
    if from >= to {
        return 0.0;
    }
    aview1(&samples[from..to]).dot(&aview1(&phase.taps[skipped..skipped + to - from]))
}

/// sin(π x) / (π x)
fn sinc(x: f64) -> f64 {
    let x = x * std::f64::consts::PI;
    if x == 0.0 { 1.0 } else { x.sin() / x }
}

/// Kaiser's window of `x` in [-1, 1].
fn kaiser(x: f64) -> f64 {
    bessel_i0(BETA * (1.0 - x * x).max(0.0).sqrt()) / bessel_i0(BETA)
}

/// The modified Bessel function of the first kind and order 0, by its series Σ ((x/2)^k / k!)².
fn bessel_i0(x: f64) -> f64 {
    let (mut sum, mut term, mut k) = (1.0, 1.0, 0.0);
    while term > sum * f64::EPSILON {
        k += 1.0;
        term *= (x / 2.0 / k).powi(2);
        sum += term;
    }
    sum
}

fn gcd(a: u32, b: u32) -> u32 {
    if b == 0 { a } else { gcd(b, a % b) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tone(hertz: f64, rate: u32, length: usize) -> Vec<f32> {
        (0..length).map(|i| (2.0 * std::f64::consts::PI * hertz * i as f64 / f64::from(rate)).sin() as f32).collect()
    }

    #[test]
    fn a_tone_is_the_same_tone_at_any_rate() {
        for (from, to) in [(8000, 16000), (44100, 16000), (11025, 16000), (22050, 16000), (16000, 8000)] {
            let length = from as usize;
            let found = resample(&tone(440.0, from, length), from, to);
            let expected = tone(440.0, to, to as usize);
            assert_eq!(found.len(), to as usize);
            // Near the ends the filter meets the silence outside.
            let inner = to as usize / 10..to as usize * 9 / 10;
            let error = inner.map(|i| (found[i] - expected[i]).abs()).fold(0.0, f32::max);
            assert!(error < 1e-5, "{from} to {to}: {error}");
        }
    }

    #[test]
    fn what_the_new_rate_cannot_hold_is_gone() {
        let found = resample(&tone(6000.0, 16000, 16000), 16000, 8000);
        let loudest = found[800..7200].iter().fold(0.0f32, |most, sample| most.max(sample.abs()));
        assert!(loudest < 1e-5, "{loudest}");
    }

    #[test]
    fn lengths_are_rounded_up_and_short_clips_survive() {
        assert_eq!(resample(&[0.5], 44100, 16000).len(), 1);
        assert_eq!(resample(&[0.5], 8000, 16000).len(), 2);
        assert_eq!(resample(&[0.5; 442], 44100, 16000).len(), 161);
        assert!(resample(&[], 8000, 16000).is_empty());
        assert_eq!(resample(&[0.0; 100], 48001, 16000), [0.0; 34]);
    }
}
