//! The stamps of Tux Paint, a drawing program for children: of one thing an image, a caption in dozens of languages, and in
//! some the caption spoken by a volunteer.
//!
//! Beside `apple.png` lie `apple.txt`, whose first line is the English caption and whose others are `fr.utf8=Une pomme.`,
//! and the clips `apple_desc.ogg` (English) and `apple_desc_fr.ogg`. `apple.ogg` is a sound effect. In many French clips the
//! left channel is silent.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::{Clip, Clips, files_below, name_of, not_installed, read_text};
use crate::audio::is_audio;
use crate::error::SpeechError;

/// The language of captions without one.
const ENGLISH: &str = "en";
/// Images by preference; the first that is there.
const IMAGES: [&str; 2] = ["png", "svg"];

/// Options of `kind = "stamps"`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct StampsConfig {
    /// Languages as the files call them, such as `en`, `fr`, `pt_BR`; all that are spoken where there is none.
    pub languages: Vec<String>,
    /// The folder of the stamps.
    pub folder: PathBuf,
}

impl Default for StampsConfig {
    fn default() -> Self {
        Self { languages: vec![], folder: "/usr/share/tuxpaint/stamps".into() }
    }
}

pub(super) fn open(config: &StampsConfig) -> Result<Clips, SpeechError> {
    let root = &config.folder;
    if !root.is_dir() {
        return Err(not_installed(root.clone(), "tuxpaint-stamps-default"));
    }
    let files = files_below(root)?;
    let there: BTreeSet<&Path> = files.iter().map(PathBuf::as_path).collect();
    let mut captions: BTreeMap<PathBuf, BTreeMap<String, String>> = BTreeMap::new();
    let (mut clips, mut skipped, mut spoken) = (vec![], vec![], BTreeSet::new());
    for file in files.iter().filter(|file| is_audio(file)) {
        let Some((stamp, language)) = described(file) else { continue };
        spoken.insert(language.clone());
        if !config.languages.is_empty() && !config.languages.contains(&language) {
            continue;
        }
        let text = stamp_file(&stamp, "txt");
        if !captions.contains_key(&text) && there.contains(text.as_path()) {
            captions.insert(text.clone(), captions_of(&read_text(&root.join(&text))?));
        }
        match captions.get(&text).and_then(|captions| captions.get(&language)) {
            None => skipped.push(format!("`{}` has no caption in {language}", name_of(file))),
            Some(caption) => {
                let image =
                    IMAGES.map(|kind| stamp_file(&stamp, kind)).into_iter().find(|path| there.contains(path.as_path()));
                clips.push(Clip {
                    language: Some(language),
                    image: image.map(|image| root.join(image)),
                    ..Clip::of_file(name_of(file), caption.clone(), root.join(file))
                });
            }
        }
    }
    if let Some(unknown) = config.languages.iter().find(|language| !spoken.contains(*language)) {
        let expected = format!("languages that are spoken: {}", spoken.into_iter().collect::<Vec<_>>().join(", "));
        return Err(SpeechError::setting("languages", expected, unknown));
    }
    Clips::new(clips, skipped, || format!("searched `{}` for spoken captions", root.display()))
}

/// `food/apple_desc_fr.ogg` → `food/apple` and `fr`; nothing for sound effects.
fn described(file: &Path) -> Option<(PathBuf, String)> {
    let name = file.file_name()?.to_str()?;
    let (stamp, rest) = name.split_once("_desc")?;
    // One name of the package ends in `.ogg.ogg`.
    let language = rest.split('.').next()?;
    let language = if language.is_empty() { ENGLISH } else { language.strip_prefix('_')? };
    Some((file.with_file_name(stamp), language.to_string()))
}

/// The file of a stamp with an extension; a stamp's name may hold dots, so `with_extension` would not do.
fn stamp_file(stamp: &Path, extension: &str) -> PathBuf {
    let mut name = stamp.as_os_str().to_owned();
    name.push(".");
    name.push(extension);
    PathBuf::from(name)
}

/// The captions of a text file by language.
fn captions_of(text: &str) -> BTreeMap<String, String> {
    let mut captions = BTreeMap::new();
    for (number, line) in text.lines().enumerate() {
        let line = line.trim();
        let (language, caption) = match line.split_once(".utf8=") {
            Some((language, caption)) => (language, caption.trim()),
            None if number == 0 => (ENGLISH, line),
            None => continue,
        };
        if !caption.is_empty() {
            captions.insert(language.to_string(), caption.to_string());
        }
    }
    captions
}
