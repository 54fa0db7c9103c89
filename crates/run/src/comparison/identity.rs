//! Whether runs can be compared at all: the same data, the same tokenizer, and, within a group, the same configuration.

use serde_json::Value;

use super::curves::{Identity, RunCurves};
use crate::configuration::differences;
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
    let mut differences: Vec<String> = DATA.iter().flat_map(|table| differing(table, &a.config, &b.config)).collect();
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
    differing("tokenizer", &a.config, &b.config)
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
    let keys = differences(&x.config, &y.config).into_iter().map(|difference| difference.key);
    let differences: Vec<String> = keys.filter(|key| key.split('.').next() != Some("run")).collect();
    require!(
        differences.is_empty(),
        "{a} and {b} are both called {}, but differ in more than their seed ({}): give their folders different names",
        first.name,
        differences.join(", ")
    );
    Ok(())
}

/// The keys below a table, or that of the table itself, in which two configurations differ.
fn differing(table: &str, a: &toml::Table, b: &toml::Table) -> Vec<String> {
    let keys = differences(a, b).into_iter().map(|difference| difference.key);
    keys.filter(|key| key.split('.').next() == Some(table)).collect()
}
