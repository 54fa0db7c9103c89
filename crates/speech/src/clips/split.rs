//! Which texts training does not hear.

use sha2::{Digest, Sha256};

/// A text by which clips that say the same are known: its words in lower case, without punctuation. A text of punctuation
/// alone stays as it is.
pub fn normalized(text: &str) -> String {
    let words: Vec<String> = text
        .split_whitespace()
        .map(|word| word.chars().filter(|letter| letter.is_alphanumeric()).flat_map(char::to_lowercase).collect())
        .filter(|word: &String| !word.is_empty())
        .collect();
    if words.is_empty() { text.trim().to_string() } else { words.join(" ") }
}

/// Marks the texts that are held out: those whose place is below `fraction`.
///
/// Where there are two different texts and the fraction is above 0, at least one is held out and at least one is not.
pub(super) fn held_out<'a>(texts: impl Iterator<Item = &'a str>, fraction: f64) -> Vec<bool> {
    let places: Vec<f64> = texts.map(place).collect();
    let smallest = places.iter().copied().fold(f64::INFINITY, f64::min);
    let largest = places.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    if fraction <= 0.0 || smallest >= largest {
        return vec![false; places.len()];
    }
    places.iter().map(|&place| place == smallest || (place < fraction && place < largest)).collect()
}

/// The place of a text in [0, 1): uniform over texts and fixed for each, by the first eight bytes of its SHA-256.
fn place(text: &str) -> f64 {
    let hash = Sha256::digest(normalized(text).as_bytes());
    let number = hash.iter().take(8).fold(0u64, |number, &byte| number << 8 | u64::from(byte));
    // The upper 53 bits are what an f64 holds exactly.
    (number >> 11) as f64 / (1_u64 << 53) as f64
}

#[cfg(test)]
mod tests {
    use super::*;

    fn marks(texts: &[&str], fraction: f64) -> Vec<bool> {
        held_out(texts.iter().copied(), fraction)
    }

    #[test]
    fn case_and_punctuation_make_no_other_text() {
        assert_eq!(normalized("  Hey,\tOVER here!! "), "hey over here");
        assert_eq!(normalized("Красное яблоко."), "красное яблоко");
        assert_eq!(normalized("don't - stop"), "dont stop");
        assert_eq!(normalized(" ?! "), "?!");
    }

    #[test]
    fn the_choice_hangs_on_the_text_alone() {
        let texts: Vec<String> = (0..4000).map(|number| format!("line {number}")).collect();
        let texts: Vec<&str> = texts.iter().map(String::as_str).collect();
        let all = marks(&texts, 0.1);
        let count = all.iter().filter(|&&held| held).count();
        assert!((340..=460).contains(&count), "{count} of 4000");
        assert_eq!(marks(&texts[..1000], 0.1), all[..1000]);
        assert_eq!(marks(&["Line 7!", "line 7", "other", "more"], 0.5)[..2], [all_of("line 7"); 2]);
        // The very values are part of the promise: a change would leak held-out texts into resumed runs.
        assert_eq!((place("Hello, world!") * 1e6) as u64, PLACE_OF_HELLO_WORLD);
    }

    /// The first bytes of the SHA-256 of "hello world", b94d27b9934d3e08, over 2^64.
    const PLACE_OF_HELLO_WORLD: u64 = 723_833;

    fn all_of(text: &str) -> bool {
        place(text) < 0.5
    }

    #[test]
    fn both_sides_are_filled_where_they_can_be() {
        for fraction in [1e-9, 0.5, 1.0 - 1e-9] {
            assert_eq!(marks(&["a", "b"], fraction).iter().filter(|&&held| held).count(), 1);
        }
        assert_eq!(marks(&["a", "A"], 0.5), [false; 2]);
        assert_eq!(marks(&["a", "b", "c"], 0.0), [false; 3]);
        assert!(marks(&[], 0.5).is_empty());
    }
}
