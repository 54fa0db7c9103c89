//! What is said, as units: clips that are encoded when a run begins, or files of units that were made before.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use interfuse_speech::clips::{Clip, Clips};
use interfuse_speech::units::{UnitCodec, UnitFile, UnitSequence, read_units};
use rayon::prelude::*;

use super::config::SpeechConfig;
use crate::error::DataError;
use crate::sources::held_out::held_out;
use crate::sources::parted;

/// Something that was said.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Utterance {
    /// Unique among the utterances of a collection.
    pub name: String,
    /// What is said; none where units came without transcripts.
    pub text: Option<String>,
    /// Units, deduplicated where that was asked for, at least one.
    pub units: Vec<u32>,
    /// An image of what is said.
    pub image: Option<PathBuf>,
}

/// A collection of speech, opened once.
#[derive(Clone)]
pub struct SpeechSet {
    /// What the model learns from, at least one.
    pub train: Arc<[Utterance]>,
    /// What it is measured on; where nothing could be held out, the very utterances of `train`.
    pub held_out: Arc<[Utterance]>,
    /// How many units there are.
    pub alphabet: usize,
    /// What the units were made by, where that is known.
    pub codec: Option<Arc<UnitCodec>>,
    /// One sentence for each clip that was left out.
    pub skipped: Vec<String>,
    /// How many utterances were cut after `max_units`.
    pub cut: usize,
}

impl SpeechSet {
    /// Finds clips, and encodes them on all cores or reads their units.
    ///
    /// # Errors
    /// When files are missing or malformed, the codec and the units do not fit together, or nothing is left.
    pub fn open(config: &SpeechConfig) -> Result<Self, DataError> {
        let codec = config.codec_file().map(|path| open_codec(&path)).transpose()?.map(Arc::new);
        let known = codec.as_ref().map(|codec| codec.config().units);
        let (parts, alphabet, skipped) = match (&config.clips, &codec, &config.unit_file) {
            (Some(source), Some(codec), None) => {
                let clips = source.open()?;
                let mut skipped = clips.skipped().to_vec();
                let (train, held_out) = clips.parted(config.held_out);
                let [train, held_out] = [train, held_out].map(|clips| encoded(&clips, codec, &mut skipped));
                ((train, held_out), codec.config().units, skipped)
            }
            (Some(source), _, Some(path)) => {
                let file = read_units(path, known)?;
                let alphabet = file.alphabet;
                let (train, held_out) = source.open()?.parted(config.held_out);
                let units = Brought::new(path, file, &train, &held_out)?;
                let mut skipped = train.skipped().to_vec();
                let [train, held_out] = [train, held_out].map(|clips| units.of(&clips, &mut skipped));
                ((train, held_out), alphabet, skipped)
            }
            (None, _, Some(path)) => {
                let file = read_units(path, known)?;
                (without_transcripts(&file, config.held_out), file.alphabet, vec![])
            }
            _ => return Err(DataError::config("data.mixture", "clips with units", "neither")),
        };
        let mut cut = 0;
        let (train, held_out) = parts;
        let [train, held_out] = [train, held_out].map(|all| finished(all, config, &mut cut));
        if train.is_empty() {
            let first =
                skipped.first().map_or(String::new(), |reason| format!("; the first that was left out: {reason}"));
            return Err(DataError::Empty { searched: format!("no utterance for training{first}") });
        }
        let train: Arc<[Utterance]> = train.into();
        let held_out = if held_out.is_empty() { Arc::clone(&train) } else { held_out.into() };
        Ok(Self { train, held_out, alphabet, codec, skipped, cut })
    }

    /// Whether nothing was held out.
    pub fn held_out_is_train(&self) -> bool {
        Arc::ptr_eq(&self.train, &self.held_out)
    }
}

/// Opens a codec, or says how one is made.
fn open_codec(path: &Path) -> Result<UnitCodec, DataError> {
    if !path.exists() {
        let remedy = "make it by `interfuse speech units train SOURCE --out FILE`".into();
        return Err(DataError::Missing { path: path.to_path_buf(), remedy });
    }
    Ok(UnitCodec::open(path)?)
}

fn utterance(clip: &Clip, sequence: UnitSequence) -> (Utterance, UnitSequence) {
    let (name, text, image) = (clip.name.clone(), Some(clip.text.clone()), clip.image.clone());
    (Utterance { name, text, units: vec![], image }, sequence)
}

/// Clips as a codec encodes them; those that cannot be read or are too short are left out.
fn encoded(clips: &Clips, codec: &UnitCodec, skipped: &mut Vec<String>) -> Vec<(Utterance, UnitSequence)> {
    let encode = |clip: &Clip| {
        Ok::<_, String>(utterance(clip, codec.encode(clip.audio().map_err(of(clip))?).map_err(of(clip))?))
    };
    let all: Vec<_> = clips.clips().par_iter().map(encode).collect();
    all.into_iter().filter_map(|each| each.map_err(|reason| skipped.push(reason)).ok()).collect()
}

fn of(clip: &Clip) -> impl Fn(interfuse_speech::SpeechError) -> String {
    let name = clip.name.clone();
    move |error| format!("{name}: {error}")
}

/// Units from a file, by the name of their clip, or in the order of all clips where the file has no names.
struct Brought {
    by_name: HashMap<String, UnitSequence>,
}

impl Brought {
    fn new(path: &Path, file: UnitFile, train: &Clips, held_out: &Clips) -> Result<Self, DataError> {
        let mut names: Vec<&str> =
            [train, held_out].iter().flat_map(|clips| clips.clips()).map(|clip| clip.name.as_str()).collect();
        names.sort_unstable();
        let is_named = file.utterances.iter().all(|utterance| utterance.name.is_some());
        if !is_named && file.utterances.len() != names.len() {
            let expected = format!("a name in every line, or {} lines, one for each clip", names.len());
            return Err(DataError::malformed(path.display().to_string(), expected, file.utterances.len().to_string()));
        }
        let named = file.utterances.into_iter().enumerate();
        let by_name: HashMap<String, UnitSequence> = named
            .map(|(place, utterance)| (utterance.name.unwrap_or_else(|| names[place].to_string()), utterance.sequence))
            .collect();
        match names.iter().any(|name| by_name.contains_key(*name) || by_name.contains_key(stem(name))) {
            true => Ok(Self { by_name }),
            false => {
                let expected = format!("lines named after clips, such as {:?}", names.first().unwrap_or(&""));
                let found = by_name.keys().min().cloned().unwrap_or_default();
                Err(DataError::malformed(
                    path.display().to_string(),
                    expected,
                    format!("{found:?} and no name of a clip"),
                ))
            }
        }
    }

    fn of(&self, clips: &Clips, skipped: &mut Vec<String>) -> Vec<(Utterance, UnitSequence)> {
        let find = |clip: &Clip| {
            let units = self.by_name.get(&clip.name).or_else(|| self.by_name.get(stem(&clip.name)));
            match units {
                Some(units) => Some(utterance(clip, units.clone())),
                None => {
                    skipped.push(format!("{}: no line of units", clip.name));
                    None
                }
            }
        };
        clips.clips().iter().filter_map(find).collect()
    }
}

/// A name without folders and without what follows the last dot, as tools that make units often write it.
fn stem(name: &str) -> &str {
    let base = name.rsplit('/').next().unwrap_or(name);
    base.rsplit_once('.').map_or(base, |(stem, _)| stem)
}

type Pairs = Vec<(Utterance, UnitSequence)>;

/// Units of which nothing else is known.
fn without_transcripts(file: &UnitFile, fraction: f64) -> (Pairs, Pairs) {
    let name = |place: usize, name: &Option<String>| name.clone().unwrap_or_else(|| format!("line {}", place + 1));
    let all: Pairs = file
        .utterances
        .iter()
        .enumerate()
        .map(|(place, utterance)| {
            let named = Utterance { name: name(place, &utterance.name), text: None, units: vec![], image: None };
            (named, utterance.sequence.clone())
        })
        .collect();
    let marks = held_out(all.iter().map(|(utterance, _)| utterance.name.as_str()), fraction);
    let (train, held) = parted(all, &marks);
    (train, held.unwrap_or_default())
}

/// Units as a model reads them: deduplicated and cut as the settings say.
fn finished(all: Pairs, config: &SpeechConfig, cut: &mut usize) -> Vec<Utterance> {
    let finish = |(utterance, sequence): (Utterance, UnitSequence)| {
        let mut units = match config.deduplicate {
            true => sequence.deduplicated().units().to_vec(),
            false => sequence.repeated().collect(),
        };
        *cut += usize::from(units.len() > config.max_units);
        units.truncate(config.max_units);
        Utterance { units, ..utterance }
    };
    all.into_iter().map(finish).filter(|utterance| !utterance.units.is_empty()).collect()
}
