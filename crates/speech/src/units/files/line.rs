//! One line of a unit file.

use std::path::Path;

use super::{Layout, Utterance, dictionary, place};
use crate::error::SpeechError;

/// A name, where the layout has one, and numbers.
pub(super) type Line = (Option<String>, Vec<u32>);

/// What was expected and found.
type Reason = (String, String);

/// The layout of a file and its lines, of which there is at least one.
///
/// # Errors
/// When there is none, or one cannot be read or is of another layout than the first.
pub(super) fn lines(path: &Path, text: &str) -> Result<(Layout, Vec<Line>), SpeechError> {
    let text = text.trim_start_matches('\u{feff}');
    let first = text.lines().next().unwrap_or_default();
    let layout = match first.find(['\t', '|']) {
        _ if first.starts_with('{') => Layout::Dictionary,
        Some(place) if first[place..].starts_with('\t') => Layout::Tab,
        Some(_) => Layout::Bar,
        None => Layout::Plain,
    };
    let parsed = |(number, line)| {
        parse(layout, line).map_err(|(expected, found)| SpeechError::malformed(place(path, number), expected, found))
    };
    let lines = text.lines().enumerate().map(parsed).collect::<Result<Vec<Line>, _>>()?;
    match lines.is_empty() {
        true => Err(SpeechError::malformed(path.display().to_string(), "one utterance a line", "an empty file")),
        false => Ok((layout, lines)),
    }
}

fn parse(layout: Layout, line: &str) -> Result<Line, Reason> {
    if line.trim().is_empty() {
        return Err(("one utterance a line".into(), "an empty line".into()));
    }
    let split = |separator: char, what: &str| {
        line.split_once(separator)
            .ok_or_else(|| (format!("a name, a {what} and units, as in line 1"), line.to_string()))
    };
    let (name, units) = match layout {
        Layout::Plain => return Ok((None, numbers(line)?)),
        Layout::Tab => split('\t', "tab")?,
        Layout::Bar => split('|', "bar")?,
        Layout::Dictionary => {
            let (name, units) = dictionary::parse(line)?;
            return Ok((Some(name), numbers(&units)?));
        }
    };
    Ok((Some(name.to_string()), numbers(units)?))
}

fn numbers(text: &str) -> Result<Vec<u32>, Reason> {
    let expected = || "units as whole numbers parted by white space".to_string();
    let number = |word: &str| word.parse().map_err(|_| (expected(), format!("`{word}`")));
    let numbers = text.split_whitespace().map(number).collect::<Result<Vec<u32>, _>>()?;
    if numbers.is_empty() { Err((expected(), "none".into())) } else { Ok(numbers) }
}

/// The line of an utterance.
pub(super) fn line(layout: Layout, utterance: &Utterance) -> Result<String, Reason> {
    let units: Vec<String> = utterance.sequence.units().iter().map(u32::to_string).collect();
    if units.is_empty() {
        return Err(("at least one unit".into(), "none".into()));
    }
    let units = units.join(" ");
    if layout == Layout::Plain {
        return Ok(units);
    }
    let name = utterance.name.as_deref().ok_or_else(|| ("a name".to_string(), "none".to_string()))?;
    let named = |separator: char| match name.contains(['\n', '\r', '\t', '|']) {
        false => Ok(format!("{name}{separator}{units}")),
        true => Err(("a name without tabs, bars and line ends".into(), format!("{name:?}"))),
    };
    match layout {
        Layout::Tab => named('\t'),
        Layout::Bar => named('|'),
        Layout::Plain | Layout::Dictionary => Ok(dictionary::format(name, &units)),
    }
}
