//! What differs between two configurations.

use std::collections::BTreeSet;

use serde::Serialize;
use toml::{Table, Value};

use crate::error::{Context as _, Result};

/// One sentence for each key whose value differs, in the order of the keys: `train.steps: 100 → 200`.
///
/// # Errors
/// A value that TOML cannot hold.
pub fn changes<T: Serialize>(before: &T, after: &T) -> Result<Vec<String>> {
    let table = |config: &T| Table::try_from(config).context("a configuration that TOML can hold");
    let (before, after) = (table(before)?, table(after)?);
    let said = |Difference { key, before, after }| format!("{key}: {} → {}", shown(before), shown(after));
    Ok(differences(&before, &after).into_iter().map(said).collect())
}

/// A key whose value differs, or that one of the two does not have.
pub(crate) struct Difference<'a> {
    /// With the tables that it is in: `train.steps`.
    pub(crate) key: String,
    before: Option<&'a Value>,
    after: Option<&'a Value>,
}

/// In what two configurations differ, in the order of the keys.
pub(crate) fn differences<'a>(before: &'a Table, after: &'a Table) -> Vec<Difference<'a>> {
    let mut found = vec![];
    compare("", before, after, &mut found);
    found
}

fn compare<'a>(prefix: &str, before: &'a Table, after: &'a Table, found: &mut Vec<Difference<'a>>) {
    let keys: BTreeSet<&String> = before.keys().chain(after.keys()).collect();
    for key in keys {
        let path = format!("{prefix}{key}");
        match (before.get(key), after.get(key)) {
            (Some(Value::Table(before)), Some(Value::Table(after))) => {
                compare(&format!("{path}."), before, after, found);
            }
            (before, after) if before != after => found.push(Difference { key: path, before, after }),
            _ => {}
        }
    }
}

fn shown(value: Option<&Value>) -> String {
    value.map_or_else(|| "none".to_owned(), Value::to_string)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_key_that_differs_is_named_with_both_values() {
        let table = |text: &str| toml::from_str::<Table>(text).unwrap();
        let before = table("a = 1\n[data]\nsize = [2, 2]\nkind = 'x'\n[data.deep]\nsame = true\n");
        let after = table("a = 1\n[data]\nsize = [2, 3]\nflip = 0.5\n[data.deep]\nsame = true\n");
        let found = changes(&before, &after).unwrap();
        assert_eq!(found, ["data.flip: none → 0.5", "data.kind: \"x\" → none", "data.size: [2, 2] → [2, 3]"]);
        assert!(changes(&after, &after).unwrap().is_empty());
    }
}
