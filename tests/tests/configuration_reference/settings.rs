//! What serde says of settings: the names of their keys, the values of keys that are absent, and the words that they take.
//!
//! All of it is read from settings that were read from the fewest keys possible, so it holds whether a default is written as
//! `impl Default`, as an attribute of the field or as an absent `Option`.

use serde::Serialize;
use serde::de::DeserializeOwned;
use toml::Value;
use toml::de::{DeTable, DeValue};

/// A key that no table has.
const NO_SUCH_KEY: &str = "no-such-key";

/// A table of a configuration, or one of the kinds of a table that a word tells apart.
pub(crate) struct Table {
    /// How a configuration opens the table.
    pub(crate) heading: String,
    /// Whose doc comments it has: a struct, or a variant of an enum that has keys of its own, `Enum::Variant`.
    pub(crate) docs: String,
    /// A TOML line for each key that the table cannot do without.
    needed: Vec<String>,
    /// Reads TOML as these settings, and writes what was read, or says what is wrong with it.
    read: fn(&str) -> Result<String, String>,
}

/// A key, and what is taken for it where it is absent.
#[derive(Debug)]
pub(crate) struct Key {
    pub(crate) name: String,
    pub(crate) default: Absent,
}

/// What becomes of a key that is absent.
#[derive(Debug)]
pub(crate) enum Absent {
    /// An error.
    Needed,
    /// No value: its description says what then.
    Nothing,
    /// A value, as TOML.
    Value(String),
}

impl Table {
    /// The settings `T`, which cannot do without `needed`.
    pub(crate) fn of<T: Serialize + DeserializeOwned>(heading: &str, needed: &[&str]) -> Self {
        let needed = needed.iter().map(ToString::to_string).collect();
        Self { heading: heading.into(), docs: type_name::<T>(), needed, read: read::<T> }
    }

    /// The settings of one kind of `T`, chosen by `tag = "word"` and described by the struct or variant `docs`.
    pub(crate) fn kind<T: Serialize + DeserializeOwned>(
        heading: &str,
        [tag, word]: [&str; 2],
        docs: &str,
        needed: &[&str],
    ) -> Self {
        let tag = format!("{tag} = \"{word}\"");
        let needed = [tag.clone()].into_iter().chain(needed.iter().map(ToString::to_string)).collect();
        Self { heading: format!("{heading} {tag}"), docs: docs.into(), needed, read: read::<T> }
    }

    /// All keys in their order.
    pub(crate) fn keys(&self) -> Vec<Key> {
        for left_out in 0..self.needed.len() {
            let error = self.read_without(left_out).expect_err(&self.needed[left_out]);
            assert!(error.starts_with("missing field"), "{}: {error}", self.heading);
        }
        let error = (self.read)(&format!("{}\n{NO_SUCH_KEY} = 0", self.needed.join("\n"))).expect_err(&self.heading);
        let names = expected(&error, "unknown field");
        names.into_iter().map(|name| Key { default: self.absent(&name), name }).collect()
    }

    fn read_without(&self, left_out: usize) -> Result<String, String> {
        let rest: Vec<&str> = self.needed.iter().map(String::as_str).collect();
        (self.read)(&[&rest[..left_out], &rest[left_out + 1..]].concat().join("\n"))
    }

    fn absent(&self, key: &str) -> Absent {
        if self.needed.iter().any(|line| line.split(' ').next() == Some(key)) {
            return Absent::Needed;
        }
        let (needed, read) = (self.needed.join("\n"), |text: &str| (self.read)(text).unwrap());
        let complete = read(&needed);
        let table = DeTable::parse(&complete).unwrap();
        let Some(value) = table.get_ref().get(key) else { return Absent::Nothing };
        let DeValue::Table(table) = value.get_ref() else { return Absent::Value(written(value.get_ref())) };
        // Of a table, what its own defaults do not say already: all that has to be written to get the same settings.
        let mut entries: Vec<String> =
            table.iter().map(|(name, value)| format!("{} = {}", name.get_ref(), written(value.get_ref()))).collect();
        for place in (0..entries.len()).rev() {
            let mut fewer = entries.clone();
            fewer.remove(place);
            if (self.read)(&format!("{needed}\n{key} = {}", braced(&fewer))).is_ok_and(|found| found == complete) {
                entries = fewer;
            }
        }
        Absent::Value(braced(&entries))
    }
}

/// An enum of a configuration: the words of a key, or of the key `tag` of a table.
pub(crate) struct Choice {
    /// The enum's name.
    pub(crate) name: String,
    /// The key that tells the kinds of a table apart.
    pub(crate) tag: Option<&'static str>,
    /// The words as a configuration writes them, in the order of the variants.
    pub(crate) words: Vec<String>,
}

impl Choice {
    /// The enum `T` of words.
    pub(crate) fn of<T: DeserializeOwned>() -> Self {
        Self::read::<T>(None, Value::String(NO_SUCH_KEY.into()))
    }

    /// The enum `T` of the kinds of a table, which `tag` tells apart.
    pub(crate) fn tagged<T: DeserializeOwned>(tag: &'static str) -> Self {
        let table = toml::Table::from_iter([(tag.to_string(), Value::String(NO_SUCH_KEY.into()))]);
        Self::read::<T>(Some(tag), Value::Table(table))
    }

    fn read<T: DeserializeOwned>(tag: Option<&'static str>, value: Value) -> Self {
        let error = value.try_into::<T>().err().unwrap();
        Self { name: type_name::<T>(), tag, words: expected(error.message(), "unknown variant") }
    }
}

fn read<T: Serialize + DeserializeOwned>(text: &str) -> Result<String, String> {
    let settings: T = toml::from_str(text).map_err(|error| error.message().to_string())?;
    Ok(toml::to_string(&settings).unwrap())
}

/// The names that serde would have taken for [`NO_SUCH_KEY`], by its error "… `no-such-key`, expected one of `a`, `b`".
fn expected(error: &str, prefix: &str) -> Vec<String> {
    assert!(error.starts_with(&format!("{prefix} `{NO_SUCH_KEY}`")), "expected `{prefix} …`, found `{error}`");
    error.split('`').skip(3).step_by(2).map(String::from).collect()
}

/// A value as TOML in one line.
fn written(value: &DeValue<'_>) -> String {
    match value {
        DeValue::String(text) => Value::String(text.to_string()).to_string(),
        DeValue::Integer(number) => number.as_str().into(),
        DeValue::Float(number) => match number.as_str().parse::<f64>().unwrap() {
            small if small != 0.0 && small.abs() < 1e-3 => format!("{small:e}"),
            _ => number.as_str().into(),
        },
        DeValue::Boolean(flag) => flag.to_string(),
        DeValue::Datetime(time) => time.to_string(),
        DeValue::Array(values) => {
            let values: Vec<String> = values.iter().map(|value| written(value.get_ref())).collect();
            format!("[{}]", values.join(", "))
        }
        DeValue::Table(table) => {
            let entry = |(name, value): (&str, &DeValue<'_>)| format!("{name} = {}", written(value));
            let entries = table.iter().map(|(name, value)| entry((name.get_ref(), value.get_ref())));
            braced(&entries.collect::<Vec<String>>())
        }
    }
}

fn braced(entries: &[String]) -> String {
    match entries {
        [] => "{}".into(),
        entries => format!("{{ {} }}", entries.join(", ")),
    }
}

fn type_name<T>() -> String {
    std::any::type_name::<T>().rsplit("::").next().unwrap().into()
}
