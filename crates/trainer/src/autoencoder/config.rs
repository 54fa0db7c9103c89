//! Settings of an autoencoder's training.

use std::path::PathBuf;

use interfuse_vae::loss::ReconstructionLoss;
use interfuse_vae::{AutoencoderConfig, LatentScale, NetworkConfig, VaeConfig, VqConfig};
use serde::{Deserialize, Serialize};

use crate::error::TrainError;

/// The networks.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ArchitectureConfig {
    /// Channels of the latents, at least 1.
    #[serde(default = "four")]
    pub latent_channels: usize,
    /// Width at every size of the image, the largest first: 1 to 8 multiples of
    /// `norm_num_groups`. Each but the last halves height and width.
    pub block_out_channels: Vec<usize>,
    /// Residual blocks at every size, at least 1; the decoder has one more.
    #[serde(default = "one")]
    pub layers_per_block: usize,
    /// Groups of every norm, a divisor of all widths.
    #[serde(default = "thirty_two")]
    pub norm_num_groups: usize,
    /// Whether the innermost block has attention.
    #[serde(default = "yes")]
    pub mid_block_add_attention: bool,
    /// Codes instead of continuous latents.
    #[serde(default)]
    pub codebook: Option<CodebookConfig>,
}

/// The codes of a VQ model.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CodebookConfig {
    /// How many, at least 2 (Chameleon: 8192, Mixture-of-Transformers: 16,384).
    pub codes: usize,
    /// Numbers of a code, at least 1.
    #[serde(default = "eight")]
    pub dim: usize,
    /// Weight of what keeps the encoder near its codes, from 0; the β of van den Oord et al.
    /// (1711.00937).
    #[serde(default = "quarter")]
    pub commitment: f64,
    /// Steps between two looks for codes that nobody uses, which are put where the encoder's vectors are; 0 is never.
    #[serde(default = "hundred")]
    pub revive_every: u64,
}

/// What is minimised.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct AutoencoderLossConfig {
    /// How far two pixels are apart.
    pub reconstruction: ReconstructionLoss,
    /// Weight of the divergence from the standard normal, against a reconstruction that is summed over the image as well;
    /// from 0 (latent diffusion: 1e-6). Codes have none.
    pub kl_weight: f64,
    /// How alike two images look to a network or at several sizes.
    pub perceptual: PerceptualConfig,
    /// The patch discriminator; none if absent.
    pub discriminator: Option<DiscriminatorConfig>,
}

impl Default for AutoencoderLossConfig {
    fn default() -> Self {
        Self {
            reconstruction: ReconstructionLoss::L1,
            kl_weight: 1e-6,
            perceptual: PerceptualConfig::Pyramid { weight: 1.0 },
            discriminator: None,
        }
    }
}

/// How alike two images look.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "kebab-case", deny_unknown_fields)]
pub enum PerceptualConfig {
    /// LPIPS, with the user's files.
    Lpips {
        /// torchvision's `vgg16-397923af.pth`.
        vgg: PathBuf,
        /// `vgg.pth` of the package `lpips`, version 0.1.
        heads: PathBuf,
        /// Weight in the loss, from 0.
        #[serde(default = "unit")]
        weight: f64,
    },
    /// The levels of a Laplacian pyramid, which need no file.
    Pyramid {
        /// Weight in the loss, from 0.
        #[serde(default = "unit")]
        weight: f64,
    },
    /// Images are compared pixel by pixel alone.
    None,
}

impl PerceptualConfig {
    /// Weight in the loss.
    pub fn weight(&self) -> f64 {
        match self {
            Self::Lpips { weight, .. } | Self::Pyramid { weight } => *weight,
            Self::None => 0.0,
        }
    }
}

/// The patch discriminator, which learns to tell reconstructions from images (PatchGAN, 1611.07004).
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DiscriminatorConfig {
    /// The step from which it is used and is trained.
    pub from_step: u64,
    /// Weight, from 0, of passing its judgement, times the adaptive weight.
    #[serde(default = "half")]
    pub weight: f64,
    /// Width of its first convolution, at least 1.
    #[serde(default = "sixty_four")]
    pub width: usize,
    /// How many of its convolutions halve the image, so few that at least 3 × 3 of its pixels are left.
    #[serde(default = "three")]
    pub halvings: usize,
}

/// The most images of a batch, and batches of a step: beyond it, a typing error is likelier than a wish.
const MOST_IMAGES: usize = 65_536;

/// How much is trained.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AutoencoderTrainConfig {
    /// Optimizer steps, at least 1.
    pub steps: u64,
    /// Images of a micro-batch, from 1 to 65,536.
    pub batch_size: usize,
    /// Micro-batches of an optimizer step, from 1 to 65,536; on the CPU they run side by side.
    #[serde(default = "one")]
    pub gradient_accumulation: usize,
    /// Steps in a row with a loss or gradient that is not finite after which training stops; at least 1.
    #[serde(default = "ten")]
    pub most_bad_steps: u64,
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

fn eight() -> usize {
    8
}

fn thirty_two() -> usize {
    32
}

fn sixty_four() -> usize {
    64
}

fn ten() -> u64 {
    10
}

fn hundred() -> u64 {
    100
}

fn quarter() -> f64 {
    0.25
}

fn half() -> f64 {
    0.5
}

fn unit() -> f64 {
    1.0
}

fn yes() -> bool {
    true
}

impl ArchitectureConfig {
    /// The networks for images of `channels` channels.
    ///
    /// # Errors
    /// Names the key, what was expected and what was found.
    pub fn vae_config(&self, channels: usize) -> Result<VaeConfig, TrainError> {
        let network = NetworkConfig {
            in_channels: channels,
            out_channels: channels,
            latent_channels: self.latent_channels,
            block_out_channels: self.block_out_channels.clone(),
            layers_per_block: self.layers_per_block,
            norm_num_groups: self.norm_num_groups,
            mid_block_add_attention: self.mid_block_add_attention,
        };
        let config = match &self.codebook {
            None => VaeConfig::AutoencoderKL(AutoencoderConfig {
                network,
                use_quant_conv: true,
                use_post_quant_conv: true,
                scale: LatentScale::default(),
            }),
            Some(codebook) => VaeConfig::VQModel(VqConfig::new(network, codebook.codes, codebook.dim)),
        };
        config.validate().map_err(|error| TrainError::setting("vae", "networks that fit together", error))?;
        if let Some(codebook) = &self.codebook {
            not_negative("vae.codebook.commitment", codebook.commitment)?;
        }
        Ok(config)
    }
}

impl AutoencoderLossConfig {
    /// Checks the settings.
    ///
    /// # Errors
    /// Names the key, what was expected and what was found.
    pub fn validate(&self) -> Result<(), TrainError> {
        not_negative("loss.kl_weight", self.kl_weight)?;
        not_negative("loss.perceptual.weight", self.perceptual.weight())?;
        let Some(discriminator) = &self.discriminator else { return Ok(()) };
        not_negative("loss.discriminator.weight", discriminator.weight)?;
        match discriminator.width {
            0 => Err(TrainError::setting("loss.discriminator.width", "at least 1", 0)),
            _ => Ok(()),
        }
    }

    /// Checks that the discriminator finds a patch in images of this size.
    ///
    /// # Errors
    /// When they are too small for so many halvings.
    pub fn check_size(&self, [height, width]: [usize; 2]) -> Result<(), TrainError> {
        let Some(discriminator) = &self.discriminator else { return Ok(()) };
        // A 4 × 4 convolution halves with one pixel of padding; the last two take one row and column each.
        let left = (0..discriminator.halvings).fold(height.min(width), |side, _| side / 2);
        match left {
            3.. => Ok(()),
            _ => {
                let expected = format!("so few that {height} × {width} pixels leave at least 3 × 3");
                Err(TrainError::setting("loss.discriminator.halvings", expected, discriminator.halvings))
            }
        }
    }
}

impl AutoencoderTrainConfig {
    /// Checks the settings.
    ///
    /// # Errors
    /// Names the key, what was expected and what was found.
    pub fn validate(&self) -> Result<(), TrainError> {
        let counts = [
            ("train.steps", self.steps as usize),
            ("train.batch_size", self.batch_size),
            ("train.gradient_accumulation", self.gradient_accumulation),
            ("train.most_bad_steps", self.most_bad_steps as usize),
        ];
        if let Some((key, _)) = counts.iter().find(|(_, count)| *count == 0) {
            return Err(TrainError::setting(key, "at least 1", 0));
        }
        match [("train.batch_size", self.batch_size), ("train.gradient_accumulation", self.gradient_accumulation)]
            .into_iter()
            .find(|(_, count)| *count > MOST_IMAGES)
        {
            Some((key, count)) => Err(TrainError::setting(key, format!("at most {MOST_IMAGES}"), count)),
            None => Ok(()),
        }
    }
}

fn not_negative(key: &str, value: f64) -> Result<(), TrainError> {
    match value >= 0.0 && value.is_finite() {
        true => Ok(()),
        false => Err(TrainError::setting(key, "a number from 0", value)),
    }
}
