//! Pixels to latents and back.
//!
//! A model learns to denoise *latents*; a [`Codec`] makes them from pixels and turns them into pixels again. The plain
//! [`PixelCodec`] takes the pixels themselves.

pub mod codec;
pub mod pixel;

pub use codec::{Codec, CodecConfig, CodecError};
pub use pixel::PixelCodec;
