//! Pixels to latents, or to codes, and back.
//!
//! A model learns to denoise *latents*; a [`Codec`] makes them from pixels and turns them into pixels again. The plain
//! [`PixelCodec`] takes the pixels themselves; [`VaeCodec`] is an autoencoder, trained here or brought along in the layout of
//! diffusers.
//!
//! | what | where |
//! |---|---|
//! | the interface between pixels and latents | [`codec`] |
//! | the autoencoder with continuous latents, and its posterior | [`autoencoder`], [`posterior`] |
//! | its twin with codes | [`vq_model`], [`quantizer`] |
//! | encoder and decoder | [`network`] |
//! | what they are trained by: reconstruction, perceptual, discriminator | [`loss`] |
//! | the folder that one is kept in, and foreign names of weights | [`folder`], [`names`] |
//! | the latents of one image in a file | [`latent_file`] |
//! | decoding in tiles | [`tiling`] |

pub mod autoencoder;
pub mod codec;
pub mod codec_config;
pub mod config;
mod error;
pub mod folder;
pub mod latent_file;
pub mod loss;
pub mod names;
pub mod network;
pub mod pixel;
pub mod posterior;
pub mod quantizer;
pub mod tiling;
pub mod vae_codec;
pub mod vq_codec;
pub mod vq_model;

pub use autoencoder::AutoencoderKl;
pub use codec::{Codec, LatentPosterior, LatentRange, Latents};
pub use codec_config::{CodecConfig, VaeCodecConfig};
pub use config::{AutoencoderConfig, LatentScale, NetworkConfig, VaeConfig, VqConfig};
pub use error::VaeError;
pub use folder::{OpenedVae, Vae};
pub use latent_file::LatentFile;
pub use pixel::PixelCodec;
pub use posterior::Posterior;
pub use quantizer::{CodeUsage, Quantized, Quantizer};
pub use vae_codec::VaeCodec;
pub use vq_codec::VqCodec;
pub use vq_model::VqModel;
