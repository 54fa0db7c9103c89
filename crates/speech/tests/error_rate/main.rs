//! Error rates against jiwer's.

// A panic is how a test reports.
#![allow(clippy::unwrap_used)]

use interfuse_speech::error_rate::{ErrorCounts, character_errors, word_errors};
use serde::Deserialize;

#[derive(Deserialize)]
struct Case {
    references: Vec<String>,
    hypotheses: Vec<String>,
    words: Counts,
    wer: f64,
    characters: Counts,
    cer: f64,
}

#[derive(Deserialize)]
struct Counts {
    hits: usize,
    substitutions: usize,
    deletions: usize,
    insertions: usize,
}

#[test]
fn counts_are_those_of_jiwer() {
    let cases: Vec<Case> = serde_json::from_str(include_str!("jiwer.json")).unwrap();
    assert_eq!(cases.len(), 60);
    for Case { references, hypotheses, words, wer, characters, cer } in cases {
        let found =
            [word_errors(&references, &hypotheses).unwrap(), character_errors(&references, &hypotheses).unwrap()];
        for ((found, counts), rate) in found.into_iter().zip([words, characters]).zip([wer, cer]) {
            let Counts { hits, substitutions, deletions, insertions } = counts;
            assert_eq!(
                found,
                ErrorCounts { hits, substitutions, deletions, insertions },
                "{references:?} {hypotheses:?}"
            );
            assert!((found.rate() - rate).abs() < 1e-12);
        }
    }
}
