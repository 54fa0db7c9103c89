//! A field of a record, whatever kind of file it lies in: JSON's values, and bytes.

use serde_json::{Map, Number, Value as Json};

/// A field of a record.
#[derive(Clone, Debug, Default, PartialEq)]
pub enum Value {
    /// Nothing.
    #[default]
    Null,
    /// A truth value.
    Bool(bool),
    /// A number.
    Number(Number),
    /// A text.
    Text(String),
    /// Bytes, such as an image's file.
    Bytes(Vec<u8>),
    /// Values in order.
    List(Vec<Value>),
    /// Fields by their names, in the order of the file.
    Struct(Vec<(String, Value)>),
}

impl Value {
    /// The field at a path: `caption`, `json.caption`, `0.jpg`. A name that has dots itself is found before a path is; what a
    /// record does not have at its top is looked for in its `json`, where tars keep such fields.
    pub fn get(&self, path: &str) -> Option<&Value> {
        let found = self.descend(path).or_else(|| self.descend("json")?.descend(path));
        found.filter(|value| !matches!(value, Value::Null))
    }

    /// The field at a path, taken out of the record.
    pub fn take(&mut self, path: &str) -> Option<Value> {
        let taken = |value: &mut Value| Some(std::mem::take(value)).filter(|value| !matches!(value, Value::Null));
        match self.descend(path).is_some() {
            true => self.descend_mut(path).and_then(taken),
            false => self.descend_mut("json")?.descend_mut(path).and_then(taken),
        }
    }

    fn descend(&self, path: &str) -> Option<&Value> {
        let Value::Struct(fields) = self else { return None };
        if let Some((_, value)) = fields.iter().find(|(name, _)| name == path) {
            return Some(value);
        }
        splits(path).find_map(|(name, rest)| fields.iter().find(|(found, _)| found == name)?.1.descend(rest))
    }

    fn descend_mut(&mut self, path: &str) -> Option<&mut Value> {
        let Value::Struct(fields) = self else { return None };
        if let Some(place) = fields.iter().position(|(name, _)| name == path) {
            return Some(&mut fields[place].1);
        }
        let (place, rest) = splits(path).find_map(|(name, rest)| {
            let place = fields.iter().position(|(found, value)| found == name && value.descend(rest).is_some())?;
            Some((place, rest))
        })?;
        fields[place].1.descend_mut(rest)
    }

    /// The names of a struct's fields, and those of its `json`.
    pub(crate) fn names(&self) -> impl Iterator<Item = &str> {
        let inner: Vec<&str> = match self {
            Value::Struct(own) => {
                own.iter().filter(|(name, _)| name == "json").flat_map(|(_, json)| names_of(json)).collect()
            }
            _ => vec![],
        };
        names_of(self).into_iter().chain(inner)
    }

    /// What it is, for a message: the value where it is short, else its kind.
    pub(crate) fn described(&self) -> String {
        match self {
            Value::Null => "nothing".into(),
            Value::Bool(value) => value.to_string(),
            Value::Number(value) => value.to_string(),
            Value::Text(text) => {
                let start: String = text.chars().take(40).collect();
                format!("the text \"{start}\"{}", if start.len() < text.len() { "…" } else { "" })
            }
            Value::Bytes(bytes) => format!("{} bytes", bytes.len()),
            Value::List(values) => format!("a list of {}", values.len()),
            Value::Struct(fields) => {
                let names: Vec<&str> = fields.iter().map(|(name, _)| name.as_str()).take(6).collect();
                format!("a struct of {}", names.join(", "))
            }
        }
    }

    /// The same as JSON; bytes, which JSON has no word for, are null.
    pub fn to_json(&self) -> Json {
        match self {
            Value::Null | Value::Bytes(_) => Json::Null,
            Value::Bool(value) => Json::Bool(*value),
            Value::Number(value) => Json::Number(value.clone()),
            Value::Text(text) => Json::String(text.clone()),
            Value::List(values) => Json::Array(values.iter().map(Value::to_json).collect()),
            Value::Struct(fields) => {
                Json::Object(fields.iter().map(|(name, value)| (name.clone(), value.to_json())).collect::<Map<_, _>>())
            }
        }
    }

    /// A whole number, also one written as a text or with a fraction of zero.
    pub(crate) fn integer(&self) -> Option<i64> {
        match self {
            Value::Number(number) => {
                let whole = |value: f64| (value.fract() == 0.0 && value.abs() < 9e15).then_some(value as i64);
                number.as_i64().or_else(|| number.as_f64().and_then(whole))
            }
            Value::Text(text) => text.trim().parse().ok(),
            _ => None,
        }
    }
}

fn names_of(value: &Value) -> Vec<&str> {
    match value {
        Value::Struct(fields) => fields.iter().map(|(name, _)| name.as_str()).collect(),
        _ => vec![],
    }
}

/// Every way to take a path apart at one of its dots, the shortest first name first.
fn splits(path: &str) -> impl Iterator<Item = (&str, &str)> {
    path.match_indices('.').map(|(at, _)| (&path[..at], &path[at + 1..]))
}

impl From<Json> for Value {
    fn from(json: Json) -> Self {
        match json {
            Json::Null => Value::Null,
            Json::Bool(value) => Value::Bool(value),
            Json::Number(value) => Value::Number(value),
            Json::String(text) => Value::Text(text),
            Json::Array(values) => Value::List(values.into_iter().map(Value::from).collect()),
            Json::Object(fields) => {
                Value::Struct(fields.into_iter().map(|(name, value)| (name, value.into())).collect())
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record() -> Value {
        serde_json::json!({"0.jpg": "a", "json": {"caption": "b", "deep": {"er": 3}, "none": null}, "x": {"y.z": 4}})
            .into()
    }

    #[test]
    fn names_with_dots_come_before_paths_and_json_comes_last() {
        let record = record();
        assert_eq!(record.get("0.jpg"), Some(&Value::Text("a".into())));
        assert_eq!(record.get("caption"), record.get("json.caption"));
        assert_eq!(record.get("deep.er").and_then(Value::integer), Some(3));
        assert_eq!(record.get("x.y.z").and_then(Value::integer), Some(4));
        assert_eq!((record.get("none"), record.get("nowhere")), (None, None));
        assert!(record.names().any(|name| name == "caption"));
    }

    #[test]
    fn what_is_taken_is_gone() {
        let mut record = record();
        for path in ["0.jpg", "caption", "deep.er", "x.y.z"] {
            assert_eq!(record.get(path).cloned(), record.take(path), "{path}");
            assert_eq!(record.get(path), None, "{path}");
        }
        assert_eq!(record.take("nowhere"), None);
    }
}
