//! Flight of the Amazon Queen, an adventure of 1995: acted English, one mp3 a line, and the lines, in one container.
//!
//! Lines lie in three places: in dialogues (`.DOG`), in cutscenes (`.CUT`), and, as what Joe says of things, in a list. The name
//! of a clip says of which line and which part of it, see [`lines`].

mod container;
mod lines;

use std::path::PathBuf;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use self::container::Container;
use super::{Clip, Clips, Sound, not_installed};
use crate::error::SpeechError;

/// Options of `kind = "amazon-queen"`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct AmazonQueenConfig {
    /// The container `queen.1c`.
    pub path: PathBuf,
}

impl Default for AmazonQueenConfig {
    fn default() -> Self {
        Self { path: "/usr/share/scummvm/flight-of-the-amazon-queen/queen.1c".into() }
    }
}

pub(super) fn open(config: &AmazonQueenConfig) -> Result<Clips, SpeechError> {
    if !config.path.exists() {
        return Err(not_installed(config.path.clone(), "flight-of-the-amazon-queen"));
    }
    let container = Container::open(&config.path)?;
    let lines = lines::read(&container)?;
    let path = Arc::new(config.path.clone());
    let (mut clips, mut skipped) = (vec![], vec![]);
    for (name, place) in container.entries() {
        let Some(name) = name.strip_suffix(".SB") else { continue };
        match lines.get(name) {
            None => skipped.push(format!("`{name}` has no line")),
            Some(line) => clips.push(Clip {
                name: name.to_string(),
                text: line.text.clone(),
                language: Some("en".into()),
                speaker: line.by_joe.then(|| "Joe".into()),
                image: None,
                sound: Sound::Part { container: Arc::clone(&path), offset: place.offset, size: place.size },
            }),
        }
    }
    Clips::new(clips, skipped, || format!("searched `{}` for voices with lines", config.path.display()))
}
