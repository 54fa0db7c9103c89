//! From serde's errors to ours: the whole key, what was expected and found, and the line or `--set` it came from.
//!
//! serde reports an error as text, and `serde_path_to_error` adds the path at which it arose. Two things are left to do
//! here: to read that text apart, and to find the key inside an internally tagged enum (`source = { kind = "emoji", … }`),
//! whose contents serde buffers, so that the path stops at the enum itself.

use std::ops::Range;
use std::path::Path;

use serde::de::DeserializeOwned;
use serde_path_to_error::Segment;
use toml::Value;
use toml::de::{DeTable, DeValue};

use super::overrides::Override;

/// How alike a mistyped key and a known one must be to be suggested, from 0 to 1; one slip in seven letters is 0.86.
const SUGGEST_FROM: f64 = 0.6;

/// Where the values of a configuration came from.
pub(super) struct Origin<'a> {
    pub(super) path: &'a Path,
    pub(super) text: &'a str,
    pub(super) overrides: &'a [Override],
}

/// A key from the outermost table inwards; an array's element is its index in digits.
type KeyPath = Vec<String>;

/// The sentence that tells a person what is wrong with `config`, which failed to become a `T` with `error`.
pub(super) fn explain<T: DeserializeOwned>(
    error: &serde_path_to_error::Error<toml::de::Error>,
    config: &Value,
    origin: &Origin<'_>,
) -> String {
    let path = key_path(error.path());
    match Fault::read(error.inner().message()) {
        Fault::UnknownKey { key, known } => {
            let path = if path.last() == Some(&key) { path } else { joined(path, key.clone()) };
            let origin = origin.of(&path);
            format!("unknown key `{}` {origin}: {}", shown(&path, config), suggestion(&key, &known))
        }
        Fault::MissingKey { key } => {
            format!("missing key `{}` in {}", shown(&joined(path, key), config), origin.path.display())
        }
        Fault::UnknownVariant { variant, known } => {
            let found = format!("string {variant:?}");
            let path = culprit::<T>(config, path, &found);
            let origin = origin.of(&path);
            format!("`{}` {origin}: unknown value `{variant}`: {}", shown(&path, config), suggestion(&variant, &known))
        }
        Fault::Mistyped { found, expected } => {
            let path = culprit::<T>(config, path, &found);
            let origin = origin.of(&path);
            format!("`{}` {origin}: expected {expected}, found {}", shown(&path, config), plain_found(&found))
        }
        Fault::Other(message) => format!("`{}` {}: {message}", shown(&path, config), origin.of(&path)),
    }
}

/// serde's message, read apart.
enum Fault {
    UnknownKey { key: String, known: Vec<String> },
    MissingKey { key: String },
    UnknownVariant { variant: String, known: Vec<String> },
    Mistyped { found: String, expected: String },
    Other(String),
}

impl Fault {
    fn read(message: &str) -> Self {
        let message = message.trim();
        let parts = |prefix: &str| message.strip_prefix(prefix).and_then(|rest| rest.rsplit_once(", expected "));
        let mut names = backticked(message);
        if message.starts_with("unknown field `") && !names.is_empty() {
            Self::UnknownKey { key: names.remove(0), known: names }
        } else if message.starts_with("unknown variant `") && !names.is_empty() {
            Self::UnknownVariant { variant: names.remove(0), known: names }
        } else if message.starts_with("missing field `") && !names.is_empty() {
            Self::MissingKey { key: names.remove(0) }
        } else if let Some((found, expected)) = parts("invalid type: ").or_else(|| parts("invalid value: ")) {
            Self::Mistyped { found: found.to_owned(), expected: plain_expected(expected) }
        } else if let Some((length, expected)) = parts("invalid length ") {
            Self::Mistyped { found: format!("{length} values"), expected: plain_expected(expected) }
        } else {
            Self::Other(message.to_owned())
        }
    }
}

/// The words of `message` that stand between backticks.
fn backticked(message: &str) -> Vec<String> {
    message.split('`').skip(1).step_by(2).map(str::to_owned).collect()
}

/// serde's name of a type in words that do not take a programmer.
fn plain_expected(expected: &str) -> String {
    match expected {
        "u8" | "u16" | "u32" | "u64" | "usize" => "a whole number, 0 or more".to_owned(),
        "i8" | "i16" | "i32" | "i64" | "isize" => "a whole number".to_owned(),
        "f32" | "f64" => "a number".to_owned(),
        "a boolean" => "true or false".to_owned(),
        "a sequence" => "an array".to_owned(),
        _ if expected.starts_with("struct ") => format!("a table ({expected})"),
        _ if expected.starts_with("a nonzero u") => "a whole number, 1 or more".to_owned(),
        _ => expected.to_owned(),
    }
}

fn plain_found(found: &str) -> &str {
    match found {
        "map" => "a table",
        "sequence" => "an array",
        other => other,
    }
}

/// "did you mean …? expected one of: …", the first part only when a known name is like enough.
fn suggestion(wrong: &str, known: &[String]) -> String {
    let nearest = known
        .iter()
        .map(|name| (strsim::normalized_damerau_levenshtein(wrong, name), name))
        .max_by(|(a, _), (b, _)| a.total_cmp(b))
        .filter(|&(likeness, _)| likeness >= SUGGEST_FROM);
    let question = nearest.map_or_else(String::new, |(_, name)| format!("did you mean `{name}`? "));
    let known: Vec<String> = known.iter().map(|name| format!("`{name}`")).collect();
    match known.as_slice() {
        [] => "no key is expected here".to_owned(),
        [only] => format!("{question}expected {only}"),
        _ => format!("{question}expected one of: {}", known.join(", ")),
    }
}

fn key_path(path: &serde_path_to_error::Path) -> KeyPath {
    path.iter()
        .filter_map(|segment| match segment {
            Segment::Seq { index } => Some(index.to_string()),
            Segment::Map { key } => Some(key.clone()),
            Segment::Enum { variant } => Some(variant.clone()),
            Segment::Unknown => None,
        })
        .collect()
}

fn joined(mut path: KeyPath, key: String) -> KeyPath {
    path.push(key);
    path
}

/// The path as a person writes it: `data.image_size[1]`.
fn shown(path: &[String], config: &Value) -> String {
    let mut text = String::new();
    let mut place = Some(config);
    for part in path {
        match place {
            Some(Value::Array(_)) => text.push_str(&format!("[{part}]")),
            _ if text.is_empty() => text.push_str(part),
            _ => text.push_str(&format!(".{part}")),
        }
        place = place.and_then(|value| child(value, part));
    }
    text
}

fn child<'a>(value: &'a Value, part: &str) -> Option<&'a Value> {
    match value {
        Value::Table(table) => table.get(part),
        Value::Array(array) => array.get(part.parse::<usize>().ok()?),
        _ => None,
    }
}

/// The key below `path` whose value serde `found` amiss, or `path` itself where no single key can be blamed.
///
/// A key can be blamed if serde's words fit its value and the error goes away, or becomes another, without it.
fn culprit<T: DeserializeOwned>(config: &Value, path: KeyPath, found: &str) -> KeyPath {
    let warning =
        |config: &Value| serde_path_to_error::deserialize::<_, T>(config.clone()).err().map(|e| e.to_string());
    let original = warning(config);
    let mut path = path;
    while let Some(Value::Table(table)) = path.iter().try_fold(config, |value, part| child(value, part)) {
        let suspects: Vec<(&String, &Value)> = table
            .iter()
            .filter(|(_, value)| value.is_table() || words_for(value) == found)
            .filter(|(key, _)| warning(&without(config, &path, key)) != original)
            .collect();
        let fitting = suspects.iter().filter(|(_, value)| words_for(value) == found).collect::<Vec<_>>();
        match (fitting.as_slice(), suspects.as_slice()) {
            ([(key, _)], _) => return joined(path, (*key).clone()),
            // A table that the error depends on: it lies somewhere inside.
            ([], [(key, _)]) => path.push((*key).clone()),
            _ => break,
        }
    }
    path
}

/// `config` less the one key `path.key`.
fn without(config: &Value, path: &[String], key: &str) -> Value {
    let mut config = config.clone();
    let place = path.iter().try_fold(&mut config, |value, part| match value {
        Value::Table(table) => table.get_mut(part),
        Value::Array(array) => array.get_mut(part.parse::<usize>().ok()?),
        _ => None,
    });
    if let Some(Value::Table(table)) = place {
        table.remove(key);
    }
    config
}

/// How serde words a value in "invalid type: …".
fn words_for(value: &Value) -> String {
    match value {
        Value::String(text) => format!("string {text:?}"),
        Value::Integer(number) => format!("integer `{number}`"),
        Value::Float(number) if number.fract() == 0.0 => format!("floating point `{number:.1}`"),
        Value::Float(number) => format!("floating point `{number}`"),
        Value::Boolean(flag) => format!("boolean `{flag}`"),
        Value::Array(_) => "sequence".to_owned(),
        Value::Datetime(_) | Value::Table(_) => "map".to_owned(),
    }
}

impl Origin<'_> {
    /// "in FILE, line N" or "from --set …", whichever gave the value at `path` last.
    fn of(&self, path: &[String]) -> String {
        let shared = |a: &[String], b: &[String]| a.iter().zip(b).all(|(a, b)| a == b);
        let line = self.line(path);
        let by_override = self.overrides.iter().rev().find(|each| {
            // An override inside the table at `path` is to blame only where the file has no such table.
            shared(&each.path, path) && (each.path.len() <= path.len() || line.is_none())
        });
        match (by_override, line) {
            (Some(each), _) => format!("from --set {}", each.text),
            (None, Some(line)) => format!("in {}, line {line}", self.path.display()),
            (None, None) => format!("in {}", self.path.display()),
        }
    }

    /// The line, from 1, of the key at `path` in the file, if it stands there.
    fn line(&self, path: &[String]) -> Option<usize> {
        let document = DeTable::parse(self.text).ok()?;
        let (first, rest) = path.split_first()?;
        let (mut span, mut value) = entry(document.get_ref(), first)?;
        for part in rest {
            (span, value) = match value {
                DeValue::Table(table) => entry(table, part)?,
                DeValue::Array(array) => {
                    let element = array.get(part.parse::<usize>().ok()?)?;
                    (element.span(), element.get_ref())
                }
                _ => return None,
            };
        }
        Some(1 + self.text.get(..span.start)?.matches('\n').count())
    }
}

/// The place of `key` itself in the text, and its value.
fn entry<'a, 'i>(table: &'a DeTable<'i>, key: &str) -> Option<(Range<usize>, &'a DeValue<'i>)> {
    table.iter().find(|(name, _)| name.get_ref() == key).map(|(name, value)| (name.span(), value.get_ref()))
}
