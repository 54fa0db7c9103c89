//! A text as the hashes of its words, and the place that follows from them.

use sha2::{Digest, Sha256};

/// Hashes of the words of a text in their order: runs of letters, digits and `_` in lower case. A text without any is
/// one word, so that punctuation alone stays a text of its own.
pub(crate) fn word_hashes(text: &str) -> Vec<u64> {
    let of_word = |letter: char| letter.is_alphanumeric() || letter == '_';
    let words = text.split(|letter| !of_word(letter)).filter(|word| !word.is_empty());
    let hashes: Vec<u64> = words.map(word_hash).collect();
    if hashes.is_empty() { vec![word_hash(text.trim())] } else { hashes }
}

/// FNV-1a over the lower-case letters, mixed so that all bits of the hash depend on all letters.
fn word_hash(word: &str) -> u64 {
    let mut hash = 0xcbf2_9ce4_8422_2325_u64;
    let mut take = |byte: u8| hash = (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3);
    if word.is_ascii() {
        word.bytes().for_each(|byte| take(byte.to_ascii_lowercase()));
    } else {
        let mut bytes = [0; 4];
        for letter in word.chars().flat_map(char::to_lowercase) {
            letter.encode_utf8(&mut bytes).bytes().for_each(&mut take);
        }
    }
    mixed(hash)
}

/// The finalizer of SplitMix64.
pub(super) fn mixed(mut hash: u64) -> u64 {
    hash = (hash ^ (hash >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    hash = (hash ^ (hash >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    hash ^ (hash >> 31)
}

/// The place of a text in [0, 1): uniform over texts, and the same on any machine and in any corpus. Case, spaces and
/// punctuation do not move it.
pub fn place(text: &str) -> f64 {
    place_of(&word_hashes(text))
}

/// The place of a text with these words.
pub(crate) fn place_of(words: &[u64]) -> f64 {
    let mut hasher = Sha256::new();
    words.iter().for_each(|word| hasher.update(word.to_le_bytes()));
    let number = hasher.finalize().iter().take(8).fold(0_u64, |number, &byte| number << 8 | u64::from(byte));
    // The upper 53 bits are what an f64 holds exactly.
    (number >> 11) as f64 / (1_u64 << 53) as f64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn case_and_punctuation_do_not_move_a_text() {
        assert_eq!(place("  Hey,\tOVER here!! "), place("hey over here"));
        assert_eq!(place("Красное ЯБЛОКО."), place("красное яблоко"));
        assert_ne!(place("hey over here"), place("hey overhere"));
        assert_ne!(place("?!"), place("!?"));
    }

    #[test]
    fn places_are_part_of_the_promise() {
        // Another value would move held-out texts of finished runs into the training of others.
        assert_eq!((place("Hello, world!") * 1e6) as u64, PLACE_OF_HELLO_WORLD);
    }

    /// By the same steps in Python, with hashlib.
    const PLACE_OF_HELLO_WORLD: u64 = 700_541;

    #[test]
    fn places_are_uniform() {
        let below = (0..4000).filter(|number| place(&format!("line {number}")) < 0.1).count();
        assert!((340..=460).contains(&below), "{below} of 4000");
    }
}
