//! The user's own clips: any number of wav, flac, ogg and mp3 files with transcripts, in one of three layouts.
//!
//! | layout | transcripts |
//! |---|---|
//! | audiofolder | `metadata.jsonl` or `metadata.csv` with `file_name` and one of `text`, `transcription`, `sentence`, `caption` |
//! | LJSpeech | `metadata.csv` without a header: `LJ001-0001\|text` or `LJ001-0001\|text\|as it is said`, clips in `wavs/` or beside it |
//! | pairs | `clip.txt` beside `clip.wav`, at any depth, and an image of what is said in `clip.png`, `.jpg`, `.jpeg` or `.webp` |
//!
//! Metadata in the folder itself decides where there is any; else pairs are looked for. A clip without a transcript, and a
//! transcript without a clip, is left out and named.

mod metadata;

use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::{Clip, Clips, files_below, name_of, read_text};
use crate::audio::{AUDIO_EXTENSIONS, is_audio};
use crate::error::SpeechError;

/// Files of metadata in the order in which they are looked for.
const METADATA: [&str; 2] = ["metadata.jsonl", "metadata.csv"];

/// Extensions of images beside clips.
const IMAGES: [&str; 4] = ["png", "jpg", "jpeg", "webp"];

/// Options of `kind = "folder"`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FolderConfig {
    /// The folder.
    pub path: PathBuf,
    /// The language of all clips, where one is to be written down.
    #[serde(default)]
    pub language: Option<String>,
}

pub(super) fn open(config: &FolderConfig) -> Result<Clips, SpeechError> {
    let root = &config.path;
    if !root.is_dir() {
        let remedy = "`path` must name a folder of clips with transcripts".into();
        return Err(SpeechError::Missing { path: root.clone(), remedy });
    }
    let mut skipped = vec![];
    let mut clips = match METADATA.iter().map(|name| root.join(name)).find(|path| path.is_file()) {
        Some(path) => described(root, &path, &mut skipped)?,
        None => pairs(root, &mut skipped)?,
    };
    clips.iter_mut().for_each(|clip| clip.language.clone_from(&config.language));
    Clips::new(clips, skipped, || {
        let kinds = AUDIO_EXTENSIONS.join(", ");
        format!(
            "searched `{}` for {} or {kinds} files with a .txt file of the same name",
            root.display(),
            METADATA.join(", ")
        )
    })
}

/// The clips of a file of metadata.
fn described(root: &Path, path: &Path, skipped: &mut Vec<String>) -> Result<Vec<Clip>, SpeechError> {
    let mut clips: Vec<Clip> = vec![];
    for row in metadata::read(path)? {
        let metadata::Row { line, file, text } = match row {
            Ok(row) => row,
            Err(reason) => {
                skipped.push(reason);
                continue;
            }
        };
        match file.candidates().into_iter().find(|file| root.join(file).is_file()) {
            Some(file) => {
                clips.push(Clip::of_file(name_of(&file), text, root.join(file)));
            }
            None => skipped.push(format!("{line}: there is no clip {file}")),
        }
    }
    clips.sort_by(|a, b| a.name.cmp(&b.name));
    // Names are unique; of two transcripts of one clip the first stays.
    clips.dedup_by(|later, first| {
        let twice = later.name == first.name;
        if twice {
            skipped.push(format!("`{}` has a second transcript", first.name));
        }
        twice
    });
    Ok(clips)
}

/// Clips with a text file beside them.
fn pairs(root: &Path, skipped: &mut Vec<String>) -> Result<Vec<Clip>, SpeechError> {
    let mut clips = vec![];
    for file in files_below(root)?.into_iter().filter(|file| is_audio(file)) {
        let (name, text) = (name_of(&file), root.join(file.with_extension("txt")));
        if !text.is_file() {
            skipped.push(format!("`{name}` has no text file beside it"));
            continue;
        }
        match read_text(&text) {
            Err(error) => skipped.push(error.to_string()),
            Ok(text) if text.trim().is_empty() => skipped.push(format!("the transcript of `{name}` is blank")),
            Ok(text) => {
                let text = text.split_whitespace().collect::<Vec<_>>().join(" ");
                let image = IMAGES.iter().map(|kind| root.join(file.with_extension(kind))).find(|path| path.is_file());
                clips.push(Clip { image, ..Clip::of_file(name, text, root.join(file)) });
            }
        }
    }
    Ok(clips)
}
