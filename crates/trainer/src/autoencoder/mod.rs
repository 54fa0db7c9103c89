//! Training an autoencoder, with continuous latents or with codes (VQGAN, 2012.09841; latent diffusion, 2112.10752).
//!
//! | what | where |
//! |---|---|
//! | settings | [`config`] |
//! | losses and gradients of a micro-batch | `pass` |
//! | one optimizer step | [`learner`] |
//! | codes that nobody uses | [`codes`] |
//! | the scale of the latents | [`latent_scale`] |
//! | saving and resuming | [`checkpoint`] |

pub mod checkpoint;
pub mod codes;
pub mod config;
pub mod latent_scale;
pub mod learner;
mod pass;

pub use config::{
    ArchitectureConfig, AutoencoderLossConfig, AutoencoderTrainConfig, CodebookConfig, DiscriminatorConfig,
    PerceptualConfig,
};
pub use learner::{AutoencoderReport, AutoencoderSetup, AutoencoderTrainer};
