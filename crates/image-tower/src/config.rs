//! Settings of an image modality.

use serde::{Deserialize, Serialize};

use crate::error::ImageTowerError;
use crate::noise_schedule::NoiseProcess;
use crate::prediction::PredictionTarget;
use crate::timestep::TimestepSampling;
use crate::unet::UNetConfig;

/// Settings of an image modality.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ImageTowerConfig {
    /// Height and width of a patch, in latent pixels; the image's sides are multiples of it.
    pub patch_size: usize,
    /// By how many latent pixels a predicted patch reaches into each of its neighbours; where patches overlap they are
    /// added, so that their edges do not show. At most half a patch; 0 is Transfusion's linear patcher.
    #[serde(default)]
    pub patch_overlap: usize,
    /// Convolutions that halve the latents, in place of the linear patcher; their widths make the patch size. None if absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub unet: Option<UNetConfig>,
    /// Whether every patch has a learned vector of its place in the image besides its rotary position.
    #[serde(default)]
    pub learned_positions: bool,
    /// How an image becomes noise.
    #[serde(default)]
    pub process: NoiseProcess,
    /// What the network puts out. Rectified flow takes `velocity` or `clean`, DDPM takes `noise` or `clean`.
    #[serde(default)]
    pub prediction: PredictionTarget,
    /// Whether predicted noise starts from what is there: `noise = sin(πt/2) · x_t + cos(πt/2) · F`, where `F` is what the
    /// network puts out. It then need not carry x_t through all its layers, whose error the sampler multiplies by sigma / alpha
    /// (the skip of EDM, 2206.00364, section 5). Only with `prediction = "noise"`; Transfusion has none.
    #[serde(default)]
    pub skip: bool,
    /// The space in which the squared error is taken; the prediction's own if absent. Predicting `clean` with the error
    /// in `velocity` weighs an image by 1/t² (2511.13720, "Just image Transformers").
    #[serde(default)]
    pub loss_space: Option<PredictionTarget>,
    /// Where the network learns the timestep.
    #[serde(default)]
    pub timestep_conditioning: TimestepConditioning,
    /// How timesteps are sampled in training.
    #[serde(default)]
    pub timesteps: TimestepSampling,
}

/// Where the network learns the timestep.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum TimestepConditioning {
    /// An embedding of t is added to every patch before its projection (Transfusion, footnote 6).
    #[default]
    Patch,
    /// An embedding of t as wide as the model is added to every projected patch. It has the parameters that Table 7 of
    /// Transfusion implies.
    Row,
    /// Shift, scale and gate of every layer are functions of t (DiT's adaLN-Zero, 2212.09748).
    AdaLn,
}

impl ImageTowerConfig {
    /// The space in which the squared error is taken.
    pub fn loss_space(&self) -> PredictionTarget {
        self.loss_space.unwrap_or(self.prediction)
    }

    /// Checks the settings against each other and against the latents' shape `[channels, height, width]`.
    ///
    /// # Errors
    /// Names the key, what was expected and what was found.
    pub fn validate(&self, latent_shape: [usize; 3]) -> Result<(), ImageTowerError> {
        let [_, height, width] = latent_shape;
        if self.patch_size == 0 || height % self.patch_size != 0 || width % self.patch_size != 0 {
            return Err(ImageTowerError::PatchSize { found: self.patch_size, height, width });
        }
        if 2 * self.patch_overlap > self.patch_size {
            return Err(ImageTowerError::Overlap { found: self.patch_overlap, patch_size: self.patch_size });
        }
        if let Some(unet) = &self.unet {
            unet.validate(self.patch_size)?;
            if self.patch_overlap != 0 {
                let (key, expected) = ("patch_overlap", "0, for a U-Net joins its patches by convolutions".into());
                return Err(ImageTowerError::UNet { key, expected, found: self.patch_overlap.to_string() });
            }
        }
        if self.skip && self.prediction != PredictionTarget::Noise {
            return Err(ImageTowerError::Skip { prediction: self.prediction });
        }
        let natural = self.process.natural_target();
        for (key, target) in [("prediction", self.prediction), ("loss_space", self.loss_space())] {
            if target != natural && target != PredictionTarget::Clean {
                return Err(ImageTowerError::Target { key, found: target, natural, process: self.process });
            }
        }
        self.timesteps.validate()
    }
}
