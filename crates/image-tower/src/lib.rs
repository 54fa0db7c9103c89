//! The diffusion end: noisy latent patches in, prediction and denoising loss out.
//!
//! The time convention is stated in [`noise_schedule`], the forward process is in [`noising`], the loss in [`denoising`].

pub mod config;
pub mod denoising;
pub mod error;
pub mod noise_schedule;
pub mod noising;
pub mod overlap;
pub mod patchify;
mod places;
pub mod prediction;
pub mod time_embedding;
pub mod timestep;
pub mod tower;
pub mod unet;

pub use config::{ImageTowerConfig, TimestepConditioning};
pub use denoising::{DenoisingLoss, denoising_loss};
pub use error::ImageTowerError;
pub use noise_schedule::{CosineSchedule, NoiseProcess, TimestepSpacing};
pub use noising::{NoiseKey, NoisedLatents, TimestepChoice, noise_batch, standard_normal};
pub use prediction::PredictionTarget;
pub use timestep::{TimestepDistribution, TimestepSampling, shift_timestep};
pub use tower::{EmbeddedImages, ImageContext, ImageTower};
pub use unet::UNetConfig;
