//! Unit files of other programs, one utterance a line:
//!
//! | layout | line | written by |
//! |---|---|---|
//! | plain | `17 17 4 9` | fairseq's `dump_km_label.py` (`.km`), textless' `transcribe.py` |
//! | tab | `name⇥17 17 4 9` | textless' `transcribe.py --preserve_name` |
//! | bar | `name\|17 17 4 9` | GSLM's `quantize_with_kmeans.py` |
//! | dictionary | `{'audio': 'name', 'hubert': '17 17 4 9'}` | what speech-resynthesis reads |
//!
//! GSLM cuts its names by `rstrip(".flac")`, which eats letters f, l, a and c at their ends besides, so there a name may be
//! shorter than its clip's. Plain lines have no name; their order is that of the manifest beside them.

mod dictionary;
mod line;

use std::path::Path;

use interfuse_parameters::FileError;
use interfuse_parameters::durable::write_file;

use super::sequence::UnitSequence;
use crate::error::SpeechError;

/// How lines are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Layout {
    /// Units alone.
    Plain,
    /// A name, a tab, units.
    Tab,
    /// A name, a bar, units.
    Bar,
    /// A Python dictionary with the name under `audio` and the units under `hubert`.
    Dictionary,
}

/// One line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Utterance {
    /// What the line calls its clip.
    pub name: Option<String>,
    /// Its units, of which there is at least one.
    pub sequence: UnitSequence,
}

/// The lines of a file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UnitFile {
    /// One for each line, at least one.
    pub utterances: Vec<Utterance>,
    /// How many units there are: what was given, what the dictionary beside the file says, or one more than the largest unit.
    pub alphabet: usize,
    /// Whether no unit is followed by itself, as deduplication leaves it.
    pub deduplicated: bool,
    /// How its lines are written.
    pub layout: Layout,
}

/// Reads a file of units, each below `alphabet` where that is given.
///
/// Beside `train.km` a `dict.km.txt`, as fairseq has it, is read too and must be of the same alphabet.
///
/// # Errors
/// When the file cannot be read or is empty, or a line is blank, of another layout than the first, without units, with
/// something else than whole numbers, or with a unit beyond the alphabet; the message names file and line.
pub fn read_units(path: &Path, alphabet: Option<usize>) -> Result<UnitFile, SpeechError> {
    let text = read_text(path)?;
    let known = agreed(path, alphabet)?;
    let (layout, lines) = line::lines(path, &text)?;
    let mut utterances = Vec::with_capacity(lines.len());
    let mut largest = 0;
    for (number, (name, units)) in lines.into_iter().enumerate() {
        let most = units.iter().copied().max().unwrap_or(0);
        if let Some(alphabet) = known.filter(|&alphabet| most as usize >= alphabet) {
            let expected = format!("units from 0 to {}, of an alphabet of {alphabet}", alphabet - 1);
            let found = format!("{most}: the file is of another alphabet");
            return Err(SpeechError::malformed(place(path, number), expected, found));
        }
        largest = largest.max(most);
        utterances.push(Utterance { name, sequence: UnitSequence::new(units) });
    }
    let repeats = |utterance: &Utterance| utterance.sequence.units().windows(2).any(|pair| pair[0] == pair[1]);
    let deduplicated = !utterances.iter().any(repeats);
    Ok(UnitFile { utterances, alphabet: known.unwrap_or(largest as usize + 1), deduplicated, layout })
}

impl UnitFile {
    /// The same with the durations of a second file, such as textless' `.durations`.
    ///
    /// # Errors
    /// When the file cannot be read, or has other lines, other names, other numbers of units in a line, or a duration of 0.
    pub fn with_durations(mut self, path: &Path) -> Result<Self, SpeechError> {
        let text = read_text(path)?;
        let (_, lines) = line::lines(path, &text)?;
        if lines.len() != self.utterances.len() {
            let expected = format!("{} lines, as many as there are utterances", self.utterances.len());
            return Err(SpeechError::malformed(path.display().to_string(), expected, lines.len()));
        }
        for (number, (utterance, (name, durations))) in self.utterances.iter_mut().zip(lines).enumerate() {
            if name != utterance.name {
                let expected = format!("the durations of {:?}", utterance.name.as_deref().unwrap_or("no name"));
                return Err(SpeechError::malformed(place(path, number), expected, format!("{name:?}")));
            }
            let units = utterance.sequence.units().to_vec();
            utterance.sequence = UnitSequence::with_durations(units, durations)
                .map_err(|error| SpeechError::malformed(place(path, number), "durations of its units", error))?;
        }
        Ok(self)
    }
}

/// Writes a file of units; durations are not written. The file is whole or absent.
///
/// # Errors
/// When a name is missing that the layout has, or holds what parts it from the units, an utterance is empty, or the file
/// cannot be written.
pub fn write_units(path: &Path, layout: Layout, utterances: &[Utterance]) -> Result<(), SpeechError> {
    let mut text = String::new();
    for (number, utterance) in utterances.iter().enumerate() {
        let line = line::line(layout, utterance)
            .map_err(|(expected, found)| SpeechError::malformed(place(path, number), expected, found))?;
        text.push_str(&line);
        text.push('\n');
    }
    Ok(write_file(path, text.as_bytes())?)
}

/// The alphabet that is given, the one that the dictionary beside the file has, or none.
fn agreed(path: &Path, given: Option<usize>) -> Result<Option<usize>, SpeechError> {
    let dictionary = path.extension().map(|kind| path.with_file_name(format!("dict.{}.txt", kind.to_string_lossy())));
    let Some(dictionary) = dictionary.filter(|dictionary| dictionary.is_file()) else { return Ok(given) };
    let text = read_text(&dictionary)?;
    let mut found = 0;
    for (number, line) in text.lines().enumerate() {
        let unit = line.split_whitespace().next().and_then(|word| word.parse::<u32>().ok());
        let unit =
            unit.ok_or_else(|| SpeechError::malformed(place(&dictionary, number), "a unit and a count", line))?;
        found = found.max(unit as usize + 1);
    }
    match given {
        Some(given) if given != found => {
            let expected = format!("an alphabet of {given} units");
            Err(SpeechError::malformed(dictionary.display().to_string(), expected, found))
        }
        _ => Ok(Some(found)),
    }
}

fn read_text(path: &Path) -> Result<String, SpeechError> {
    let bytes = std::fs::read(path).map_err(FileError::of("read", path))?;
    String::from_utf8(bytes)
        .map_err(|_| SpeechError::malformed(path.display().to_string(), "text in UTF-8", "other bytes"))
}

/// `/a/train.km line 3`, of the line that is counted from 0.
fn place(path: &Path, number: usize) -> String {
    format!("{} line {}", path.display(), number + 1)
}
