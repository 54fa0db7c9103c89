//! A model that is ready for sampling.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use burn::tensor::Device;
use interfuse_data::Tokenizer;
use interfuse_kernels::WeightInit;
use interfuse_parameters::load_weights;
use interfuse_transfusion::Transfusion;
use interfuse_vae::{Codec, CodecConfig, VaeCodecConfig, VaeError};

use crate::card::{CARD, ModelCard, read_card};
use crate::error::CheckpointError;
use crate::folder::{AVERAGE, TOKENIZER, VAE, WEIGHTS};

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
        let weights = weights_file(folder, prefer_ema);
        let blank = Transfusion::new(&card.model, &mut WeightInit::new(0, device))?;
        Ok(Self { model: load_weights(blank, &weights)?, codec, tokenizer, card, device: device.clone() })
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

fn check_tokenizer(card: &ModelCard, tokenizer: &Tokenizer, folder: &Path) -> Result<(), CheckpointError> {
    let vocab = card.model.vocabulary(&card.captions).map(|ids| ids.vocab_size);
    let words = match card.codes {
        Some(codes) => {
            let end = codes.first.saturating_add(codes.count);
            if vocab.is_some_and(|vocab| end > vocab) {
                let expected = format!("codes within the {} ids of the vocabulary", vocab.unwrap_or(0));
                return Err(CheckpointError::unfit(&folder.join(CARD), expected, format!("{codes:?}")));
            }
            Some(codes.first)
        }
        None => vocab,
    };
    let fits = tokenizer.special() == card.special_tokens && words.is_none_or(|words| words >= tokenizer.vocab_size());
    if fits {
        return Ok(());
    }
    Err(CheckpointError::unfit(
        &folder.join(TOKENIZER),
        format!("at most {} ids with markers {:?}", words.unwrap_or(0), card.special_tokens),
        format!("{} ids with markers {:?}", tokenizer.vocab_size(), tokenizer.special()),
    ))
}
