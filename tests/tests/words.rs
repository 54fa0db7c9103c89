//! The words of the project are the field's. Words that were given up stay away, from code, configurations, messages and pages.

// A panic is how a test reports.
#![allow(clippy::unwrap_used)]

use std::path::{Path, PathBuf};

/// Words that were given up, and what is said instead. A name is split at its underscores and capital letters.
const RETIRED: [(&str, &str); 17] = [
    ("picture", "image"),
    ("pictures", "images"),
    ("trunk", "backbone"),
    ("optimiser", "optimizer"),
    ("optimisers", "optimizers"),
    ("quantiser", "quantizer"),
    ("normaliser", "normalizer"),
    ("definitions", "reference implementations"),
    ("spoilt", "non-finite"),
    ("anew", "again; resampled"),
    ("aside", "temporary file"),
    ("complaint", "warning"),
    ("complaints", "warnings"),
    ("wavers", "is uncertain"),
    ("spare", "unexpected"),
    ("gated", "swiglu"),
    ("redrawn", "resampled"),
];

/// The same of words in a row.
const RETIRED_PHRASES: [(&str, &str); 8] = [
    ("scored token", "token with a target"),
    ("blind row", "fully masked row"),
    ("drawn from their names", "generated from their names"),
    ("no number:", "non-finite:"),
    ("model.experts", "model.partition"),
    ("train.sequences=", "train.batch_size"),
    ("train.accumulation=", "train.gradient_accumulation"),
    ("[every]", "[intervals]"),
];

/// Pages that tell of the past or of others, old names and their new ones, captions of data sets, and this file.
const EXEMPT: [&str; 7] = [
    "LOG.md",
    "CHANGELOG.md",
    "docs/glossary.md",
    "tests/tests/words.rs",
    "crates/run/src/configuration/renamed.rs",
    "crates/data/src/sources/fashion_mnist.rs",
    "crates/data/src/fashion_mnist.rs",
];

#[test]
fn retired_words_stay_away() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
    let mut found = vec![];
    for path in files(root) {
        let name = path.strip_prefix(root).unwrap().display().to_string();
        if EXEMPT.contains(&name.as_str()) {
            continue;
        }
        let text = std::fs::read_to_string(&path).unwrap();
        for (index, line) in text.lines().enumerate() {
            let words = words(line);
            let retired = RETIRED.iter().filter(|(word, _)| words.iter().any(|found| found == word));
            let phrases = RETIRED_PHRASES.iter().filter(|(phrase, _)| line.contains(phrase));
            found.extend(retired.chain(phrases).map(|(old, new)| format!("{name}:{}: `{old}`: say {new}", index + 1)));
        }
    }
    assert!(found.is_empty(), "{} places:\n{}", found.len(), found.join("\n"));
}

/// The words of a line in lower case, names taken apart: `PictureSet` and `picture_set` are `picture` and `set`.
fn words(line: &str) -> Vec<String> {
    let mut words = vec![String::new()];
    let mut before = ' ';
    for letter in line.chars() {
        if !letter.is_alphabetic() || (letter.is_uppercase() && before.is_lowercase()) {
            words.push(String::new());
        }
        if letter.is_alphabetic() {
            words.last_mut().unwrap().extend(letter.to_lowercase());
        }
        before = letter;
    }
    words
}

/// Sources, configurations, scripts and pages.
fn files(root: &Path) -> Vec<PathBuf> {
    let mut found = vec![];
    let mut folders = vec![root.to_path_buf()];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()) {
            let name = entry.file_name().unwrap().to_string_lossy().into_owned();
            let recorded = name.starts_with("20") || ["target", ".git", "runs"].contains(&name.as_str());
            if entry.is_dir() && !recorded && !name.starts_with("target") {
                folders.push(entry);
            } else if ["rs", "toml", "md", "sh", "html"].iter().any(|kind| name.ends_with(&format!(".{kind}"))) {
                found.push(entry);
            }
        }
    }
    found
}

#[test]
fn names_are_taken_apart() {
    assert_eq!(words("PictureSet::of_pictures(3)").join(" ").trim(), "picture set  of pictures   ".trim());
}
