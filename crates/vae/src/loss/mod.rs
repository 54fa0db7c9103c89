//! What an autoencoder is trained by, each part a function of images `[B, C, H, W]` in [-1, 1].

pub mod discriminator;
pub mod lpips;
pub mod pyramid;
pub mod reconstruction;

pub use discriminator::PatchDiscriminator;
pub use lpips::Lpips;
pub use reconstruction::ReconstructionLoss;
