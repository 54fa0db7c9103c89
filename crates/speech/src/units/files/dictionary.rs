//! The Python dictionaries that speech-resynthesis has for lines: strings in either quotes, and numbers.

use std::iter::Peekable;
use std::str::Chars;

/// The keys that may hold the units, in the order in which its `parse_manifest` looks for them.
const UNIT_KEYS: [&str; 3] = ["cpc_km100", "vqvae256", "hubert"];

/// The values of `audio` and of the units, or what was expected and found.
pub(super) fn parse(line: &str) -> Result<(String, String), (String, String)> {
    let expected = || format!("a dictionary with `audio` and one of {}", UNIT_KEYS.join(", "));
    let items = items(line).ok_or_else(|| (expected(), line.to_string()))?;
    let value = |key: &str| items.iter().find(|(found, _)| found == key).map(|(_, value)| value.clone());
    let units = UNIT_KEYS.iter().find_map(|key| value(key));
    value("audio").zip(units).ok_or_else(|| (expected(), line.to_string()))
}

/// The line of a name and its units.
pub(super) fn format(name: &str, units: &str) -> String {
    let escape = |letter: char| match letter {
        '\'' | '\\' => format!("\\{letter}"),
        '\n' => "\\n".into(),
        '\r' => "\\r".into(),
        '\t' => "\\t".into(),
        letter => letter.to_string(),
    };
    let name: String = name.chars().map(escape).collect();
    format!("{{'audio': '{name}', 'hubert': '{units}'}}")
}

/// All keys with their values, or nothing where the line is no dictionary of strings and numbers.
fn items(line: &str) -> Option<Vec<(String, String)>> {
    let inner = line.trim().strip_prefix('{')?.strip_suffix('}')?;
    let mut letters = inner.chars().peekable();
    let mut items = vec![];
    loop {
        skip_spaces(&mut letters);
        if letters.peek().is_none() {
            return Some(items);
        }
        let key = string(&mut letters)?;
        skip_spaces(&mut letters);
        (letters.next()? == ':').then_some(())?;
        skip_spaces(&mut letters);
        let value = match letters.peek()? {
            '\'' | '"' => string(&mut letters)?,
            _ => bare(&mut letters),
        };
        items.push((key, value));
        skip_spaces(&mut letters);
        match letters.next() {
            Some(',') => {}
            None => return Some(items),
            Some(_) => return None,
        }
    }
}

fn skip_spaces(letters: &mut Peekable<Chars<'_>>) {
    while letters.next_if(|letter| letter.is_whitespace()).is_some() {}
}

/// A string in quotes.
fn string(letters: &mut Peekable<Chars<'_>>) -> Option<String> {
    let quote = letters.next_if(|letter| matches!(letter, '\'' | '"'))?;
    let mut text = String::new();
    loop {
        match letters.next()? {
            letter if letter == quote => return Some(text),
            '\\' => text.push(match letters.next()? {
                'n' => '\n',
                'r' => '\r',
                't' => '\t',
                letter @ ('\'' | '"' | '\\') => letter,
                // Other escapes name letters by numbers; no path that these programs write has one.
                _ => return None,
            }),
            letter => text.push(letter),
        }
    }
}

/// A number, or another value without quotes.
fn bare(letters: &mut Peekable<Chars<'_>>) -> String {
    let mut text = String::new();
    while let Some(letter) = letters.next_if(|letter| *letter != ',') {
        text.push(letter);
    }
    text.trim_end().to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dictionaries_are_read_as_python_writes_them() {
        let line = r#"{'audio': '/a/it\'s, {1}.wav', "hubert": "17 4", 'duration': 1.25}"#;
        assert_eq!(parse(line).unwrap(), ("/a/it's, {1}.wav".into(), "17 4".into()));
        let line = "{'hubert': '1', 'cpc_km100': '2', 'audio': \"it's\",}";
        assert_eq!(parse(line).unwrap(), ("it's".into(), "2".into()));
        for line in
            ["{", "{}", "{'audio': 'a'}", "{'hubert': '1'}", "{'audio' 'a'}", "{'audio': 'a' 'hubert': '1'}", "{'a"]
        {
            assert!(parse(line).unwrap_err().0.contains("`audio`"), "{line}");
        }
    }

    #[test]
    fn what_is_written_reads_back() {
        for name in ["a.wav", "it's \"here\"\\", "tab\tand\nline"] {
            assert_eq!(parse(&format(name, "1 2")).unwrap(), (name.to_string(), "1 2".to_string()));
        }
    }
}
