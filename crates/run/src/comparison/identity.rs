//! Whether runs can be compared at all: the same data, the same tokenizer, and, within a group, the same configuration.

use serde_json::Value;

use super::curves::{Identity, RunCurves};
use crate::error::{Result, refuse, require};

/// Tables of a configuration that say what a loss is taken over.
const DATA: [&str; 3] = ["data", "documents", "codec"];

/// Keys that say where data lies, not which it is.
const PLACES: [&str; 2] = ["data.source.path", "codec.cache"];

/// Refuses runs on other data or with other tokenizers than the first, unless that is `allowed`; then it is noted.
pub(super) fn check_data(runs: &[RunCurves], allowed: bool) -> Result<Vec<String>> {
    let mut notes = vec![];
    let known = || runs.iter().filter_map(|run| Some((run, run.identity.as_ref()?)));
    if known().count() < runs.len() {
        notes
            .push("Whether tables of other trainers are of the same data and tokenizer cannot be checked.".to_string());
    }
    let Some((first, reference)) = known().next() else { return Ok(notes) };
    for (run, identity) in known().skip(1) {
        let [a, b] = [&first.path, &run.path].map(|path| path.display());
        for (what, differences) in [
            ("different data", data_differences(reference, identity)),
            ("different tokenizers", tokenizer_differences(reference, identity)),
        ] {
            if differences.is_empty() {
                continue;
            }
            let found = format!("{a} and {b} were trained with {what} ({})", differences.join(", "));
            require!(
                allowed,
                "{found}, so that their losses say nothing of each other; --different-data compares them all the same"
            );
            notes.push(format!("{found}."));
        }
    }
    Ok(notes)
}

fn data_differences(a: &Identity, b: &Identity) -> Vec<String> {
    let mut differences = vec![];
    for table in DATA {
        let [a, b] = [a, b].map(|identity| identity.config.get(table));
        differing(table, a, b, &mut differences);
    }
    let (Some(Value::Object(x)), Some(Value::Object(y))) = (&a.data, &b.data) else { return differences };
    // The same data may lie in another place.
    differences.retain(|key| !PLACES.contains(&key.as_str()));
    differences.extend(
        x.keys()
            .filter(|key| y.get(*key).is_some_and(|other| *other != x[*key]))
            .map(|key| format!("data.json: {key}")),
    );
    differences
}

fn tokenizer_differences(a: &Identity, b: &Identity) -> Vec<String> {
    if let (Some(x), Some(y)) = (&a.tokenizer, &b.tokenizer) {
        return if x == y { vec![] } else { vec!["tokenizer.json of their checkpoints".to_string()] };
    }
    let mut differences = vec![];
    let [a, b] = [a, b].map(|identity| identity.config.get("tokenizer"));
    differing("tokenizer", a, b, &mut differences);
    differences
}

/// Refuses a second run that has the name of a first but another configuration: only `run`, with its seed, may differ.
pub(super) fn check_seeds_only(first: &RunCurves, second: &RunCurves) -> Result<()> {
    let [a, b] = [first, second].map(|run| run.path.display());
    if first.seed == second.seed {
        refuse!(
            "{a} and {b} are both called {} and have the same seed ({}): expected runs of different seeds, or folders of \
             different names",
            first.name,
            first.seed.map_or("none".to_string(), |seed| seed.to_string())
        );
    }
    let (Some(x), Some(y)) = (&first.identity, &second.identity) else { return Ok(()) };
    let mut differences = vec![];
    for key in x.config.keys().chain(y.config.keys()).filter(|key| *key != "run") {
        differing(key, x.config.get(key), y.config.get(key), &mut differences);
    }
    differences.dedup();
    require!(
        differences.is_empty(),
        "{a} and {b} are both called {}, but differ in more than their seed ({}): give their folders different names",
        first.name,
        differences.join(", ")
    );
    Ok(())
}

/// Adds the keys in which two values differ.
fn differing(key: &str, a: Option<&toml::Value>, b: Option<&toml::Value>, differences: &mut Vec<String>) {
    match (a, b) {
        (Some(toml::Value::Table(x)), Some(toml::Value::Table(y))) => {
            let only = y.keys().filter(|name| !x.contains_key(*name));
            for name in x.keys().chain(only) {
                differing(&format!("{key}.{name}"), x.get(name), y.get(name), differences);
            }
        }
        (a, b) if a != b => differences.push(key.to_string()),
        _ => {}
    }
}
