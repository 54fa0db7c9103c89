//! Nearly equal texts: texts are alike as their sets of 5 words in a row are.
//!
//! Which texts to compare is found by MinHash (Broder 1997). The minimum of a random order over the union of two sets
//! lies in both with the probability of their Jaccard similarity |A ∩ B| / |A ∪ B|. [`MINIMA`] orders are drawn once
//! from a fixed seed; texts are compared that share all minima of one of [`BANDS`] bands, which texts with a similarity
//! of 0.8 do but once in 20,000 times.

use std::collections::HashMap;
use std::sync::OnceLock;

use rand::Rng as _;
use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::SeedableRng as _;

use super::words::mixed;

/// Words of a shingle.
const SHINGLE: usize = 5;
/// Minima of a text.
pub const MINIMA: usize = 125;
/// Bands that the minima are divided into.
pub const BANDS: usize = 25;
const ROWS: usize = MINIMA / BANDS;
/// Texts are nearly equal from this Jaccard similarity of their sets of 5 words in a row.
pub const THRESHOLD: f64 = 0.8;
/// The seed of the random orders.
const SEED: u64 = 0x6e65_6172;

/// The set of 5 words in a row of a text, and its minima by bands. A text of fewer words is one shingle.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Shingles {
    bands: [u32; BANDS],
    /// Hashes in rising order.
    hashes: Box<[u32]>,
}

impl Shingles {
    /// Of a text.
    pub fn of(text: &str) -> Self {
        Self::of_words(&super::word_hashes(text))
    }

    /// Of the hashes of words, at least one.
    pub(crate) fn of_words(words: &[u64]) -> Self {
        let orders = orders();
        let mut minima = [u32::MAX; MINIMA];
        let mut hashes = Vec::with_capacity(words.len());
        for shingle in words.windows(SHINGLE.min(words.len()).max(1)) {
            let hash = mixed(shingle.iter().fold(shingle.len() as u64, |hash, word| {
                (hash.rotate_left(23) ^ word).wrapping_mul(0x9e37_79b9_7f4a_7c15)
            }));
            hashes.push(hash as u32);
            for (minimum, (factor, summand)) in minima.iter_mut().zip(orders) {
                *minimum = (*minimum).min((hash.wrapping_mul(*factor).wrapping_add(*summand) >> 32) as u32);
            }
        }
        hashes.sort_unstable();
        hashes.dedup();
        let band = |rows: &[u32]| mixed(rows.iter().fold(0, |hash: u64, &row| mixed(hash ^ u64::from(row)))) as u32;
        let bands = std::array::from_fn(|index| band(&minima[index * ROWS..(index + 1) * ROWS]));
        Self { bands, hashes: hashes.into() }
    }

    /// The Jaccard similarity of the two sets, from 0 to 1.
    pub fn similarity(&self, other: &Self) -> f64 {
        let (mut a, mut b) = (self.hashes.iter().peekable(), other.hashes.iter().peekable());
        let mut shared = 0;
        while let (Some(left), Some(right)) = (a.peek(), b.peek()) {
            match left.cmp(right) {
                std::cmp::Ordering::Less => drop(a.next()),
                std::cmp::Ordering::Greater => drop(b.next()),
                std::cmp::Ordering::Equal => {
                    shared += 1;
                    a.next();
                    b.next();
                }
            }
        }
        let all = self.hashes.len() + other.hashes.len() - shared;
        if all == 0 { 1.0 } else { shared as f64 / all as f64 }
    }

    fn is_near(&self, other: &Self) -> bool {
        // The similarity is at most the ratio of the sizes.
        let (a, b) = (self.hashes.len() as f64, other.hashes.len() as f64);
        a.min(b) >= THRESHOLD * a.max(b) && self.similarity(other) >= THRESHOLD
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

/// Texts of which no two are nearly equal.
#[derive(Default)]
pub(crate) struct KeptTexts {
    texts: Vec<Shingles>,
    /// For each band, the last text with a key.
    last: Vec<HashMap<u32, u32>>,
    /// For each text and band, the text before with the same key.
    before: Vec<[u32; BANDS]>,
}

/// No text.
const NONE: u32 = u32::MAX;

impl KeptTexts {
    /// Keeps a text unless it is nearly equal to one that is kept; whether it was kept.
    pub(crate) fn keep(&mut self, text: Shingles) -> bool {
        self.last.resize_with(BANDS, HashMap::new);
        for (band, key) in text.bands.iter().enumerate() {
            let mut candidate = self.last[band].get(key).copied().unwrap_or(NONE);
            while candidate != NONE {
                if text.is_near(&self.texts[candidate as usize]) {
                    return false;
                }
                candidate = self.before[candidate as usize][band];
            }
        }
        let number = self.texts.len() as u32;
        let mut before = [NONE; BANDS];
        for (band, key) in text.bands.iter().enumerate() {
            before[band] = self.last[band].insert(*key, number).unwrap_or(NONE);
        }
        self.before.push(before);
        self.texts.push(text);
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
    fn similarity_is_that_of_sets_of_five_words() {
        for common in [1004, 804, 504, 104, 4] {
            let (a, b) = (words(0, 1004), words(1004 - common, 1004));
            // Of 1000 shingles each, common − 4 are shared.
            let shared = (common - 4) as f64;
            assert_eq!(Shingles::of(&a).similarity(&Shingles::of(&b)), shared / (2000.0 - shared));
        }
        assert_eq!(Shingles::of("One, two").similarity(&Shingles::of("one TWO!")), 1.0);
        assert_eq!(Shingles::of("one two three").similarity(&Shingles::of("one two")), 0.0);
    }

    #[test]
    fn similar_texts_share_a_band() {
        let shares = |a: &Shingles, b: &Shingles| a.bands.iter().zip(&b.bands).any(|(a, b)| a == b);
        let mut far = 0;
        for number in 0..300 {
            let text = Shingles::of(&words(1000 * number, 104));
            // 100 shingles each, 90 and 20 of them shared: similarities of .82 and .11.
            assert!(shares(&text, &Shingles::of(&words(1000 * number + 10, 104))));
            far += usize::from(shares(&text, &Shingles::of(&words(1000 * number + 80, 104))));
        }
        assert!(far < 10, "{far} of 300");
    }

    #[test]
    fn of_nearly_equal_texts_one_is_kept() {
        let mut kept = KeptTexts::default();
        let text = words(0, 400);
        assert!(kept.keep(Shingles::of(&text)));
        assert!(!kept.keep(Shingles::of(&text)));
        assert!(!kept.keep(Shingles::of(&format!("{text} and one more"))));
        assert!(!kept.keep(Shingles::of(&text.replace("w200", "changed"))));
        assert!(kept.keep(Shingles::of(&words(200, 400))));
        assert!(kept.keep(Shingles::of("short")));
        assert!(kept.keep(Shingles::of("shorter")));
    }
}
