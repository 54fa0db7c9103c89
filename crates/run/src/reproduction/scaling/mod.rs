//! Scaling laws of mixed-modal models (Aghajanyan et al., 2301.03728): modalities by themselves and pairs of them, at five sizes and
//! three budgets of tokens.
//!
//! Here lies what the sweeps need: their configurations, one tokenizer for all runs of a sweep, units of speech, and an autoencoder.

use std::path::{Path, PathBuf};
use std::sync::atomic::AtomicBool;

use interfuse_data::{Collections, DataConfig, Tokenizer};
use interfuse_parameters::durable::{create_folder, write_file};
use interfuse_speech::clips::{AmazonQueenConfig, ClipSource};
use serde::Deserialize;

use super::{UnitsPlan, codes};
use crate::error::{Context as _, Result};
use crate::observer::RunObserver;

/// Ids of the tokenizer, units and codes not included.
const VOCABULARY: usize = 512;

/// Text by itself, which is of both sweeps.
const TEXT: (&str, &str) = ("text.toml", include_str!("text.toml"));

/// α and β of single modalities as 2301.03728 fits them, of those that are here.
pub const PAPER: [(&str, f64, f64); 5] = [
    ("code", 0.37, 0.32),
    ("image", 0.13, 0.13),
    ("image-text", 0.12, 0.11),
    ("speech", 0.31, 0.24),
    ("text", 0.18, 0.22),
];

/// Which modalities a sweep is of, besides text.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Modalities {
    /// Source code and speech by themselves, and each with text.
    CodeAndSpeech,
    /// Codes of images by themselves, with captions in one document, and with text.
    Images,
}

impl Modalities {
    /// The pairs whose law is fitted, as tables name them, and their groups.
    pub fn pairs(self) -> &'static [(&'static str, &'static str)] {
        match self {
            Self::CodeAndSpeech => &[("speech|text", "speech-text"), ("code|text", "code-text")],
            Self::Images => &[("image|text", "image-and-text")],
        }
    }

    /// The modalities of no pair, whose law is fitted by itself.
    pub fn singles(self) -> &'static [&'static str] {
        match self {
            Self::CodeAndSpeech => &[],
            Self::Images => &["image-text"],
        }
    }

    /// The configurations of the groups, in which `FOLDER` stands for where they go.
    fn groups(self) -> Vec<(&'static str, &'static str)> {
        match self {
            Self::CodeAndSpeech => vec![
                TEXT,
                ("code.toml", include_str!("code.toml")),
                ("speech.toml", include_str!("speech.toml")),
                ("speech-text.toml", include_str!("speech-text.toml")),
                ("code-text.toml", include_str!("code-text.toml")),
            ],
            Self::Images => vec![
                TEXT,
                ("image.toml", include_str!("image.toml")),
                ("image-text.toml", include_str!("image-text.toml")),
                ("image-and-books.toml", include_str!("image-and-books.toml")),
            ],
        }
    }

    fn sweep(self) -> &'static str {
        match self {
            Self::CodeAndSpeech => include_str!("sweep.toml"),
            Self::Images => include_str!("images.toml"),
        }
    }

    /// The configuration on whose texts and captions the tokenizer is trained.
    fn of_tokenizer(self) -> &'static str {
        match self {
            Self::CodeAndSpeech => include_str!("code-text.toml"),
            Self::Images => include_str!("image-and-books.toml"),
        }
    }
}

/// Puts everything that a sweep needs into a folder, as far as it is not there, and says where the sweep lies.
///
/// # Errors
/// When data is not there, which says what to install, or a file cannot be written.
pub fn prepare(folder: &Path, modalities: Modalities, observer: &mut dyn RunObserver) -> Result<PathBuf> {
    create_folder(folder)?;
    let folder = std::path::absolute(folder).with_context(|| format!("cannot tell where {} lies", folder.display()))?;
    match modalities {
        Modalities::CodeAndSpeech => {
            let clips = ClipSource::AmazonQueen(AmazonQueenConfig::default());
            UnitsPlan::below(&folder, clips, 0.05).make(observer)?;
        }
        Modalities::Images => {
            // Whoever ends the program here goes on from the last checkpoint.
            codes::make(&codes::settings(&folder.join("autoencoder"))?, observer, &AtomicBool::new(false))?;
        }
    }
    let place = folder.display().to_string().replace('\\', "/");
    for (name, text) in modalities.groups().into_iter().chain([("sweep.toml", modalities.sweep())]) {
        write_file(&folder.join(name), text.replace("FOLDER", &place).as_bytes())?;
    }
    let tokenizer = folder.join("tokenizer.json");
    if !tokenizer.is_file() {
        observer.note(&format!("training a tokenizer: {}", tokenizer.display()));
        let data = Collections::open(&data_of(modalities.of_tokenizer())?)?;
        write_file(&tokenizer, &Tokenizer::train(data.texts(), VOCABULARY)?.to_bytes()?)?;
    }
    Ok(folder.join("sweep.toml"))
}

/// The `[data]` table of a configuration.
fn data_of(text: &str) -> Result<DataConfig> {
    #[derive(Deserialize)]
    struct WithData {
        data: DataConfig,
    }
    Ok(toml::from_str::<WithData>(text).context("the configuration of the tokenizer's texts")?.data)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::settings::Settings;

    #[test]
    fn every_configuration_of_the_sweeps_fits_together() {
        for modalities in [Modalities::CodeAndSpeech, Modalities::Images] {
            for (name, text) in modalities.groups() {
                let settings = Settings::parse(text, Path::new(name), &[]).unwrap();
                assert_eq!(settings.data.has_images(), name.starts_with("image"), "{name}");
            }
        }
        for (name, text) in Modalities::CodeAndSpeech.groups() {
            let settings = Settings::parse(text, Path::new(name), &[]).unwrap();
            assert_eq!(settings.data.mixture.len(), name.split('-').count(), "{name}");
        }
    }
}
