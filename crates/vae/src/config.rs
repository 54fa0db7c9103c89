//! `config.json` of an autoencoder, with the keys of diffusers.

use ndarray::Array3;
use serde::{Deserialize, Serialize};

use crate::error::VaeError;

/// Settings of the convolutional networks, which both kinds of autoencoder share.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct NetworkConfig {
    /// Channels of an image that is encoded.
    #[serde(default = "three")]
    pub in_channels: usize,
    /// Channels of an image that is decoded.
    #[serde(default = "three")]
    pub out_channels: usize,
    /// Channels of the latents.
    #[serde(default = "four")]
    pub latent_channels: usize,
    /// Width at every size of the image, the largest first; each but the last halves height and width.
    pub block_out_channels: Vec<usize>,
    /// Residual blocks at every size; the decoder has one more.
    #[serde(default = "one")]
    pub layers_per_block: usize,
    /// Groups of every norm, a divisor of all widths.
    #[serde(default = "thirty_two")]
    pub norm_num_groups: usize,
    /// Whether the innermost block has attention.
    #[serde(default = "yes")]
    pub mid_block_add_attention: bool,
}

/// `config.json` of an `AutoencoderKL`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct AutoencoderConfig {
    /// The networks.
    #[serde(flatten)]
    pub network: NetworkConfig,
    /// Whether a 1 × 1 convolution follows the encoder.
    #[serde(default = "yes")]
    pub use_quant_conv: bool,
    /// Whether a 1 × 1 convolution precedes the decoder.
    #[serde(default = "yes")]
    pub use_post_quant_conv: bool,
    /// How latents are brought to about unit scale.
    #[serde(flatten)]
    pub scale: LatentScale,
}

/// `z' = (z − shift) · scale`: what a model sees of the latents `z`. With `latents_mean` and `latents_std`, each channel is
/// first brought to mean 0 and deviation 1 by them.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct LatentScale {
    /// The factor; 0.18215 where a `config.json` has none, as in diffusers.
    #[serde(default = "diffusers_scaling_factor")]
    pub scaling_factor: f64,
    /// What is subtracted before.
    #[serde(default)]
    pub shift_factor: Option<f64>,
    /// By channel.
    #[serde(default)]
    pub latents_mean: Option<Vec<f64>>,
    /// By channel.
    #[serde(default)]
    pub latents_std: Option<Vec<f64>>,
}

impl Default for LatentScale {
    fn default() -> Self {
        Self { scaling_factor: 1.0, shift_factor: None, latents_mean: None, latents_std: None }
    }
}

/// `config.json` of a `VQModel`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct VqConfig {
    /// The networks.
    #[serde(flatten)]
    pub network: NetworkConfig,
    /// Codes of the codebook.
    pub num_vq_embeddings: usize,
    /// Numbers of a code.
    pub vq_embed_dim: usize,
    /// Kept for diffusers, which has 0.18215 where a `config.json` has none; ids of codes are not scaled.
    #[serde(default = "diffusers_scaling_factor")]
    pub scaling_factor: f64,
}

impl VqConfig {
    /// A codebook of `num_vq_embeddings` codes of `vq_embed_dim` numbers, and diffusers' scaling factor.
    pub fn new(network: NetworkConfig, num_vq_embeddings: usize, vq_embed_dim: usize) -> Self {
        Self { network, num_vq_embeddings, vq_embed_dim, scaling_factor: diffusers_scaling_factor() }
    }
}

/// What a folder says that it holds.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "_class_name")]
pub enum VaeConfig {
    /// Continuous latents.
    AutoencoderKL(AutoencoderConfig),
    /// Codes.
    VQModel(VqConfig),
}

fn one() -> usize {
    1
}

fn three() -> usize {
    3
}

fn four() -> usize {
    4
}

fn thirty_two() -> usize {
    32
}

fn yes() -> bool {
    true
}

/// What diffusers' `AutoencoderKL` and `VQModel` take for a key that is absent: the factor of Stable Diffusion 1
/// (2112.10752, appendix G).
fn diffusers_scaling_factor() -> f64 {
    0.18215
}

impl NetworkConfig {
    /// By how much height and width shrink.
    pub fn downsampling(&self) -> usize {
        1 << (self.block_out_channels.len().max(1) - 1)
    }

    /// Refuses images of a shape `[channels, height, width]` that the networks do not take.
    ///
    /// # Errors
    /// Another number of channels, or sides that do not divide.
    pub fn check_shape(&self, [channels, height, width]: [usize; 3]) -> Result<(), VaeError> {
        self.check_channels(channels)?;
        let factor = self.downsampling();
        if height == 0 || width == 0 || height % factor != 0 || width % factor != 0 {
            let expected = format!("sides that are multiples of {factor}, by which the autoencoder shrinks them");
            return Err(VaeError::Shape { what: "image", expected, found: format!("{height} × {width}") });
        }
        Ok(())
    }

    /// Refuses images of a number of channels that is not encoded or not decoded.
    pub(crate) fn check_channels(&self, channels: usize) -> Result<(), VaeError> {
        if self.in_channels == channels && self.out_channels == channels {
            return Ok(());
        }
        let (expected, found) = (format!("{} channels", self.in_channels), format!("{channels} channels"));
        Err(VaeError::Shape { what: "image", expected, found })
    }

    /// As [`Self::check_shape`], and refuses values that are not finite.
    pub(crate) fn check_image(&self, pixels: &Array3<f32>) -> Result<(), VaeError> {
        let (channels, height, width) = pixels.dim();
        self.check_shape([channels, height, width])?;
        match pixels.iter().all(|value| value.is_finite()) {
            true => Ok(()),
            false => Err(VaeError::NotFinite { what: "image" }),
        }
    }

    /// Checks the settings.
    ///
    /// # Errors
    /// Names the key, what was expected and what was found.
    pub fn validate(&self) -> Result<(), VaeError> {
        // Beyond the larger numbers a typing error is likelier than a wish, and memory runs out without a message.
        let counts = [
            ("latent_channels", self.latent_channels, 1 << 10),
            ("layers_per_block", self.layers_per_block, 1 << 6),
            ("norm_num_groups", self.norm_num_groups, WIDEST),
        ];
        if let Some((key, count, most)) = counts.into_iter().find(|(_, count, most)| !(1..=*most).contains(count)) {
            return Err(VaeError::setting(key, format!("from 1 to {most}"), count));
        }
        for (key, channels) in [("in_channels", self.in_channels), ("out_channels", self.out_channels)] {
            if channels != 1 && channels != 3 {
                return Err(VaeError::setting(key, "1 (grey) or 3 (RGB)", channels));
            }
        }
        let (widths, groups) = (&self.block_out_channels, self.norm_num_groups);
        if widths.is_empty() || widths.len() > 8 {
            return Err(VaeError::setting("block_out_channels", "1 to 8 widths", widths.len()));
        }
        match widths.iter().find(|&&width| width == 0 || width > WIDEST || width % groups != 0) {
            Some(width) => {
                let expected = format!("multiples of norm_num_groups = {groups} up to {WIDEST}");
                Err(VaeError::setting("block_out_channels", expected, width))
            }
            None => Ok(()),
        }
    }
}

fn positive(key: &str, value: f64) -> Result<(), VaeError> {
    match value > 0.0 && value.is_finite() {
        true => Ok(()),
        false => Err(VaeError::setting(key, "a number above 0", value)),
    }
}

impl LatentScale {
    /// Checks the settings against the latents' channels.
    ///
    /// # Errors
    /// Names the key, what was expected and what was found.
    pub fn validate(&self, channels: usize) -> Result<(), VaeError> {
        positive("scaling_factor", self.scaling_factor)?;
        for (key, values) in [("latents_mean", &self.latents_mean), ("latents_std", &self.latents_std)] {
            if let Some(values) = values
                && values.len() != channels
            {
                return Err(VaeError::setting(key, format!("{channels} numbers, one a channel"), values.len()));
            }
        }
        match self.latents_std.iter().flatten().find(|&&std| !(std > 0.0 && std.is_finite())) {
            Some(std) => Err(VaeError::setting("latents_std", "numbers above 0", std)),
            None => Ok(()),
        }
    }

    /// Slope and offset of a channel, `z' = slope · z + offset`.
    pub fn line(&self, channel: usize) -> (f32, f32) {
        let of = |values: &Option<Vec<f64>>| values.as_ref().map(|values| values[channel]);
        let slope = self.scaling_factor / of(&self.latents_std).unwrap_or(1.0);
        let centre = of(&self.latents_mean).unwrap_or(0.0) + self.shift_factor.unwrap_or(0.0);
        (slope as f32, (-centre * slope) as f32)
    }
}

impl VaeConfig {
    /// The networks.
    pub fn network(&self) -> &NetworkConfig {
        match self {
            Self::AutoencoderKL(config) => &config.network,
            Self::VQModel(config) => &config.network,
        }
    }

    /// Checks the settings.
    ///
    /// # Errors
    /// Names the key, what was expected and what was found.
    pub fn validate(&self) -> Result<(), VaeError> {
        self.network().validate()?;
        match self {
            Self::AutoencoderKL(config) => config.scale.validate(config.network.latent_channels),
            Self::VQModel(config) => {
                positive("scaling_factor", config.scaling_factor)?;
                let counts = [
                    ("num_vq_embeddings", config.num_vq_embeddings, 2, 1 << 20),
                    ("vq_embed_dim", config.vq_embed_dim, 1, 1 << 12),
                ];
                match counts.into_iter().find(|&(_, count, least, most)| !(least..=most).contains(&count)) {
                    Some((key, count, least, most)) => {
                        Err(VaeError::setting(key, format!("from {least} to {most}"), count))
                    }
                    None => Ok(()),
                }
            }
        }
    }
}

/// Channels that a level may have at most.
const WIDEST: usize = 1 << 14;

/// The published autoencoders whose weights are also spread as single files without a `config.json`.
pub const PUBLISHED: [&str; 4] = ["sd15", "sdxl", "sd3", "flux"];

impl AutoencoderConfig {
    /// The configuration of one of [`PUBLISHED`].
    pub fn published(name: &str) -> Option<Self> {
        let (latent_channels, quant_conv, scaling_factor, shift_factor) = match name {
            "sd15" => (4, true, 0.18215, None),
            "sdxl" => (4, true, 0.13025, None),
            "sd3" => (16, false, 1.5305, Some(0.0609)),
            "flux" => (16, false, 0.3611, Some(0.1159)),
            _ => return None,
        };
        let network = NetworkConfig {
            in_channels: 3,
            out_channels: 3,
            latent_channels,
            block_out_channels: vec![128, 256, 512, 512],
            layers_per_block: 2,
            norm_num_groups: 32,
            mid_block_add_attention: true,
        };
        let scale = LatentScale { scaling_factor, shift_factor, ..LatentScale::default() };
        Some(Self { network, use_quant_conv: quant_conv, use_post_quant_conv: quant_conv, scale })
    }
}
