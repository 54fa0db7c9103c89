//! The folder that a trained model is kept in: all that sampling needs, and nothing of training.
//!
//! ```text
//! config.json         sizes, objective, special tokens, codec            (ModelCard)
//! model.safetensors   the weights
//! ema.safetensors     their moving average, which samples better
//! tokenizer.json      Hugging Face's format
//! vae/                the autoencoder, where the model works on latents and carries it
//! ```

use std::path::{Path, PathBuf};
use std::sync::Arc;

use burn::tensor::Device;
use interfuse_data::{SpecialTokens, Tokenizer};
use interfuse_kernels::WeightInit;
use interfuse_parameters::load_weights;
use interfuse_transfusion::{ModelConfig, Transfusion};
use interfuse_vae::{Codec, CodecConfig, LatentRange, VaeCodecConfig, VaeError};
use serde::{Deserialize, Serialize};

use crate::error::SamplingError;

/// `config.json`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ModelCard {
    /// Always `transfusion`.
    pub model_type: String,
    /// Version of this layout.
    pub format_version: u32,
    /// Optimizer steps behind the weights.
    pub step: u64,
    /// Settings of the model, with every size filled in.
    pub model: ModelConfig,
    /// Turns latents into pixels.
    pub codec: CodecConfig,
    /// `[channels, height, width]` of an image, in pixels.
    pub image_shape: [usize; 3],
    /// The most text rows of a training document; longer prompts are refused.
    pub max_text_rows: usize,
    /// The modality that carries captions and prompts.
    pub captions: String,
    /// The modality that carries images.
    pub images: String,
    /// Between what the latents of training images lie, where a sampler needs that and the codec does not know it by itself.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub latent_range: Option<LatentRange>,
    /// Ids of the markers.
    pub special_tokens: SpecialTokens,
}

/// The folder of a checkpoint that holds a copy of its autoencoder, where it carries one.
pub const VAE: &str = "vae";
/// `model_type` of a card.
pub const MODEL_TYPE: &str = "transfusion";
/// `format_version` of a card.
pub const FORMAT_VERSION: u32 = 2;

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
    pub fn open(folder: &Path, prefer_ema: bool, device: &Device) -> Result<Self, SamplingError> {
        let card = read_card(folder)?;
        let tokenizer = Tokenizer::load(&folder.join("tokenizer.json"))?;
        check_tokenizer(&card, &tokenizer, folder)?;
        let codec = open_codec(&card, folder, device)?;
        let weights = weights_file(folder, prefer_ema);
        let blank = Transfusion::new(&card.model, &mut WeightInit::new(0, device))?;
        Ok(Self { model: load_weights(blank, &weights)?, codec, tokenizer, card, device: device.clone() })
    }
}

/// The file of a checkpoint's weights: their moving average if it is there and wanted.
pub fn weights_file(folder: &Path, prefer_ema: bool) -> PathBuf {
    let ema = folder.join("ema.safetensors");
    if prefer_ema && ema.exists() { ema } else { folder.join("model.safetensors") }
}

/// Reads `config.json`.
///
/// # Errors
/// When it is missing, no JSON, or of another kind of model.
pub fn read_card(folder: &Path) -> Result<ModelCard, SamplingError> {
    let path = folder.join("config.json");
    let fail = |expected: &str, found: String| SamplingError::Checkpoint {
        path: path.display().to_string(),
        expected: expected.into(),
        found,
    };
    let text = std::fs::read_to_string(&path)
        .map_err(|error| fail("the config.json of an Interfuse checkpoint", error.to_string()))?;
    let value: serde_json::Value =
        serde_json::from_str(&text).map_err(|error| fail("valid JSON", error.to_string()))?;
    let kind = value.get("model_type").and_then(|kind| kind.as_str()).unwrap_or("nothing");
    if kind != MODEL_TYPE {
        return Err(fail("\"model_type\": \"transfusion\"", format!("{kind:?}: a checkpoint of another program")));
    }
    let version = value.get("format_version").and_then(serde_json::Value::as_u64);
    if version != Some(FORMAT_VERSION.into()) {
        let found = match version {
            Some(1) => "1: it was made before configuration and weights were renamed; train it again".into(),
            Some(other) => other.to_string(),
            None => "none".into(),
        };
        return Err(fail(&format!("\"format_version\": {FORMAT_VERSION}"), found));
    }
    serde_json::from_value(value).map_err(|error| fail("the settings of a model", error.to_string()))
}

/// The codec, once it is sure that it makes the model's latents of the card's images.
fn open_codec(card: &ModelCard, folder: &Path, device: &Device) -> Result<Arc<dyn Codec>, SamplingError> {
    let fail = |expected: String, found: String| SamplingError::Checkpoint {
        path: folder.join("config.json").display().to_string(),
        expected,
        found,
    };
    let refused = |error: VaeError| fail("an image_shape that the codec takes".into(), error.to_string());
    let codec = match card.codec.vae() {
        // The copy that the checkpoint carries, before the place where the autoencoder lay in training.
        Some(vae) if folder.join(VAE).is_dir() => {
            let carried = VaeCodecConfig { path: folder.join(VAE), ..vae.clone() };
            CodecConfig::Vae(carried).open(card.image_shape[0], device)?
        }
        _ => card.codec.open(card.image_shape[0], device).map_err(refused)?,
    };
    let latents = codec.latent_shape(card.image_shape).map_err(refused)?;
    match card.model.latent_shape == latents {
        true => Ok(codec),
        false => Err(fail(
            format!("a latent_shape of {latents:?}, which the codec makes of images {:?}", card.image_shape),
            format!("{:?}", card.model.latent_shape),
        )),
    }
}

fn check_tokenizer(card: &ModelCard, tokenizer: &Tokenizer, folder: &Path) -> Result<(), SamplingError> {
    let vocab = card.model.vocabulary(&card.captions).map(|ids| ids.vocab_size);
    let fits = tokenizer.special() == card.special_tokens && vocab.is_none_or(|vocab| vocab >= tokenizer.vocab_size());
    if fits {
        return Ok(());
    }
    Err(SamplingError::Checkpoint {
        path: folder.join("tokenizer.json").display().to_string(),
        expected: format!("at most {} ids with markers {:?}", vocab.unwrap_or(0), card.special_tokens),
        found: format!("{} ids with markers {:?}", tokenizer.vocab_size(), tokenizer.special()),
    })
}
