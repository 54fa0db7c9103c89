//! The prompts of Asterisk, a telephone exchange: one voice a language at 8 kHz, with a list of what is said.
//!
//! A line of `core-sounds-en.txt.gz` is `digits/1: One.`; `;` begins a comment. What stands in brackets is a sound or a sign:
//! a clip with nothing else says nothing, elsewhere the words in brackets are said and the signs are not.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::Read as _;
use std::path::{Path, PathBuf};

use flate2::read::MultiGzDecoder;
use interfuse_parameters::FileError;
use serde::{Deserialize, Serialize};

use super::{Clip, Clips, files_below, name_of, not_installed};
use crate::audio::is_audio;
use crate::error::SpeechError;

/// Languages with the folders of their voices.
const VOICES: [(&str, &str); 5] = [
    ("en", "en_US_f_Allison"),
    ("es", "es_MX_f_Allison"),
    ("fr", "fr_CA_f_June"),
    ("it", "it_IT_m_Carlo"),
    ("ru", "ru_RU_f_IvrvoiceRU"),
];

/// Options of `kind = "telephone-prompts"`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct TelephonePromptsConfig {
    /// `en`, `es`, `fr`, `it`, `ru`.
    pub languages: Vec<String>,
    /// The folder that holds one folder a voice.
    pub sounds: PathBuf,
    /// The folder that holds `asterisk-core-sounds-en/core-sounds-en.txt.gz`.
    pub transcripts: PathBuf,
}

impl Default for TelephonePromptsConfig {
    fn default() -> Self {
        Self {
            languages: vec!["en".into()],
            sounds: "/usr/share/asterisk/sounds".into(),
            transcripts: "/usr/share/doc".into(),
        }
    }
}

pub(super) fn open(config: &TelephonePromptsConfig) -> Result<Clips, SpeechError> {
    let (mut clips, mut skipped) = (vec![], vec![]);
    for language in &config.languages {
        let voice = VOICES.iter().find(|(known, _)| known == language).map(|(_, voice)| *voice);
        let known = || VOICES.map(|(language, _)| language).join(", ");
        let voice = voice.ok_or_else(|| SpeechError::setting("languages", known(), language))?;
        let package = format!("asterisk-core-sounds-{language}");
        let list = config.transcripts.join(&package).join(format!("core-sounds-{language}.txt.gz"));
        let sounds = config.sounds.join(voice);
        if let Some(path) = [&sounds, &list].into_iter().find(|path| !path.exists()) {
            return Err(not_installed(path.clone(), &format!("{package} {package}-wav")));
        }
        let transcripts = transcripts(&list)?;
        for file in files_below(&sounds)?.into_iter().filter(|file| is_audio(file)) {
            let prompt = name_of(&file.with_extension(""));
            match transcripts.get(&prompt).map(|text| spoken(text)) {
                None => skipped.push(format!("`{voice}/{prompt}` has no line in `{}`", list.display())),
                Some(text) if text.is_empty() => skipped.push(format!("`{voice}/{prompt}` is no speech")),
                Some(text) => clips.push(Clip {
                    language: Some(language.clone()),
                    speaker: Some(voice.into()),
                    ..Clip::of_file(format!("{voice}/{prompt}"), text, sounds.join(file))
                }),
            }
        }
    }
    Clips::new(clips, skipped, || format!("searched `{}` for prompts", config.sounds.display()))
}

fn transcripts(path: &Path) -> Result<BTreeMap<String, String>, SpeechError> {
    let file = File::open(path).map_err(FileError::of("read", path))?;
    let mut text = String::new();
    MultiGzDecoder::new(file)
        .read_to_string(&mut text)
        .map_err(|error| SpeechError::malformed(path.display().to_string(), "text in UTF-8 inside gzip", error))?;
    let mut transcripts = BTreeMap::new();
    for (number, line) in text.lines().enumerate() {
        let line = line.trim_start_matches('\u{feff}').trim();
        if line.is_empty() || line.starts_with(';') {
            continue;
        }
        let (name, text) = line.split_once(':').ok_or_else(|| {
            let name = format!("{} line {}", path.display(), number + 1);
            SpeechError::malformed(name, "`name: text`", line)
        })?;
        transcripts.insert(name.trim().to_string(), text.trim().to_string());
    }
    Ok(transcripts)
}

/// What is said of a line: nothing of what is whole in brackets, and neither brackets nor the signs in them.
fn spoken(text: &str) -> String {
    let outside: String = parts(text).filter(|(_, inside)| !inside).map(|(part, _)| part).collect();
    if !outside.contains(char::is_alphanumeric) {
        return String::new();
    }
    let said = parts(text).filter(|(part, inside)| !inside || part.contains(char::is_alphanumeric));
    let said: String = said.map(|(part, _)| part).collect();
    said.split_whitespace().collect::<Vec<_>>().join(" ")
}

/// The parts outside and inside of brackets, and whether they are inside.
fn parts(text: &str) -> impl Iterator<Item = (&str, bool)> {
    text.split('[').enumerate().flat_map(|(number, part)| match (number, part.split_once(']')) {
        (0, _) => [(part, false), ("", false)],
        (_, Some((inside, outside))) => [(inside, true), (outside, false)],
        (_, None) => [(part, true), ("", false)],
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn brackets_hold_sounds_and_signs() {
        assert_eq!(spoken("Your call,  please."), "Your call, please.");
        assert_eq!(spoken("at [@]"), "at");
        assert_eq!(spoken("[!] punto esclamativo"), "punto esclamativo");
        assert_eq!(spoken("Spiacente, [quello] non è."), "Spiacente, quello non è.");
        for text in ["[this is a tone]", "[ tono de error ]", "[tone] ...", "", "[tone"] {
            assert_eq!(spoken(text), "", "{text}");
        }
    }
}
