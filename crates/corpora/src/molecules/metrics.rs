//! What share of generated molecules is valid, different from one another, and new.
//!
//! The three of MOSES (Polykovskiy and others 2018, section 4): validity of all; unique@k among the first k valid ones;
//! novelty of the different valid ones. MOSES compares molecules in RDKit's canonical spelling. Here strings are
//! compared, so one molecule spelled in two ways counts twice: uniqueness and novelty are upper bounds of theirs, and
//! equal where a generator that has learned canonical SMILES writes such.

use std::collections::HashSet;

use serde::{Deserialize, Serialize};

use super::check_smiles;

/// Fractions from 0 to 1; of nothing there is none.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct MoleculeMetrics {
    /// Generated strings.
    pub generated: usize,
    /// Those of them that stand for a molecule.
    pub valid: usize,
    /// `valid / generated`.
    pub validity: Option<f64>,
    /// The k of unique@k.
    pub k: usize,
    /// Different strings among the first k valid ones, as a fraction of these; fewer than k where there are fewer.
    pub unique_at_k: Option<f64>,
    /// Different valid strings that training has not, as a fraction of the different valid strings.
    pub novelty: Option<f64>,
}

/// Measures generated SMILES; `in_training` says whether training had a string, as
/// [`KnownTexts::contains`](crate::KnownTexts::contains) does.
pub fn molecule_metrics(generated: &[String], k: usize, in_training: impl Fn(&str) -> bool) -> MoleculeMetrics {
    let valid: Vec<&str> =
        generated.iter().map(|smiles| smiles.trim()).filter(|smiles| check_smiles(smiles).is_ok()).collect();
    let fraction = |part: usize, of: usize| (of > 0).then(|| part as f64 / of as f64);
    let first = &valid[..k.min(valid.len())];
    let different: HashSet<&str> = valid.iter().copied().collect();
    let new = different.iter().filter(|smiles| !in_training(smiles)).count();
    MoleculeMetrics {
        generated: generated.len(),
        valid: valid.len(),
        validity: fraction(valid.len(), generated.len()),
        k,
        unique_at_k: fraction(first.iter().collect::<HashSet<_>>().len(), first.len()),
        novelty: fraction(new, different.len()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fractions_are_of_what_they_say() {
        let generated = ["CCO", "CCO", "CCN", "C(", "CCC", " CCC\n"].map(String::from);
        let metrics = molecule_metrics(&generated, 3, |smiles| smiles == "CCO");
        assert_eq!((metrics.generated, metrics.valid), (6, 5));
        assert_eq!(metrics.validity, Some(5.0 / 6.0));
        assert_eq!(metrics.unique_at_k, Some(2.0 / 3.0));
        assert_eq!(metrics.novelty, Some(2.0 / 3.0));
        let none = molecule_metrics(&[], 10, |_| false);
        assert_eq!((none.validity, none.unique_at_k, none.novelty), (None, None, None));
    }
}
