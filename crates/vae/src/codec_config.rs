//! Which codec a user asks for, and how it is opened.

use std::path::PathBuf;
use std::sync::Arc;

use burn::tensor::Device;
use serde::{Deserialize, Serialize};

use crate::codec::Codec;
use crate::error::VaeError;
use crate::folder::{self, Vae};
use crate::pixel::PixelCodec;
use crate::vae_codec::VaeCodec;
use crate::vq_codec::VqCodec;

/// What the user asks for.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "kebab-case", deny_unknown_fields)]
pub enum CodecConfig {
    /// The pixels themselves.
    #[default]
    Pixels,
    /// The latents of an autoencoder, or its codes.
    Vae(VaeCodecConfig),
}

/// Which autoencoder.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct VaeCodecConfig {
    /// Its folder, with `config.json` and weights; `interfuse vae train` leaves one in its run folder as `vae`.
    pub path: PathBuf,
    /// A latent cache of the training images, made by `interfuse data encode`; without one, images are encoded whenever
    /// they come up.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cache: Option<PathBuf>,
    /// Whether every checkpoint holds a copy of the autoencoder.
    #[serde(default = "yes")]
    pub bundle: bool,
    /// SHA-256 of the weights; another autoencoder is refused. Filled in when a run begins.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hash: Option<String>,
}

fn yes() -> bool {
    true
}

impl CodecConfig {
    /// Makes the codec for images of `channels` channels, computing on `device`.
    ///
    /// # Errors
    /// When the codec does not take that many channels, or its autoencoder cannot be opened or is another than wanted.
    pub fn open(&self, channels: usize, device: &Device) -> Result<Arc<dyn Codec>, VaeError> {
        let config = match self {
            Self::Pixels => return Ok(Arc::new(PixelCodec::new(channels)?)),
            Self::Vae(config) => config,
        };
        let opened = folder::open(&config.path, device)?;
        if let Some(wanted) = &config.hash
            && *wanted != opened.hash
        {
            let weights = folder::weights_of(&config.path)?;
            let expected = format!("the autoencoder that this model was trained with, sha256 {wanted}");
            return Err(VaeError::file(&weights, expected, format!("sha256 {}", opened.hash)));
        }
        opened.config.network().check_channels(channels)?;
        Ok(match &opened.vae {
            Vae::Kl(_) => Arc::new(VaeCodec::new(opened, &config.path, device)?),
            Vae::Vq(_) => Arc::new(VqCodec::new(opened, &config.path, device)?),
        })
    }

    /// The same codec pinned to the weights that it has now.
    pub fn pinned(&self, codec: &dyn Codec) -> Self {
        match self {
            Self::Pixels => Self::Pixels,
            Self::Vae(config) => Self::Vae(VaeCodecConfig { hash: codec.hash().map(String::from), ..config.clone() }),
        }
    }

    /// Whether two codecs make the same latents, wherever they lie.
    pub fn is_same(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Pixels, Self::Pixels) => true,
            (Self::Vae(a), Self::Vae(b)) => a.hash == b.hash,
            _ => false,
        }
    }

    /// The autoencoder, if there is one.
    pub fn vae(&self) -> Option<&VaeCodecConfig> {
        match self {
            Self::Pixels => None,
            Self::Vae(config) => Some(config),
        }
    }
}
