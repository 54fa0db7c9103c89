//! Writing a model's folder: everything that sampling needs.

use std::path::Path;

use interfuse_parameters::durable::{create_folder, write_file};
use interfuse_parameters::{Checksums, save_weights};
use interfuse_speech::units::{CODEC_FILE, UnitCodec};
use interfuse_transfusion::Transfusion;
use serde::Serialize;

use crate::card::{CARD, ModelCard, UnitCodecRef};
use crate::error::CheckpointError;

/// The weights of a model as they are, and the last file without which a folder holds no model.
pub const WEIGHTS: &str = "model.safetensors";
/// Their moving average.
pub const AVERAGE: &str = "ema.safetensors";
/// The tokenizer.
pub const TOKENIZER: &str = "tokenizer.json";
/// A copy of the autoencoder, where the folder bundles it.
pub const VAE: &str = "vae";

/// What a model's folder is made of.
pub struct Contents<'a> {
    /// What the model is.
    pub card: &'a ModelCard,
    /// Its weights.
    pub model: &'a Transfusion,
    /// Their moving average.
    pub average: &'a Transfusion,
    /// `tokenizer.json`.
    pub tokenizer: &'a [u8],
}

/// Writes all files into a folder that exists. Whoever wants it whole or absent does so within
/// [`write_folder`](interfuse_parameters::durable::write_folder).
///
/// # Errors
/// When something cannot be written.
pub fn write(folder: &Path, contents: &Contents<'_>) -> Result<(), CheckpointError> {
    save_weights(contents.model, &folder.join(WEIGHTS))?;
    save_weights(contents.average, &folder.join(AVERAGE))?;
    write_json(&folder.join(CARD), contents.card)?;
    write_file(&folder.join(TOKENIZER), contents.tokenizer)?;
    if let Some(vae) = contents.card.codec.vae().filter(|vae| vae.bundle) {
        create_folder(&folder.join(VAE))?;
        interfuse_vae::folder::copy(&vae.path, &folder.join(VAE))?;
    }
    if let Some(codec) = contents.card.speech.as_ref().and_then(|speech| speech.codec.as_ref()) {
        open_units(codec, &codec.path)?.save(&folder.join(CODEC_FILE))?;
    }
    Ok(())
}

/// Checks that what sampling reads, and the files that are named besides, are as they were written.
///
/// # Errors
/// For the first that `SHA256SUMS` has another hash of.
pub fn check(folder: &Path, besides: &[&str]) -> Result<(), CheckpointError> {
    let sums = Checksums::of(folder)?;
    let vae = [interfuse_vae::folder::CONFIG, interfuse_vae::folder::WEIGHTS].map(|file| format!("{VAE}/{file}"));
    let always = [CARD, TOKENIZER, CODEC_FILE].into_iter().chain(vae.iter().map(String::as_str));
    Ok(sums.check_all(always.chain(besides.iter().copied()))?)
}

/// Opens a unit codec, once it is sure that it is the one that a model was trained with.
pub(crate) fn open_units(known: &UnitCodecRef, path: &Path) -> Result<UnitCodec, CheckpointError> {
    let codec = UnitCodec::open(path)?;
    match codec.hash() == known.sha256 {
        true => Ok(codec),
        false => Err(CheckpointError::unfit(path, format!("a unit codec with sha256 {}", known.sha256), codec.hash())),
    }
}

/// Writes a value as JSON, whole or not at all.
///
/// # Errors
/// When it cannot be written, or holds what JSON cannot.
pub fn write_json(path: &Path, value: &impl Serialize) -> Result<(), CheckpointError> {
    let text = serde_json::to_vec_pretty(value)
        .map_err(|error| CheckpointError::unfit(path, "numbers that JSON can hold", error))?;
    Ok(write_file(path, &text)?)
}
