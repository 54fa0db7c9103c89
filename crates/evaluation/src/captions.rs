//! How right written captions are.

use serde::{Deserialize, Serialize};

use crate::{EvaluationError, proportion::Proportion};

/// Written captions against the right ones.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Captions {
    /// Captions that are the right one, letter by letter but for spaces at either end.
    pub exact: Proportion,
    /// The mean of [`similarity`], from 0 to 1.
    pub similarity: f64,
}

/// Compares each written caption with its reference, in order.
///
/// # Errors
/// The two lists differ in length, or are empty.
pub fn compare<W: AsRef<str>, R: AsRef<str>>(written: &[W], references: &[R]) -> Result<Captions, EvaluationError> {
    if written.len() != references.len() {
        return Err(EvaluationError::mismatch("captions and references", references.len(), written.len()));
    }
    if written.is_empty() {
        return Err(EvaluationError::TooFew { what: "captions", least: 1, found: 0 });
    }
    let pairs = || written.iter().map(AsRef::as_ref).zip(references.iter().map(AsRef::as_ref));
    let exact = Proportion::of(pairs().map(|(written, reference): (&str, &str)| written.trim() == reference.trim()));
    let similarity =
        pairs().map(|(written, reference)| similarity(written, reference)).sum::<f64>() / written.len() as f64;
    Ok(Captions { exact, similarity })
}

/// How alike two captions are as rows of words, from 0 (no word in place) to 1 (the same words).
///
/// It is 1 − d / n, with d the least number of words to insert, delete or replace, and n the words of the longer caption.
pub fn similarity(written: &str, reference: &str) -> f64 {
    let [written, reference] = [written, reference].map(|text| text.split_whitespace().collect::<Vec<_>>());
    let longer = written.len().max(reference.len());
    if longer == 0 {
        return 1.0;
    }
    (longer - edit_distance(&written, &reference)) as f64 / longer as f64
}

/// Levenshtein's distance, one row of his table at a time.
fn edit_distance<T: PartialEq>(from: &[T], to: &[T]) -> usize {
    let mut row: Vec<usize> = (0..=to.len()).collect();
    for (deleted, a) in from.iter().enumerate() {
        let mut diagonal = row[0];
        row[0] = deleted + 1;
        for (index, b) in to.iter().enumerate() {
            let replaced = diagonal + usize::from(a != b);
            diagonal = row[index + 1];
            row[index + 1] = replaced.min(row[index] + 1).min(diagonal + 1);
        }
    }
    row[to.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn edit_distance_counts_single_changes() {
        let distance = |a: &str, b: &str| edit_distance(a.as_bytes(), b.as_bytes());
        assert_eq!(distance("kitten", "sitting"), 3);
        assert_eq!(distance("", "abc"), 3);
        assert_eq!(distance("abc", ""), 3);
        assert_eq!(distance("abc", "abc"), 0);
    }

    #[test]
    fn captions_are_compared_word_by_word() {
        assert_eq!(similarity("a red circle", " a red  circle\n"), 1.0);
        assert_eq!(similarity("a red circle", "a blue circle"), 2.0 / 3.0);
        assert_eq!(similarity("circle", "a red circle"), 1.0 / 3.0);
        assert_eq!(similarity("", "a red circle"), 0.0);
        assert_eq!(similarity("", " "), 1.0);
    }

    #[test]
    fn exact_means_every_letter() {
        let found = compare(&[" a cat ", "a  dog"], &["a cat", "a dog"]).unwrap();
        assert_eq!((found.exact.hits, found.exact.total, found.similarity), (1, 2, 1.0));
    }

    #[test]
    fn lists_that_do_not_fit_are_refused() {
        assert!(matches!(compare(&["a"], &["a", "b"]), Err(EvaluationError::Mismatch { .. })));
        assert!(matches!(compare::<&str, &str>(&[], &[]), Err(EvaluationError::TooFew { .. })));
    }
}
