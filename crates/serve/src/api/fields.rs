//! The fields of a request, taken one by one, so that a wrong one is named and none is overlooked.

use std::ops::RangeInclusive;

use axum::http::StatusCode;
use serde_json::{Map, Value};

use super::error::ApiError;

/// The fields of a request that were not taken yet.
#[derive(Debug)]
pub(crate) struct Fields {
    left: Map<String, Value>,
    /// Whether values are words, as forms have them.
    is_form: bool,
}

impl Fields {
    /// Of a JSON object.
    pub(crate) fn of_json(body: &[u8]) -> Result<Self, ApiError> {
        match serde_json::from_slice(body) {
            Ok(Value::Object(left)) => Ok(Self { left, is_form: false }),
            Ok(other) => Err(ApiError::new(
                StatusCode::BAD_REQUEST,
                format!("the body: expected a JSON object, found {}", shown(&other)),
            )),
            Err(error) => Err(ApiError::new(StatusCode::BAD_REQUEST, format!("the body is not JSON: {error}"))),
        }
    }

    /// Of the texts in a form.
    pub(crate) fn of_form(texts: Vec<(String, String)>) -> Self {
        let left = texts.into_iter().map(|(name, text)| (name, Value::String(text))).collect();
        Self { left, is_form: true }
    }

    /// A field as it is; `null` is as if it were absent.
    pub(crate) fn take(&mut self, name: &str) -> Option<Value> {
        let value = self.left.shift_remove(name).filter(|value| !value.is_null())?;
        match value {
            Value::String(text) if self.is_form => {
                // A number or a truth value stays itself; everything else is words.
                let read =
                    serde_json::from_str(&text).ok().filter(|value: &Value| value.is_number() || value.is_boolean());
                Some(read.unwrap_or(Value::String(text)))
            }
            value => Some(value),
        }
    }

    /// Words of at most `most` bytes.
    pub(crate) fn text(&mut self, name: &str, most: usize) -> Result<Option<String>, ApiError> {
        // In a form, `7` may be words as well.
        let value = self.left.shift_remove(name).filter(|value| !value.is_null());
        match value {
            None => Ok(None),
            Some(Value::String(text)) if text.len() <= most => Ok(Some(text)),
            Some(Value::String(text)) => Err(too_long(name, text.len(), most)),
            Some(other) => Err(expected(name, "words", &other)),
        }
    }

    /// A whole number.
    pub(crate) fn whole(&mut self, name: &str, range: RangeInclusive<u64>) -> Result<Option<u64>, ApiError> {
        let Some(value) = self.take(name) else { return Ok(None) };
        // Some clients write 3.0 for 3; beyond 2^53 such numbers are not whole any more.
        let of_float = |value: f64| (value >= 0.0 && value.fract() == 0.0 && value < 9.0e15).then_some(value as u64);
        match value.as_u64().or_else(|| value.as_f64().and_then(of_float)).filter(|found| range.contains(found)) {
            Some(found) => Ok(Some(found)),
            None => Err(expected(name, &format!("a whole number from {} to {}", range.start(), range.end()), &value)),
        }
    }

    /// A number.
    pub(crate) fn number(&mut self, name: &str, range: RangeInclusive<f64>) -> Result<Option<f64>, ApiError> {
        let Some(value) = self.take(name) else { return Ok(None) };
        match value.as_f64().filter(|found| range.contains(found)) {
            Some(found) => Ok(Some(found)),
            None => Err(expected(name, &format!("a number from {} to {}", range.start(), range.end()), &value)),
        }
    }

    /// Yes or no; no if absent.
    pub(crate) fn flag(&mut self, name: &str) -> Result<bool, ApiError> {
        match self.take(name) {
            None => Ok(false),
            Some(Value::Bool(flag)) => Ok(flag),
            Some(other) => Err(expected(name, "true or false", &other)),
        }
    }

    /// One of a few words.
    pub(crate) fn choice(&mut self, name: &str, choices: &[&'static str]) -> Result<Option<&'static str>, ApiError> {
        let Some(value) = self.take(name) else { return Ok(None) };
        let found = choices.iter().find(|choice| value.as_str() == Some(choice));
        found.copied().map(Some).ok_or_else(|| expected(name, &one_of(choices), &value))
    }

    /// Leaves out fields that change nothing about the answer.
    pub(crate) fn ignore(&mut self, names: &[&str]) {
        for name in names {
            self.left.shift_remove(*name);
        }
    }

    /// Takes a field that may only say one of these; most say what holds anyway.
    pub(crate) fn only(&mut self, name: &str, allowed: &[Value]) -> Result<Option<Value>, ApiError> {
        match self.take(name) {
            Some(value) if !allowed.contains(&value) => {
                let allowed: Vec<String> = allowed.iter().map(Value::to_string).collect();
                Err(expected(name, &format!("{}, or nothing", allowed.join(" or ")), &value))
            }
            value => Ok(value),
        }
    }

    /// Refuses fields that nobody took.
    pub(crate) fn finish(self) -> Result<(), ApiError> {
        match self.left.keys().next() {
            None => Ok(()),
            Some(name) => {
                let name: String = name.chars().take(80).collect();
                Err(ApiError { code: Some("unknown_field"), ..ApiError::field(&name, "there is no such field here") })
            }
        }
    }
}

/// The error of a field that is something else.
pub(crate) fn expected(name: &str, expected: &str, found: &Value) -> ApiError {
    ApiError::field(name, format!("expected {expected}, found {}", shown(found)))
}

/// The error of a text that is too long.
pub(crate) fn too_long(name: &str, found: usize, most: usize) -> ApiError {
    ApiError::field(name, format!("expected at most {most} bytes, found {found}"))
}

fn one_of(choices: &[&str]) -> String {
    let quoted: Vec<String> = choices.iter().map(|choice| format!("\"{choice}\"")).collect();
    quoted.join(" or ")
}

/// A value in a few words, however long it is.
fn shown(value: &Value) -> String {
    match value {
        Value::Null => "null".into(),
        Value::Bool(value) => value.to_string(),
        Value::Number(value) => value.to_string(),
        Value::String(text) if text.chars().count() <= 40 => format!("{text:?}"),
        Value::String(text) => format!("{:?}…", text.chars().take(40).collect::<String>()),
        Value::Array(_) => "a list".into(),
        Value::Object(_) => "an object".into(),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    fn fields(value: Value) -> Fields {
        Fields::of_json(value.to_string().as_bytes()).unwrap()
    }

    #[test]
    fn a_wrong_field_is_named_with_what_was_expected_and_found() {
        let message = |error: ApiError| (error.param.unwrap_or_default(), error.message);
        let mut all = fields(json!({ "n": 11, "guidance": "x", "stream": 1, "prompt": [1], "form": "gif" }));
        let found = [
            all.whole("n", 1..=10).map(|_| ()).unwrap_err(),
            all.number("guidance", 0.0..=100.0).map(|_| ()).unwrap_err(),
            all.flag("stream").map(|_| ()).unwrap_err(),
            all.text("prompt", 10).map(|_| ()).unwrap_err(),
            all.choice("form", &["png", "url"]).map(|_| ()).unwrap_err(),
        ];
        let expected = [
            ("n", "n: expected a whole number from 1 to 10, found 11"),
            ("guidance", "guidance: expected a number from 0 to 100, found \"x\""),
            ("stream", "stream: expected true or false, found 1"),
            ("prompt", "prompt: expected words, found a list"),
            ("form", "form: expected \"png\" or \"url\", found \"gif\""),
        ];
        assert_eq!(found.map(message), expected.map(|(param, message)| (param.to_string(), message.to_string())));
        all.finish().unwrap();
    }

    #[test]
    fn what_nobody_took_is_refused() {
        let error = fields(json!({ "promt": "cat" })).finish().unwrap_err();
        assert_eq!(error.message, "promt: there is no such field here");
    }

    #[test]
    fn a_form_has_numbers_as_words() {
        let texts = [("n", "3"), ("stream", "true"), ("prompt", "7"), ("guidance", "1.5")];
        let mut form = Fields::of_form(texts.map(|(name, text)| (name.into(), text.into())).into());
        assert_eq!(form.whole("n", 1..=10).unwrap(), Some(3));
        assert!(form.flag("stream").unwrap());
        assert_eq!(form.text("prompt", 10).unwrap().as_deref(), Some("7"));
        assert_eq!(form.number("guidance", 0.0..=9.0).unwrap(), Some(1.5));
    }

    #[test]
    fn whole_numbers_are_whole() {
        let whole = |value: Value| fields(json!({ "n": value })).whole("n", 0..=u64::MAX);
        assert_eq!(whole(json!(u64::MAX)).unwrap(), Some(u64::MAX));
        assert_eq!(whole(json!(3.0)).unwrap(), Some(3));
        assert_eq!(whole(json!(null)).unwrap(), None);
        for wrong in [json!(-1), json!(1.5), json!(1e300), json!("1"), json!(true), json!({})] {
            assert!(whole(wrong.clone()).is_err(), "{wrong}");
        }
    }

    proptest! {
        #[test]
        fn no_body_panics(body in prop::collection::vec(any::<u8>(), 0..200), most in 0usize..20) {
            if let Ok(mut fields) = Fields::of_json(&body) {
                let _ = (fields.whole("a", 0..=9), fields.text("b", most), fields.flag("c"));
                let _ = fields.finish();
            }
        }
    }
}
