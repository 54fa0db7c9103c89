//! The columns of a table, by the names that people give them.

use crate::error::ScalingError;

/// Every column that a table may have: its name, what else it is called, and what it holds.
pub const COLUMNS: [(&str, &[&str], &str); 13] = [
    ("run", &["name", "model"], "name of the run"),
    ("modality", &["modalities", "pair"], "text, or a pair such as speech|text"),
    ("params", &["N", "parameters", "n_params"], "parameters, in ones"),
    ("tokens", &["D", "n_tokens", "training_tokens"], "tokens seen, in ones; of a pair the sum"),
    ("unique_tokens", &["U", "D_unique"], "different tokens among them"),
    ("first_share", &[], "fraction of a pair's tokens that the first modality has"),
    ("loss", &["L", "validation_loss"], "nats a token on held-out data"),
    ("steps", &["step"], "optimizer steps"),
    ("batch_tokens", &["batch_size_tokens"], "tokens a step"),
    ("learning_rate", &["lr"], "peak learning rate"),
    ("flops", &["C", "compute"], "training FLOPs"),
    ("seed", &[], "seed of the run"),
    ("tokenizer", &[], "tokenizer that the loss is counted in"),
];

/// The index in [`COLUMNS`] of a name.
pub(super) fn index(name: &str) -> Option<usize> {
    COLUMNS.iter().position(|(column, aliases, _)| *column == name || aliases.contains(&name))
}

/// That a column is unknown, with the name nearest to it by Jaro and Winkler.
pub(super) fn unknown(table: &str, name: &str) -> ScalingError {
    let lower = name.to_lowercase();
    let known = COLUMNS.iter().flat_map(|(column, aliases, _)| std::iter::once(column).chain(*aliases));
    let nearest = known
        // A name of one letter resembles anything that begins with it.
        .filter(|known| known.len() > 1)
        .map(|known| (strsim::jaro_winkler(&lower, &known.to_lowercase()), *known))
        .max_by(|a, b| a.0.total_cmp(&b.0))
        .filter(|(likeness, _)| *likeness > 0.7);
    let advice = match nearest {
        Some((_, nearest)) => format!("did you mean `{nearest}`?"),
        None => format!("known are {}", COLUMNS.map(|(column, ..)| column).join(", ")),
    };
    ScalingError::Table { table: table.to_owned(), reason: format!("unknown column `{name}`; {advice}") }
}
