//! How far texts or units are from what they should be: word, character and unit error rates.
//!
//! ```text
//! rate = (S + D + I) / (H + S + D)
//! ```
//!
//! Symbols: `S` substitutions, `D` deletions and `I` insertions of a shortest way from the reference to the hypothesis
//! (Levenshtein 1966), `H` hits; `H + S + D` is the length of the reference. Over a corpus the counts are added before they
//! are divided. Where several ways are shortest, the counts are those of jiwer.

use std::iter::Sum;
use std::ops::{Add, AddAssign};

use serde::Serialize;

use crate::error::SpeechError;

/// What a shortest way from a reference to a hypothesis is made of.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct ErrorCounts {
    /// `H`: what is the same in both.
    pub hits: usize,
    /// `S`
    pub substitutions: usize,
    /// `D`: what the hypothesis lacks.
    pub deletions: usize,
    /// `I`: what the hypothesis has beyond the reference.
    pub insertions: usize,
}

impl ErrorCounts {
    /// `S + D + I`
    pub fn errors(&self) -> usize {
        self.substitutions + self.deletions + self.insertions
    }

    /// `H + S + D`
    pub fn reference(&self) -> usize {
        self.hits + self.substitutions + self.deletions
    }

    /// Errors over the length of the reference: 0 where there are none, infinite where there are some and the reference is
    /// empty; more than 1 where the hypothesis is long.
    pub fn rate(&self) -> f64 {
        if self.errors() == 0 { 0.0 } else { self.errors() as f64 / self.reference() as f64 }
    }
}

impl Add for ErrorCounts {
    type Output = Self;

    fn add(self, other: Self) -> Self {
        Self {
            hits: self.hits + other.hits,
            substitutions: self.substitutions + other.substitutions,
            deletions: self.deletions + other.deletions,
            insertions: self.insertions + other.insertions,
        }
    }
}

impl AddAssign for ErrorCounts {
    fn add_assign(&mut self, other: Self) {
        *self = *self + other;
    }
}

impl Sum for ErrorCounts {
    fn sum<I: Iterator<Item = Self>>(counts: I) -> Self {
        counts.fold(Self::default(), Add::add)
    }
}

/// Of a corpus, word by word; words are what white space parts.
///
/// # Errors
/// When there are not as many hypotheses as references.
pub fn word_errors<S: AsRef<str>>(references: &[S], hypotheses: &[S]) -> Result<ErrorCounts, SpeechError> {
    corpus(references, hypotheses, |text| text.split_whitespace().collect())
}

/// Of a corpus, character by character; white space counts, but not at the ends.
///
/// # Errors
/// When there are not as many hypotheses as references.
pub fn character_errors<S: AsRef<str>>(references: &[S], hypotheses: &[S]) -> Result<ErrorCounts, SpeechError> {
    corpus(references, hypotheses, |text| text.trim().chars().collect())
}

fn corpus<'a, S: AsRef<str>, T: PartialEq>(
    references: &'a [S],
    hypotheses: &'a [S],
    parts: impl Fn(&'a str) -> Vec<T>,
) -> Result<ErrorCounts, SpeechError> {
    if references.len() != hypotheses.len() {
        let expected = format!("{} hypotheses, one for each reference", references.len());
        return Err(SpeechError::malformed("error rate", expected, hypotheses.len()));
    }
    let pairs = references.iter().zip(hypotheses);
    Ok(pairs.map(|(reference, hypothesis)| errors(&parts(reference.as_ref()), &parts(hypothesis.as_ref()))).sum())
}

/// A shortest way to a cell of the table.
#[derive(Clone, Copy, Default)]
struct Way {
    length: usize,
    counts: ErrorCounts,
}

impl Way {
    fn then(self, count: impl FnOnce(&mut ErrorCounts)) -> Self {
        let Self { length, mut counts } = self;
        count(&mut counts);
        Self { length: length + 1, counts }
    }
}

/// Of two sequences, such as units.
pub fn errors<T: PartialEq>(reference: &[T], hypothesis: &[T]) -> ErrorCounts {
    // What both begin and end with is on a shortest way, and jiwer leaves it out of the table as well.
    let prefix = reference.iter().zip(hypothesis).take_while(|(a, b)| a == b).count();
    let (reference, hypothesis) = (&reference[prefix..], &hypothesis[prefix..]);
    let suffix = reference.iter().rev().zip(hypothesis.iter().rev()).take_while(|(a, b)| a == b).count();
    let reference = &reference[..reference.len() - suffix];
    let hypothesis = &hypothesis[..hypothesis.len() - suffix];
    // One row of the table for each item of the reference, of which two are held.
    let mut before: Vec<Way> = vec![Way::default()];
    for j in 0..hypothesis.len() {
        before.push(before[j].then(|counts| counts.insertions += 1));
    }
    for item in reference {
        let mut row = vec![before[0].then(|counts| counts.deletions += 1)];
        for (j, heard) in hypothesis.iter().enumerate() {
            row.push(next(before[j], before[j + 1], row[j], item == heard));
        }
        before = row;
    }
    let counts = before.last().map(|way| way.counts).unwrap_or_default();
    ErrorCounts { hits: counts.hits + prefix + suffix, ..counts }
}

/// A cell of the table after its three neighbors. Among shortest ways a deletion comes first, then an insertion.
fn next(diagonal: Way, above: Way, left: Way, same: bool) -> Way {
    let length = (diagonal.length + usize::from(!same)).min(above.length + 1).min(left.length + 1);
    if length == above.length + 1 {
        above.then(|counts| counts.deletions += 1)
    } else if left.length + 1 == diagonal.length {
        left.then(|counts| counts.insertions += 1)
    } else if same {
        let Way { length, mut counts } = diagonal;
        counts.hits += 1;
        Way { length, counts }
    } else {
        diagonal.then(|counts| counts.substitutions += 1)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn the_rate_of_a_corpus_is_over_all_its_words() {
        let counts = word_errors(&["a b c d", "e"], &["a x c", "e f"]).unwrap();
        assert_eq!(counts, ErrorCounts { hits: 3, substitutions: 1, deletions: 1, insertions: 1 });
        assert_eq!((counts.rate(), counts.reference()), (0.6, 5));
        assert!(word_errors(&["a"], &[]).unwrap_err().to_string().contains("found 0"));
    }

    #[test]
    fn nothing_said_of_nothing_is_no_error() {
        assert_eq!(word_errors(&[" "], &[""]).unwrap().rate(), 0.0);
        assert_eq!(word_errors(&[""], &["a"]).unwrap().rate(), f64::INFINITY);
        assert_eq!(errors(&[1, 2, 3], &[]).rate(), 1.0);
        assert_eq!(errors(&[1], &[1, 2, 3]).rate(), 2.0);
        assert_eq!(character_errors(&["  café "], &["cafe"]).unwrap().rate(), 0.25);
    }

    proptest! {
        #[test]
        fn counts_add_up(a in prop::collection::vec(0u8..4, 0..12), b in prop::collection::vec(0u8..4, 0..12)) {
            let there = errors(&a, &b);
            prop_assert_eq!(there.reference(), a.len());
            prop_assert_eq!(there.hits + there.substitutions + there.insertions, b.len());
            prop_assert_eq!(there.errors(), errors(&b, &a).errors());
            prop_assert_eq!(there.errors() == 0, a == b);
        }
    }
}
