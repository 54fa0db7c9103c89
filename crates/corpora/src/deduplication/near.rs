//! Nearly equal texts by MinHash (Broder 1997): texts are alike as their sets of 5 words in a row are.
//!
//! The minimum of a random order over the union of two sets lies in both with the probability |A ∩ B| / |A ∪ B|, their Jaccard
//! similarity, so the fraction of equal minima estimates it. [`MINIMA`] orders are drawn once from a fixed seed. Candidates
//! share all minima of one of [`BANDS`] bands; of texts with similarity 0.8 that misses 1 in 20,000.

use std::collections::HashMap;
use std::sync::OnceLock;

use rand::Rng as _;
use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::SeedableRng as _;

use super::words::mixed;

/// Words of a shingle.
const SHINGLE: usize = 5;
/// Minima of a signature.
pub const MINIMA: usize = 125;
/// Bands that the minima are divided into.
pub const BANDS: usize = 25;
const ROWS: usize = MINIMA / BANDS;
/// Texts are nearly equal where this fraction of their minima is equal: an estimate of the Jaccard similarity of their sets
/// of 5 words in a row, with a standard deviation of 0.036. Of texts with a
/// similarity of 0.9 it passes 1 in 10,000 as different.
pub const THRESHOLD: f64 = 0.8;
/// The seed of the random orders. Another would choose other duplicates.
const SEED: u64 = 0x6e65_6172;

/// The minima of a text, of each the lower 16 bits, which differ where the minima do but once in 65,536 times.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Signature(Box<[u16; MINIMA]>);

impl Signature {
    /// Of a text.
    pub fn of(text: &str) -> Self {
        Self::of_words(&super::word_hashes(text))
    }

    /// Of the hashes of words, at least one.
    pub(crate) fn of_words(words: &[u64]) -> Self {
        let orders = orders();
        let mut minima = [u32::MAX; MINIMA];
        for shingle in words.windows(SHINGLE.min(words.len()).max(1)) {
            let hash = mixed(shingle.iter().fold(shingle.len() as u64, |hash, word| {
                (hash.rotate_left(23) ^ word).wrapping_mul(0x9e37_79b9_7f4a_7c15)
            }));
            for (minimum, (factor, summand)) in minima.iter_mut().zip(orders) {
                *minimum = (*minimum).min((hash.wrapping_mul(*factor).wrapping_add(*summand) >> 32) as u32);
            }
        }
        Self(Box::new(minima.map(|minimum| minimum as u16)))
    }

    /// The estimated similarity of two texts, from 0 to 1.
    pub fn similarity(&self, other: &Self) -> f64 {
        self.equal(other) as f64 / MINIMA as f64
    }

    fn equal(&self, other: &Self) -> usize {
        self.0.iter().zip(other.0.iter()).filter(|(a, b)| a == b).count()
    }

    fn bands(&self) -> impl Iterator<Item = (usize, u32)> {
        let key = |rows: &[u16]| mixed(rows.iter().fold(0, |hash: u64, &row| mixed(hash ^ u64::from(row)))) as u32;
        self.0.chunks_exact(ROWS).map(key).enumerate()
    }
}

/// Multiplier and summand of each random order; the upper half of the product is what is compared.
fn orders() -> &'static [(u64, u64); MINIMA] {
    static ORDERS: OnceLock<[(u64, u64); MINIMA]> = OnceLock::new();
    ORDERS.get_or_init(|| {
        let mut rng = ChaCha8Rng::seed_from_u64(SEED);
        std::array::from_fn(|_| (rng.next_u64() | 1, rng.next_u64()))
    })
}

/// The signatures of texts of which no two are nearly equal.
#[derive(Default)]
pub(crate) struct KeptTexts {
    signatures: Vec<Signature>,
    /// For each band, the last text with a key.
    last: Vec<HashMap<u32, u32>>,
    /// For each text and band, the text before with the same key.
    before: Vec<[u32; BANDS]>,
}

/// No text.
const NONE: u32 = u32::MAX;

impl KeptTexts {
    /// Keeps a text unless it is nearly equal to one that is kept; whether it was kept.
    pub(crate) fn keep(&mut self, signature: Signature) -> bool {
        self.last.resize_with(BANDS, HashMap::new);
        let threshold = (THRESHOLD * MINIMA as f64).ceil() as usize;
        for (band, key) in signature.bands() {
            let mut candidate = self.last[band].get(&key).copied().unwrap_or(NONE);
            while candidate != NONE {
                let other = &self.signatures[candidate as usize];
                if signature.equal(other) >= threshold {
                    return false;
                }
                candidate = self.before[candidate as usize][band];
            }
        }
        let number = self.signatures.len() as u32;
        let mut before = [NONE; BANDS];
        for (band, key) in signature.bands() {
            before[band] = self.last[band].insert(key, number).unwrap_or(NONE);
        }
        self.before.push(before);
        self.signatures.push(signature);
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// `count` words that begin at `start`.
    fn words(start: usize, count: usize) -> String {
        (start..start + count).map(|number| format!("w{number}")).collect::<Vec<_>>().join(" ")
    }

    #[test]
    fn the_estimate_is_near_the_truth() {
        for common in [996, 804, 504, 104, 4] {
            let (a, b) = (words(0, 1004), words(1004 - common, 1004));
            // Of 1000 shingles each, common − 4 are shared.
            let shared = (common - 4) as f64;
            let similarity = shared / (2000.0 - shared);
            let found = Signature::of(&a).similarity(&Signature::of(&b));
            assert!((found - similarity).abs() < 0.16, "{found} for {similarity}");
        }
        assert_eq!(Signature::of("One, two").similarity(&Signature::of("one TWO!")), 1.0);
        assert!(Signature::of("one two three").similarity(&Signature::of("one two")) < 0.1);
    }

    #[test]
    fn of_nearly_equal_texts_one_is_kept() {
        let mut kept = KeptTexts::default();
        let text = words(0, 400);
        assert!(kept.keep(Signature::of(&text)));
        assert!(!kept.keep(Signature::of(&text)));
        assert!(!kept.keep(Signature::of(&format!("{text} and one more"))));
        assert!(!kept.keep(Signature::of(&text.replace("w200", "changed"))));
        assert!(kept.keep(Signature::of(&words(200, 400))));
        assert!(kept.keep(Signature::of("short")));
        assert!(kept.keep(Signature::of("shorter")));
    }
}
