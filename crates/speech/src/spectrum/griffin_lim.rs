//! Samples of magnitudes without phases, by the algorithm of Griffin and Lim (1984) with the momentum of Perraudin et al.
//! (2013, algorithm 2):
//!
//! ```text
//! t_n = STFT(ISTFT(c_{n−1}));   c_n = A · phase(t_n + α (t_n − t_{n−1}))
//! ```
//!
//! Symbols: `A` the magnitudes, `c` transforms with these magnitudes, `t` transforms that a signal has, `α` the momentum.

use ndarray::{Array2, Zip};
use rand::Rng;
use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::SeedableRng;
use realfft::num_complex::Complex;

use super::stft::Stft;

/// `α`, as the paper recommends.
const MOMENTUM: f32 = 0.99;

/// The samples of a clip whose magnitudes are nearly `magnitudes`; its phases begin as a function of `seed`.
///
/// # Shapes
/// - `magnitudes`: `[T, B]`, from 0 up; returns the samples of `T` frames
pub fn griffin_lim(stft: &Stft, magnitudes: &Array2<f32>, iterations: usize, seed: u64) -> Vec<f32> {
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    let mut bins = magnitudes.mapv(|magnitude| Complex::from_polar(magnitude, angle(&mut rng)));
    let mut previous: Array2<Complex<f32>> = Array2::zeros(bins.raw_dim());
    for iteration in 0..iterations {
        let transform = stft.transform(&stft.inverse(&bins));
        // There is nothing to go on from in the first step.
        let momentum = if iteration == 0 { 0.0 } else { MOMENTUM };
        Zip::from(&mut bins).and(magnitudes).and(&transform).and(&previous).for_each(
            |bin, &magnitude, &now, &before| {
                let ahead = now + (now - before) * momentum;
                let norm = ahead.norm();
                *bin = if norm > 0.0 { ahead * (magnitude / norm) } else { Complex::new(magnitude, 0.0) };
            },
        );
        previous = transform;
    }
    stft.inverse(&bins)
}

/// An angle in [0, 2π).
fn angle(rng: &mut ChaCha8Rng) -> f32 {
    (rng.next_u32() >> 8) as f32 / (1_u32 << 24) as f32 * 2.0 * std::f32::consts::PI
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::framing::Framing;

    /// `|A − |STFT(x)|| / |A|`, spectral convergence.
    fn convergence(stft: &Stft, magnitudes: &Array2<f32>, samples: &[f32]) -> f32 {
        let found = stft.transform(samples).mapv(|bin| bin.norm());
        let norm = |values: &Array2<f32>| values.iter().map(|value| value * value).sum::<f32>().sqrt();
        norm(&(&found - magnitudes)) / norm(magnitudes)
    }

    fn magnitudes(stft: &Stft) -> Array2<f32> {
        let glide = |i: usize| (i as f32 * 0.1 + (i * i) as f32 * 2e-5).sin() * (i as f32 * 0.003).sin();
        let samples: Vec<f32> = (0..8000).map(|i| 0.4 * glide(i)).collect();
        stft.transform(&samples).mapv(|bin| bin.norm())
    }

    #[test]
    fn magnitudes_of_a_clip_are_nearly_found_again() {
        let stft = Stft::new(Framing::new(8_000).unwrap());
        let magnitudes = magnitudes(&stft);
        let [none, few, all] =
            [0, 10, 60].map(|steps| convergence(&stft, &magnitudes, &griffin_lim(&stft, &magnitudes, steps, 1)));
        assert!(all < few && few < none && all < 0.05, "{none} {few} {all}");
    }

    #[test]
    fn it_is_a_function_of_the_seed() {
        let stft = Stft::new(Framing::new(8_000).unwrap());
        let magnitudes = magnitudes(&stft);
        let of = |seed| griffin_lim(&stft, &magnitudes, 3, seed);
        assert_eq!(of(1), of(1));
        assert_ne!(of(1), of(2));
        assert_eq!(of(1).len(), stft.framing().samples(magnitudes.nrows()));
    }

    #[test]
    fn silence_stays_silent() {
        let stft = Stft::new(Framing::new(8_000).unwrap());
        assert!(griffin_lim(&stft, &Array2::zeros((5, stft.bins())), 5, 0).iter().all(|&sample| sample == 0.0));
        assert!(griffin_lim(&stft, &Array2::zeros((0, stft.bins())), 5, 0).is_empty());
    }
}
