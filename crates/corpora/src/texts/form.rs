//! From what lies in a file to the text that it stands for.

/// How a text lies in its file.
pub(crate) enum Form {
    /// As it is.
    Plain,
    /// A line of JSON that has it under a key.
    Json(String),
    /// An entry of a dictionary with marks of its own.
    DictionaryEntry,
}

impl Form {
    /// The text; none where there is no such key.
    pub(crate) fn text(&self, raw: &str) -> Option<String> {
        match self {
            Self::Plain => Some(raw.to_string()),
            Self::Json(key) => match serde_json::from_str::<serde_json::Value>(raw).ok()?.get_mut(key)?.take() {
                serde_json::Value::String(text) => Some(text),
                _ => None,
            },
            Self::DictionaryEntry => Some(dictionary_entry(raw)),
        }
    }
}

/// Notes of where an entry comes from, which close nearly every paragraph of one dictionary.
const NOTES: [&str; 6] = ["[1913 Webster", "[WordNet ", "[PJC]", "[Webster 1913", "[Century Dict", "[RP]"];

/// An entry without the braces around words that are entries too, the notes of where it comes from, and the indentation
/// that all its lines but the first share.
fn dictionary_entry(raw: &str) -> String {
    let mut text = raw.replace(['{', '}'], "");
    for note in NOTES {
        while let Some(start) = text.find(note) {
            let Some(length) = text[start..].find(']') else { break };
            text.replace_range(start..=start + length, "");
        }
    }
    let indentation = |line: &str| line.len() - line.trim_start_matches(' ').len();
    let shared = text.lines().skip(1).filter(|line| !line.trim().is_empty()).map(indentation).min().unwrap_or(0);
    let mut lines: Vec<&str> = vec![];
    for line in text.lines() {
        let line = line[shared.min(indentation(line))..].trim_end();
        // One blank line is a break, more are none.
        if !line.is_empty() || lines.last().is_some_and(|last| !last.is_empty()) {
            lines.push(line);
        }
    }
    lines.join("\n").trim_end().to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn entries_lose_their_marks() {
        let raw = "Diet \\Di\"et\\, n. [F. di[`e]te.]\n   1. Course of {living}.\n      [1913 Webster +PJC]\n\n\n   \
            {Diet kitchen}, a place.\n      [1913 Webster]\n";
        assert_eq!(
            dictionary_entry(raw),
            "Diet \\Di\"et\\, n. [F. di[`e]te.]\n1. Course of living.\n\nDiet kitchen, a place."
        );
        assert_eq!(dictionary_entry("[1913 Webster never ends"), "[1913 Webster never ends");
        assert_eq!(dictionary_entry(""), "");
        assert_eq!(dictionary_entry("one\n é\n  two"), "one\né\n two");
    }

    #[test]
    fn json_has_the_text_under_its_key() {
        let form = Form::Json("text".into());
        assert_eq!(form.text("{\"text\": \"a\\nb\", \"id\": 1}").as_deref(), Some("a\nb"));
        for wrong in ["{\"text\": 1}", "{\"other\": \"a\"}", "[1]", "{\"text\": \"a\"", "\"text\""] {
            assert_eq!(form.text(wrong), None, "{wrong}");
        }
    }
}
