//! Keys of configurations of format 1, and what they are called now.

use std::path::Path;

use toml::Table;

/// Old and new names.
const RENAMED: [(&str, &str); 13] = [
    ("every", "intervals"),
    ("every.held_out", "intervals.validation"),
    ("every.measure", "intervals.evaluation"),
    ("held_out", "validation"),
    ("held_out.pictures", "validation.images"),
    ("run.measure", "run.evaluate"),
    ("model.experts", "model.partition"),
    ("model.trunk", "model.backbone"),
    ("train.sequences", "train.batch_size"),
    ("train.pictures", "train.batch_size"),
    ("train.accumulation", "train.gradient_accumulation"),
    ("codec.carry", "codec.bundle"),
    ("data.source.pictures", "data.source.images"),
];

/// The renamed keys that the file `path` still has, each with its new name; empty where the file cannot be read, which
/// somebody else will notice.
pub fn renamed_keys(path: &Path) -> Vec<(&'static str, &'static str)> {
    let text = std::fs::read_to_string(path).unwrap_or_default();
    let config: Table = toml::from_str(&text).unwrap_or_default();
    RENAMED.into_iter().filter(|(old, _)| holds(&config, old)).collect()
}

fn holds(config: &Table, key: &str) -> bool {
    let mut parts = key.split('.');
    let first = parts.next().and_then(|part| config.get(part));
    parts.fold(first, |place, part| place?.as_table()?.get(part)).is_some()
}

/// `` `every` is now `intervals` ``, for every key.
pub(crate) fn listed(keys: &[(&str, &str)]) -> String {
    keys.iter().map(|(old, new)| format!("`{old}` is now `{new}`")).collect::<Vec<_>>().join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn old_keys_are_found_and_new_ones_are_not() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("config.toml");
        let keys = |text: &str| {
            std::fs::write(&path, text).unwrap();
            renamed_keys(&path)
        };
        let old = keys("[every]\nheld_out = 3\n[model]\nexperts = [['text']]\n[data.source]\nkind = 'emoji'\n");
        assert_eq!(listed(&old[..1]), "`every` is now `intervals`");
        assert_eq!(old.iter().map(|(old, _)| *old).collect::<Vec<_>>(), ["every", "every.held_out", "model.experts"]);
        assert!(keys("[intervals]\nvalidation = 3\n[data.source]\nheld_out = 0.1\n").is_empty());
        assert!(keys("no TOML").is_empty() && renamed_keys(Path::new("nowhere")).is_empty());
    }
}
