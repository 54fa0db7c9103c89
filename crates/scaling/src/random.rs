//! Randomness as a function of a seed and of the number of the draw, so that the count of threads changes nothing.

use rand::Rng;
use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::SeedableRng;

/// The generator of draw number `draw` under `seed`; draws are independent of one another.
pub(crate) fn generator(seed: u64, draw: u64) -> ChaCha8Rng {
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    rng.set_stream(draw);
    rng
}

/// A whole number from 0 to `count − 1`; `count` is at least 1.
///
/// The remainder of 64 bits favors small numbers by less than `count / 2⁶⁴`.
pub(crate) fn below(rng: &mut ChaCha8Rng, count: usize) -> usize {
    (rng.next_u64() % count as u64) as usize
}

/// How often each of `count` rows is taken when `count` rows are taken with replacement.
pub(crate) fn multiplicities(rng: &mut ChaCha8Rng, count: usize) -> Vec<f64> {
    let mut times = vec![0.0; count];
    for _ in 0..count {
        times[below(rng, count)] += 1.0;
    }
    times
}
