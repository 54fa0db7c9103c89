//! Changes to a configuration, `key=value`, and the keys that a sweep sets itself.

use crate::error::{Result, SweepError};

/// Keys that a change may not touch, with what says them instead.
pub const OWN_KEYS: [(&str, &str); 12] = [
    ("run.dir", "--out"),
    ("run.seed", "seeds"),
    ("train.steps", "tokens"),
    ("train.batch_size", "batch_tokens"),
    ("train.gradient_accumulation", "batch_tokens"),
    ("model.backbone", "sizes"),
    ("model.backbone.d_model", "sizes"),
    ("model.backbone.n_layers", "sizes"),
    ("model.backbone.n_heads", "sizes"),
    ("model.backbone.n_kv_heads", "sizes"),
    ("model.backbone.d_ff", "sizes"),
    ("optimizer.learning_rate", "learning_rate_factor"),
];

/// The key of a change.
pub fn key_of(change: &str) -> &str {
    change.split_once('=').map_or(change, |(key, _)| key).trim()
}

/// That changes are `key=value`, none twice, and leave alone what the sweep sets.
pub(super) fn check_changes(place: &str, changes: &[String]) -> Result<()> {
    for (at, change) in changes.iter().enumerate() {
        let place = format!("{place}[{at}]");
        let key = key_of(change);
        if key.is_empty() || !change.contains('=') {
            return Err(SweepError::value(
                place,
                "a change such as \"documents.image_first=0.5\"",
                format!("`{change}`"),
            ));
        }
        if let Some((key, instead)) = OWN_KEYS.iter().find(|(own, _)| *own == key) {
            return Err(SweepError::value(place, format!("a key that `{instead}` does not set"), format!("`{key}`")));
        }
        if changes[..at].iter().any(|other| key_of(other) == key) {
            return Err(SweepError::value(place, "every key once", format!("`{key}` again")));
        }
    }
    Ok(())
}
