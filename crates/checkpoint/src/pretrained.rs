//! A model that is ready for sampling.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use burn::tensor::Device;
use interfuse_data::Tokenizer;
use interfuse_kernels::WeightInit;
use interfuse_parameters::load_weights;
use interfuse_speech::units::{CODEC_FILE, UnitCodec};
use interfuse_transfusion::Transfusion;
use interfuse_vae::{Codec, CodecConfig, VaeCodecConfig, VaeError};

use crate::card::{CARD, ModelCard, read_card};
use crate::error::CheckpointError;
use crate::folder::{self, AVERAGE, TOKENIZER, VAE, WEIGHTS, open_units};

/// A model ready for sampling.
pub struct Pretrained {
    /// What it is.
    pub card: ModelCard,
    /// Its weights.
    pub model: Transfusion,
    /// Text to ids.
    pub tokenizer: Tokenizer,
    /// Latents to pixels.
    pub codec: Arc<dyn Codec>,
    /// Units to sound, where the model speaks and its units were made by a codec.
    pub units: Option<Arc<UnitCodec>>,
    /// Where it computes.
    pub device: Device,
}

impl Pretrained {
    /// Opens a checkpoint folder; the moving average of the weights if it is there and wanted.
    ///
    /// # Errors
    /// When a file is missing, malformed or does not fit the others; names the file.
    pub fn open(folder: &Path, prefer_ema: bool, device: &Device) -> Result<Self, CheckpointError> {
        let card = read_card(folder)?;
        let tokenizer = Tokenizer::load(&folder.join(TOKENIZER))?;
        check_tokenizer(&card, &tokenizer, folder)?;
        let codec = open_codec(&card, folder, device)?;
        let units = open_unit_codec(&card, folder)?;
        let weights = weights_file(folder, prefer_ema);
        let blank = Transfusion::new(&card.model, &mut WeightInit::new(0, device))?;
        let model = load_weights(blank, &weights)?;
        // Last, because what a reader has to say of its own file is more exact.
        let name = weights.file_name().unwrap_or_default().to_string_lossy();
        folder::check(folder, &[&name])?;
        Ok(Self { model, codec, units, tokenizer, card, device: device.clone() })
    }
}

/// The unit codec: the copy in the folder, before the place where it lay in training.
fn open_unit_codec(card: &ModelCard, folder: &Path) -> Result<Option<Arc<UnitCodec>>, CheckpointError> {
    let Some(speech) = &card.speech else { return Ok(None) };
    let Some(known) = &speech.codec else { return Ok(None) };
    let copy = folder.join(CODEC_FILE);
    let codec = open_units(known, if copy.is_file() { &copy } else { &known.path })?;
    match codec.config().units == speech.ids.count {
        true => Ok(Some(Arc::new(codec))),
        false => Err(CheckpointError::unfit(
            &folder.join(CARD),
            format!("{} units of speech, which the codec has", codec.config().units),
            speech.ids.count,
        )),
    }
}

/// The file of a checkpoint's weights: their moving average if it is there and wanted.
pub fn weights_file(folder: &Path, prefer_ema: bool) -> PathBuf {
    let ema = folder.join(AVERAGE);
    if prefer_ema && ema.exists() { ema } else { folder.join(WEIGHTS) }
}

/// The codec, once it is sure that it makes the model's latents of the card's images.
fn open_codec(card: &ModelCard, folder: &Path, device: &Device) -> Result<Arc<dyn Codec>, CheckpointError> {
    let fail = |expected: String, found: String| CheckpointError::unfit(&folder.join(CARD), expected, found);
    let refused = |error: VaeError| fail("an image_shape that the codec takes".into(), error.to_string());
    let codec = match card.codec.vae() {
        // The copy in the folder, before the place where the autoencoder lay in training.
        Some(vae) if folder.join(VAE).is_dir() => {
            let bundled = VaeCodecConfig { path: folder.join(VAE), ..vae.clone() };
            CodecConfig::Vae(bundled).open(card.image_shape[0], device)?
        }
        _ => card.codec.open(card.image_shape[0], device).map_err(refused)?,
    };
    let latents = codec.latent_shape(card.image_shape).map_err(refused)?;
    if card.codes.map(|codes| codes.count) != codec.codes() {
        let named = |codes: Option<usize>| codes.map_or("none".to_string(), |count| count.to_string());
        let expected = format!("codes: {}, which the codec has", named(codec.codes()));
        return Err(fail(expected, named(card.codes.map(|codes| codes.count))));
    }
    match card.model.latent_shape == latents {
        true => Ok(codec),
        false => Err(fail(
            format!("a latent_shape of {latents:?}, which the codec makes of images {:?}", card.image_shape),
            format!("{:?}", card.model.latent_shape),
        )),
    }
}

/// Whether the ids of the tokenizer and those that are no words lie side by side in the vocabulary.
fn check_tokenizer(card: &ModelCard, tokenizer: &Tokenizer, folder: &Path) -> Result<(), CheckpointError> {
    let vocab = card.model.vocabulary(&card.captions).map_or(0, |ids| ids.vocab_size);
    let end_of_codes = card.codes.map(|codes| codes.first.saturating_add(codes.count));
    let end_of_units = card.speech.as_ref().map(|speech| speech.ids.needed());
    if let Some(end) = end_of_codes.max(end_of_units).filter(|end| *end > vocab) {
        let what = if card.speech.is_some() { "codes and units" } else { "codes" };
        let expected = format!("{what} within the {vocab} ids of the vocabulary");
        return Err(CheckpointError::unfit(&folder.join(CARD), expected, format!("ids up to {end}")));
    }
    let first_beyond =
        card.speech.as_ref().map(|speech| speech.ids.begin as usize).or(card.codes.map(|codes| codes.first));
    let words = first_beyond.unwrap_or(vocab);
    if tokenizer.special() == card.special_tokens && words >= tokenizer.vocab_size() {
        return Ok(());
    }
    Err(CheckpointError::unfit(
        &folder.join(TOKENIZER),
        format!("at most {words} ids with markers {:?}", card.special_tokens),
        format!("{} ids with markers {:?}", tokenizer.vocab_size(), tokenizer.special()),
    ))
}
