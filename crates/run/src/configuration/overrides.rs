//! `--set a.b=value`: one change to a configuration, from the command line.

use toml::{Table, Value};

use crate::error::{Context as _, Result, refuse, require};

/// A text, such as a path, as TOML writes it.
pub(crate) fn quoted(text: impl std::fmt::Display) -> String {
    Value::String(text.to_string()).to_string()
}

/// One parsed `--set`.
pub(super) struct Override {
    /// As it was typed, for messages.
    pub(super) text: String,
    /// The key, from the outermost table inwards. Never empty.
    pub(super) path: Vec<String>,
    value: Value,
}

impl Override {
    /// Parses `a.b=value`.
    ///
    /// # Errors
    /// No `=`, or a key that is not made of `A-Z a-z 0-9 _ -` and dots.
    pub(super) fn parse(text: &str) -> Result<Self> {
        let (key, value) = text.split_once('=').with_context(|| format!("--set {text}: expected KEY=VALUE"))?;
        let key = key.trim();
        let path: Vec<String> = key.split('.').map(str::to_owned).collect();
        require!(
            path.iter().all(|part| is_bare_key(part)),
            "--set {text}: `{key}` is not a key such as `model.d_model`"
        );
        Ok(Self { text: text.to_owned(), path, value: parse_value(value.trim()) })
    }

    /// Writes the value into `config`, making the tables on the way to it.
    ///
    /// # Errors
    /// The key runs through something that is neither a table nor an array with that element.
    pub(super) fn apply(&self, config: &mut Table) -> Result<()> {
        let (first, rest) = self.path.split_first().context("an override always has a key")?;
        let mut place = config.entry(first.as_str()).or_insert_with(|| Value::Table(Table::new()));
        for (depth, part) in rest.iter().enumerate() {
            let parent = self.path[..=depth].join(".");
            place = match place {
                Value::Table(table) => table.entry(part.as_str()).or_insert_with(|| Value::Table(Table::new())),
                Value::Array(array) => self.element(array, &parent, part)?,
                other => refuse!(
                    "--set {}: `{parent}` is {}, not a table, so it has no key `{part}`",
                    self.text,
                    other.type_str()
                ),
            };
        }
        *place = self.value.clone();
        Ok(())
    }

    /// The element of `array` that `part` counts, from 0.
    fn element<'a>(&self, array: &'a mut [Value], parent: &str, part: &str) -> Result<&'a mut Value> {
        let len = array.len();
        part.parse::<usize>().ok().and_then(|index| array.get_mut(index)).with_context(|| {
            format!(
                "--set {}: `{parent}` has {len} elements, so `{part}` must be one of 0 to {}",
                self.text,
                len.saturating_sub(1)
            )
        })
    }
}

/// A key as TOML allows it without quotes.
fn is_bare_key(part: &str) -> bool {
    !part.is_empty() && part.chars().all(|c| c.is_ascii_alphanumeric() || c == '_' || c == '-')
}

/// The value as TOML, or the text itself where it is not TOML.
///
/// No key of ours is a date, so what TOML reads as one (a run named `2024-01-01`) is text as well.
fn parse_value(text: &str) -> Value {
    match text.parse::<Value>() {
        Ok(Value::Datetime(_)) | Err(_) => Value::String(text.to_owned()),
        Ok(value) => value,
    }
}
