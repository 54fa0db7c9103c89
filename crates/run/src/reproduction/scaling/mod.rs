//! Scaling laws of mixed-modal models (Aghajanyan et al., 2301.03728): three modalities by themselves and two pairs of them, at
//! five sizes and three budgets of tokens.
//!
//! Here lies what the sweep needs: its configurations, one tokenizer for all, and units of speech.

use std::path::{Path, PathBuf};

use interfuse_data::{Collections, DataConfig, Tokenizer};
use interfuse_parameters::durable::{create_folder, write_file};
use interfuse_speech::clips::{AmazonQueenConfig, ClipSource};
use serde::Deserialize;

use super::UnitsPlan;
use crate::error::{Context as _, Result};
use crate::observer::RunObserver;

/// Ids of the tokenizer, units not included.
const VOCABULARY: usize = 512;

/// The files of the sweep, in which `FOLDER` stands for where they go.
const FILES: [(&str, &str); 6] = [
    ("sweep.toml", include_str!("sweep.toml")),
    ("text.toml", include_str!("text.toml")),
    ("code.toml", include_str!("code.toml")),
    ("speech.toml", include_str!("speech.toml")),
    ("speech-text.toml", include_str!("speech-text.toml")),
    ("code-text.toml", include_str!("code-text.toml")),
];

/// The pairs whose law is fitted, as tables name them.
pub const PAIRS: [&str; 2] = ["speech|text", "code|text"];

/// α and β of single modalities as 2301.03728 fits them, of those that are here.
pub const PAPER: [(&str, f64, f64); 3] = [("code", 0.37, 0.32), ("speech", 0.31, 0.24), ("text", 0.18, 0.22)];

/// Puts everything that the sweep needs into a folder, as far as it is not there, and says where the sweep lies.
///
/// # Errors
/// When data is not there, which says what to install, or a file cannot be written.
pub fn prepare(folder: &Path, observer: &mut dyn RunObserver) -> Result<PathBuf> {
    create_folder(folder)?;
    let folder = std::path::absolute(folder).with_context(|| format!("cannot tell where {} lies", folder.display()))?;
    let clips = ClipSource::AmazonQueen(AmazonQueenConfig::default());
    UnitsPlan::below(&folder, clips, 0.05).make(observer)?;
    let place = folder.display().to_string().replace('\\', "/");
    for (name, text) in FILES {
        write_file(&folder.join(name), text.replace("FOLDER", &place).as_bytes())?;
    }
    let tokenizer = folder.join("tokenizer.json");
    if !tokenizer.is_file() {
        observer.note(&format!("training a tokenizer: {}", tokenizer.display()));
        let data = Collections::open(&data_of(include_str!("code-text.toml"))?)?;
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
    fn every_configuration_of_the_sweep_fits_together() {
        for (name, text) in FILES.iter().skip(1) {
            let settings = Settings::parse(text, Path::new(name), &[]).unwrap();
            assert!(!settings.data.has_images() && settings.data.mixture.len() == name.split('-').count(), "{name}");
        }
    }
}
