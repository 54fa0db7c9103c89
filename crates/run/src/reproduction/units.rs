//! Units of speech that the models of a plan have in common: learned and written down once, before the first of them.

use std::path::{Path, PathBuf};

use interfuse_speech::SpeechError;
use interfuse_speech::clips::{Clip, ClipSource};
use interfuse_speech::units::{Layout, UnitCodec, UnitConfig, UnitTraining, Utterance, train, write_units};
use rayon::prelude::*;

use crate::error::Result;
use crate::observer::RunObserver;

/// Where clips come from, and where their units go.
#[derive(Debug, Clone, PartialEq)]
pub struct UnitsPlan {
    /// The clips.
    pub clips: ClipSource,
    /// The fraction of their texts that the codec does not hear.
    pub held_out: f64,
    /// What the units stand for.
    pub config: UnitConfig,
    /// The codec's file.
    pub codec: PathBuf,
    /// The units of all clips.
    pub file: PathBuf,
}

impl UnitsPlan {
    /// Units of the acted speech that reproductions learn, below a folder. Its clips are sampled at 11,025 Hz, so that nothing
    /// lies above the first 5.5 kHz, and have dozens of speakers.
    pub(super) fn below(folder: &Path, clips: ClipSource, held_out: f64) -> Self {
        let config = UnitConfig { sample_rate: 10_000, subtract_mean: true, ..UnitConfig::default() };
        Self { clips, held_out, config, codec: folder.join("units.safetensors"), file: folder.join("units.txt") }
    }

    /// Learns the codec and writes the units of all clips, unless both are there.
    ///
    /// # Errors
    /// When the clips are not there, or a file cannot be written.
    pub(super) fn make(&self, observer: &mut dyn RunObserver) -> Result<()> {
        if self.codec.is_file() && self.file.is_file() {
            return Ok(());
        }
        observer.note(&format!("learning units of speech: {}", self.codec.display()));
        let all = self.clips.open()?;
        let (heard, _) = all.clone().parted(self.held_out);
        let (codec, _) = train(&self.config, &UnitTraining::default(), &heard, &mut |done, all| {
            observer.progress("clips heard", done, all);
        })?;
        if let Some(folder) = self.codec.parent() {
            interfuse_parameters::durable::create_folder(folder)?;
        }
        codec.save(&self.codec)?;
        let encode = |clip: &Clip| utterance(&codec, clip).ok();
        let utterances: Vec<Utterance> = all.clips().par_iter().filter_map(encode).collect();
        observer.note(&format!(
            "units of {} of {} clips: {}",
            utterances.len(),
            all.clips().len(),
            self.file.display()
        ));
        Ok(write_units(&self.file, Layout::Tab, &utterances)?)
    }
}

fn utterance(codec: &UnitCodec, clip: &Clip) -> Result<Utterance, SpeechError> {
    Ok(Utterance { name: Some(clip.name.clone()), sequence: codec.encode(clip.audio()?)? })
}
