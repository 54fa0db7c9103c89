//! Whether losses of several runs say anything of each other: one tokenizer, and for each modality or pair the same data.

use std::collections::BTreeMap;
use std::path::Path;

use serde_json::Value;

use super::RunResult;
use crate::error::{Result, SweepError};

/// Tables of a configuration that say what a loss is taken over.
const TABLES: [&str; 4] = ["data", "documents", "codec", "tokenizer"];
/// Keys that say where data lies, not which it is, and so many that a message has room for.
const PLACES: [&str; 2] = ["data.source.path", "codec.cache"];
const NAMED: usize = 4;

/// What the data and tokenizer of a run are, by dotted keys.
pub(super) fn identity(folder: &Path, config: &toml::Table) -> BTreeMap<String, String> {
    let mut keys = BTreeMap::new();
    for name in TABLES {
        if let Some(value) = config.get(name) {
            flatten(name, value, &mut keys);
        }
    }
    let data = std::fs::read(folder.join("data.json")).ok().and_then(|bytes| serde_json::from_slice(&bytes).ok());
    if let Some(Value::Object(data)) = data {
        PLACES.iter().for_each(|place| {
            keys.remove(*place);
        });
        keys.extend(data.into_iter().map(|(key, value)| (format!("data.json: {key}"), value.to_string())));
    }
    keys
}

fn flatten(key: &str, value: &toml::Value, keys: &mut BTreeMap<String, String>) {
    match value {
        toml::Value::Table(table) => {
            table.iter().for_each(|(name, value)| flatten(&format!("{key}.{name}"), value, keys));
        }
        value => {
            keys.insert(key.to_owned(), value.to_string());
        }
    }
}

/// Refuses runs of several tokenizers, and runs of one modality or pair on different data, unless that is `allowed`; then it is
/// noted. Each run comes with its modality or pair.
///
/// # Errors
/// Two runs differ; names both and in what.
pub fn check_alike(runs: &[(String, &RunResult)], allowed: bool) -> Result<Vec<String>> {
    let mut notes = vec![];
    let mut firsts: BTreeMap<&str, &RunResult> = BTreeMap::new();
    let reference = runs.first().map(|(_, run)| *run);
    for (modality, run) in runs {
        let first = *firsts.entry(modality).or_insert(run);
        let of_tokenizers = reference.map(|reference| (reference, tokenizer_differences(reference, run)));
        let of_data = Some((first, differing(first, run, |key| !is_tokenizer(key))));
        for (what, found) in [("different tokenizers", of_tokenizers), ("different data", of_data)] {
            let Some((other, differences)) = found.filter(|(_, differences)| !differences.is_empty()) else { continue };
            let more = differences.len().saturating_sub(NAMED);
            let mut named = differences.into_iter().take(NAMED).collect::<Vec<_>>().join(", ");
            if more > 0 {
                named.push_str(&format!(" and {more} more"));
            }
            let message =
                format!("{} and {} were trained with {what} ({named})", other.folder.display(), run.folder.display());
            if !allowed {
                let remedy = "--different-data takes them all the same";
                return Err(SweepError::Mismatch(format!(
                    "{message}, so that their losses say nothing of each other; {remedy}"
                )));
            }
            notes.push(message);
        }
    }
    Ok(notes)
}

fn is_tokenizer(key: &str) -> bool {
    key.starts_with("tokenizer.")
}

fn tokenizer_differences(a: &RunResult, b: &RunResult) -> Vec<String> {
    match (&a.tokenizer, &b.tokenizer) {
        (Some(x), Some(y)) if x == y => vec![],
        (Some(_), Some(_)) => vec!["tokenizer.json of their checkpoints".to_owned()],
        _ => differing(a, b, is_tokenizer),
    }
}

/// The keys of a kind in which two runs differ.
fn differing(a: &RunResult, b: &RunResult, of_kind: impl Fn(&str) -> bool) -> Vec<String> {
    let keys = a.identity.keys().chain(b.identity.keys().filter(|key| !a.identity.contains_key(*key)));
    let differs = |key: &&String| of_kind(key) && a.identity.get(*key) != b.identity.get(*key);
    keys.filter(differs).cloned().collect()
}
