//! How near written captions come to reference captions, by the metrics of the captioning literature.
//!
//! - BLEU-1 to BLEU-4 over the corpus (Papineni et al. 2002), the closest reference length, as coco-caption
//! - ROUGE-L, the mean over captions, β = 1.2 (Lin 2004), as coco-caption
//! - CIDEr-D (Vedantam et al., 1411.5726), document frequencies of the references, σ = 6, times 10, as coco-caption
//!
//! Captions are split by [`words`], which stands for the tokeniser of the Penn treebank that the official tools call: lower
//! case, punctuation left out. Numbers of other tokenisers differ a little.

use std::collections::{HashMap, HashSet};

use serde::Serialize;

use crate::error::EvaluationError;

/// Longest n-gram.
const LONGEST: usize = 4;
/// Weight of recall in ROUGE-L.
const BETA: f64 = 1.2;
/// Width of CIDEr-D's penalty for other lengths.
const SIGMA: f64 = 6.0;

/// All metrics of a corpus.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct CaptionMetrics {
    /// BLEU-1 to BLEU-4, from 0 to 1.
    pub bleu: [f64; LONGEST],
    /// From 0 to 1.
    pub rouge_l: f64,
    /// From 0 to 10.
    pub cider_d: f64,
    /// Captions.
    pub captions: usize,
}

type Counts<'a> = HashMap<&'a [String], f64>;

/// Compares every written caption with its references.
///
/// # Errors
/// When the two lists differ in length, are empty, or a caption has no reference.
pub fn caption_metrics(written: &[String], references: &[Vec<String>]) -> Result<CaptionMetrics, EvaluationError> {
    if written.len() != references.len() {
        return Err(EvaluationError::mismatch("captions and references", references.len(), written.len()));
    }
    let least = references.iter().map(Vec::len).min().unwrap_or(0);
    if least == 0 {
        return Err(EvaluationError::TooFew { what: "references of a caption", least: 1, found: 0 });
    }
    let written: Vec<Vec<String>> = written.iter().map(|caption| words(caption)).collect();
    let references: Vec<Vec<Vec<String>>> =
        references.iter().map(|all| all.iter().map(|caption| words(caption)).collect()).collect();
    let rouge: f64 = written.iter().zip(&references).map(|(w, r)| rouge_l(w, r)).sum();
    Ok(CaptionMetrics {
        bleu: bleu(&written, &references),
        rouge_l: rouge / written.len() as f64,
        cider_d: cider_d(&written, &references),
        captions: written.len(),
    })
}

/// Words in lower case; what is neither letter, digit nor apostrophe parts them.
///
/// This rule is our own: published numbers are of the Penn Treebank's tokeniser, a Java program, which differs where a caption
/// has hyphens, abbreviations or an apostrophe (`owl's` is two words there).
pub fn words(caption: &str) -> Vec<String> {
    let parted = caption.split(|c: char| !(c.is_alphanumeric() || c == '\''));
    parted.filter(|word| !word.is_empty()).map(str::to_lowercase).collect()
}

fn n_grams(words: &[String], n: usize) -> Counts<'_> {
    let mut counts = Counts::new();
    for gram in words.windows(n) {
        *counts.entry(gram).or_default() += 1.0;
    }
    counts
}

fn bleu(written: &[Vec<String>], references: &[Vec<Vec<String>>]) -> [f64; LONGEST] {
    let (mut right, mut guessed) = ([0.0; LONGEST], [0.0; LONGEST]);
    let (mut length, mut reference_length) = (0, 0);
    for (written, references) in written.iter().zip(references) {
        length += written.len();
        let distance = |reference: &&Vec<String>| (reference.len().abs_diff(written.len()), reference.len());
        reference_length += references.iter().min_by_key(distance).map_or(0, Vec::len);
        for n in 1..=LONGEST {
            let mut most = Counts::new();
            for reference in references {
                for (gram, count) in n_grams(reference, n) {
                    let entry = most.entry(gram).or_default();
                    *entry = entry.max(count);
                }
            }
            guessed[n - 1] += written.len().saturating_sub(n - 1) as f64;
            let hits =
                n_grams(written, n).into_iter().map(|(gram, count)| count.min(most.get(gram).copied().unwrap_or(0.0)));
            right[n - 1] += hits.sum::<f64>();
        }
    }
    // coco-caption's guards against 0 / 0.
    let (small, tiny) = (1e-9, 1e-15);
    let ratio = (length as f64 + tiny) / (reference_length as f64 + small);
    let brevity = if ratio < 1.0 { (1.0 - 1.0 / ratio).exp() } else { 1.0 };
    let mut product = 1.0;
    std::array::from_fn(|index| {
        product *= (right[index] + tiny) / (guessed[index] + small);
        f64::powf(product, 1.0 / (index + 1) as f64) * brevity
    })
}

fn rouge_l(written: &[String], references: &[Vec<String>]) -> f64 {
    let (mut precision, mut recall) = (0.0f64, 0.0f64);
    for reference in references {
        let common = longest_common_subsequence(written, reference) as f64;
        precision = precision.max(common / written.len().max(1) as f64);
        recall = recall.max(common / reference.len().max(1) as f64);
    }
    if precision == 0.0 || recall == 0.0 {
        return 0.0;
    }
    (1.0 + BETA * BETA) * precision * recall / (recall + BETA * BETA * precision)
}

fn longest_common_subsequence(a: &[String], b: &[String]) -> usize {
    let mut row = vec![0; b.len() + 1];
    for x in a {
        let mut diagonal = 0;
        for (column, y) in b.iter().enumerate() {
            let above = row[column + 1];
            row[column + 1] = if x == y { diagonal + 1 } else { above.max(row[column]) };
            diagonal = above;
        }
    }
    row[b.len()]
}

fn cider_d(written: &[Vec<String>], references: &[Vec<Vec<String>>]) -> f64 {
    let mut documents: HashMap<&[String], f64> = HashMap::new();
    for references in references {
        let grams: HashSet<&[String]> =
            references.iter().flat_map(|words| (1..=LONGEST).flat_map(|n| words.windows(n))).collect();
        for gram in grams {
            *documents.entry(gram).or_default() += 1.0;
        }
    }
    let log_count = (references.len() as f64).ln();
    let vector = |words: &'_ [String], n: usize| -> HashMap<Vec<String>, f64> {
        let grams = n_grams(words, n).into_iter();
        let weight = |gram: &[String]| log_count - documents.get(gram).copied().unwrap_or(0.0).max(1.0).ln();
        grams.map(|(gram, count)| (gram.to_vec(), count * weight(gram))).collect()
    };
    let length = |vector: &HashMap<Vec<String>, f64>| vector.values().map(|x| x * x).sum::<f64>().sqrt();
    let mut total = 0.0;
    for (written, references) in written.iter().zip(references) {
        let mut score = 0.0;
        for reference in references {
            // coco-caption measures length by the number of pairs of words.
            let pairs = |words: &[String]| words.len().saturating_sub(1) as f64;
            let penalty = (-(pairs(written) - pairs(reference)).powi(2) / (2.0 * SIGMA * SIGMA)).exp();
            for n in 1..=LONGEST {
                let (w, r) = (vector(written, n), vector(reference, n));
                let dot: f64 = w.iter().filter_map(|(gram, x)| r.get(gram).map(|y| x.min(*y) * y)).sum();
                let lengths = length(&w) * length(&r);
                score += penalty * if lengths > 0.0 { dot / lengths } else { dot };
            }
        }
        total += score / LONGEST as f64 / references.len() as f64;
    }
    10.0 * total / written.len().max(1) as f64
}

#[cfg(test)]
mod tests {
    use serde::Deserialize;

    use super::*;

    #[derive(Deserialize)]
    struct Fixture {
        written: Vec<String>,
        references: Vec<Vec<String>>,
        bleu: [f64; 4],
        rouge_l: f64,
        cider_d: f64,
    }

    #[test]
    fn the_numbers_are_those_of_coco_caption() {
        let fixture: Fixture = serde_json::from_str(include_str!("caption_metrics_fixture/expected.json")).unwrap();
        let found = caption_metrics(&fixture.written, &fixture.references).unwrap();
        for (found, expected) in found.bleu.iter().zip(fixture.bleu) {
            assert!((found - expected).abs() < 1e-6, "{found} {expected}");
        }
        assert!((found.rouge_l - fixture.rouge_l).abs() < 1e-6, "{} {}", found.rouge_l, fixture.rouge_l);
        assert!((found.cider_d - fixture.cider_d).abs() < 1e-6, "{} {}", found.cider_d, fixture.cider_d);
    }

    #[test]
    fn the_very_references_score_best_and_others_nothing() {
        let captions: Vec<String> = ["a red apple", "two small circles", "an owl"].map(String::from).to_vec();
        let references: Vec<Vec<String>> = captions.iter().map(|caption| vec![caption.clone()]).collect();
        let same = caption_metrics(&captions, &references).unwrap();
        assert!((same.bleu[0] - 1.0).abs() < 1e-6 && (same.rouge_l - 1.0).abs() < 1e-9);
        let other = vec!["nothing alike here".to_string(); 3];
        let other = caption_metrics(&other, &references).unwrap();
        assert!(other.bleu[3] < 1e-3 && other.rouge_l == 0.0 && other.cider_d == 0.0);
        assert!(same.cider_d > 1.0);
        assert!(caption_metrics(&captions[..2], &references).is_err());
        assert!(caption_metrics(&[String::new()], &[vec![]]).is_err());
    }

    #[test]
    fn words_are_lower_case_without_punctuation() {
        assert_eq!(
            words("Two SMALL circles, top-left; the owl's."),
            ["two", "small", "circles", "top", "left", "the", "owl's"]
        );
    }
}
