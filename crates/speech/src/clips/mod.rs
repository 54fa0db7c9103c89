//! Clips with transcripts, wherever they lie.
//!
//! A source is a folder of the user's own or the files of a Debian package, which are read where the package puts them and
//! never copied. Opening a source reads names and transcripts; a clip is decoded when it is asked for.
//!
//! | kind | what | clips |
//! |---|---|---|
//! | `folder` | clips beside text files, with metadata, or as LJSpeech has them | any |
//! | `telephone-prompts` | one voice a language, 8 kHz | 563 in English |
//! | `stamps` | image, caption and speech of one thing, eleven languages | 7,305 |
//! | `amazon-queen` | acted English of dozens of voices | 6,359 |

mod amazon_queen;
mod folder;
mod split;
mod stamps;
mod telephone_prompts;

use std::collections::BTreeSet;
use std::fs::File;
use std::io::{Read as _, Seek as _, SeekFrom};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use interfuse_parameters::FileError;
use serde::{Deserialize, Serialize};

pub use amazon_queen::AmazonQueenConfig;
pub use folder::FolderConfig;
pub use split::normalized;
pub use stamps::StampsConfig;
pub use telephone_prompts::TelephonePromptsConfig;

use crate::audio::{self, Audio};
use crate::error::SpeechError;
use crate::units::Recordings;

/// Where clips come from, and the settings of that kind.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "kebab-case")]
pub enum ClipSource {
    /// The user's own clips.
    Folder(FolderConfig),
    /// The prompts of a telephone exchange.
    TelephonePrompts(TelephonePromptsConfig),
    /// The stamps of a drawing program for children.
    Stamps(StampsConfig),
    /// The voices of Flight of the Amazon Queen.
    AmazonQueen(AmazonQueenConfig),
}

impl ClipSource {
    /// Finds the clips and their transcripts; none is decoded yet.
    ///
    /// # Errors
    /// When files are missing, which says what to install; when a transcript or container is not as it should be; or when
    /// no clip has a transcript.
    pub fn open(&self) -> Result<Clips, SpeechError> {
        match self {
            Self::Folder(config) => folder::open(config),
            Self::TelephonePrompts(config) => telephone_prompts::open(config),
            Self::Stamps(config) => stamps::open(config),
            Self::AmazonQueen(config) => amazon_queen::open(config),
        }
    }
}

/// One clip, not yet decoded.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Clip {
    /// Unique among the clips of a source, and the same on any machine.
    pub name: String,
    /// What is said, not blank.
    pub text: String,
    /// As the source calls it: `en`, `pt_BR`.
    pub language: Option<String>,
    /// Who speaks, where the source says so.
    pub speaker: Option<String>,
    /// An image of what is said.
    pub image: Option<PathBuf>,
    sound: Sound,
}

/// Where the bytes of a clip lie.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Sound {
    File(PathBuf),
    Part { container: Arc<PathBuf>, offset: u64, size: usize },
}

impl Clip {
    /// A clip that is a file; nothing is known of it but its text.
    fn of_file(name: String, text: String, path: PathBuf) -> Self {
        Self { name, text, language: None, speaker: None, image: None, sound: Sound::File(path) }
    }

    /// Decodes the clip.
    ///
    /// # Errors
    /// When its file cannot be read or decoded; the message names it.
    pub fn audio(&self) -> Result<Audio, SpeechError> {
        match &self.sound {
            Sound::File(path) => audio::read(path),
            Sound::Part { container, offset, size } => {
                let mut bytes = vec![0; *size];
                let mut read = || {
                    let mut file = File::open(container.as_path())?;
                    file.seek(SeekFrom::Start(*offset))?;
                    file.read_exact(&mut bytes)
                };
                read().map_err(FileError::of("read", container))?;
                audio::decode(bytes, &format!("{}: {}", container.display(), self.name))
            }
        }
    }
}

/// The clips of a source in the order of their names.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Clips {
    clips: Vec<Clip>,
    skipped: Vec<String>,
}

impl Clips {
    /// Clips in any order, and a sentence for each that was left out.
    ///
    /// # Errors
    /// When there is none; `searched` says where was looked, and for what.
    fn new(mut clips: Vec<Clip>, skipped: Vec<String>, searched: impl FnOnce() -> String) -> Result<Self, SpeechError> {
        if clips.is_empty() {
            let first = skipped.first().map(|reason| format!("; {} left out, the first: {reason}", skipped.len()));
            return Err(SpeechError::Empty { searched: searched() + &first.unwrap_or_default() });
        }
        clips.sort_by(|a, b| a.name.cmp(&b.name));
        Ok(Self { clips, skipped })
    }

    /// The clips.
    pub fn clips(&self) -> &[Clip] {
        &self.clips
    }

    /// One sentence for each clip or transcript that was left out, because it has no counterpart or says nothing.
    pub fn skipped(&self) -> &[String] {
        &self.skipped
    }

    /// How many different things are said, but for case and punctuation.
    pub fn unique_texts(&self) -> usize {
        self.clips.iter().map(|clip| normalized(&clip.text)).collect::<BTreeSet<_>>().len()
    }

    /// Clips for training, and those that are held out: about `fraction`, from 0 to below 1, of the different texts.
    ///
    /// The choice hangs on the text alone, so clips of one text fall on one side, in any source and on any machine. Where
    /// there are two texts and the fraction is above 0, neither side is empty.
    pub fn parted(self, fraction: f64) -> (Self, Self) {
        let marks = split::held_out(self.clips.iter().map(|clip| clip.text.as_str()), fraction);
        let (mut train, mut held_out) = (vec![], vec![]);
        for (clip, mark) in self.clips.into_iter().zip(marks) {
            if mark { held_out.push(clip) } else { train.push(clip) }
        }
        (Self { clips: train, skipped: self.skipped }, Self { clips: held_out, skipped: vec![] })
    }
}

impl Recordings for Clips {
    fn len(&self) -> usize {
        self.clips.len()
    }

    fn name(&self, index: usize) -> String {
        format!("`{}`", self.clips[index].name)
    }

    fn audio(&self, index: usize) -> Result<Audio, SpeechError> {
        self.clips[index].audio()
    }
}

/// Files of a Debian package that are not there.
fn not_installed(path: PathBuf, packages: &str) -> SpeechError {
    SpeechError::Missing { path, remedy: format!("install it by `apt-get install {packages}`, or name its place") }
}

/// The whole text of a file, which must be UTF-8.
fn read_text(path: &Path) -> Result<String, SpeechError> {
    let bytes = std::fs::read(path).map_err(FileError::of("read", path))?;
    let text = String::from_utf8(bytes).map_err(|error| {
        let place = error.utf8_error().valid_up_to();
        let found = format!("the byte 0x{:02x} at place {}", error.as_bytes()[place], place + 1);
        SpeechError::malformed(path.display().to_string(), "text in UTF-8", found)
    })?;
    Ok(text.strip_prefix('\u{feff}').map(String::from).unwrap_or(text))
}

/// The files below a folder as paths below it, in the order of their names. Hidden entries and links to folders, which might
/// lead in a circle, are passed over.
fn files_below(root: &Path) -> Result<Vec<PathBuf>, SpeechError> {
    let mut files = vec![];
    let mut folders = vec![PathBuf::new()];
    while let Some(folder) = folders.pop() {
        let path = root.join(&folder);
        for entry in std::fs::read_dir(&path).map_err(FileError::of("read", &path))? {
            let entry = entry.map_err(FileError::of("read", &path))?;
            let kind = entry.file_type().map_err(FileError::of("read", &entry.path()))?;
            let name = entry.file_name();
            if name.as_encoded_bytes().starts_with(b".") {
                continue;
            }
            match kind.is_dir() {
                true => folders.push(folder.join(name)),
                false => files.push(folder.join(name)),
            }
        }
    }
    files.sort();
    Ok(files)
}

/// A path below a folder as a name that is the same on any system: its parts with slashes between them.
fn name_of(path: &Path) -> String {
    path.iter().map(|part| part.to_string_lossy()).collect::<Vec<_>>().join("/")
}
