//! `interfuse vae`: autoencoders trained, brought along, and used on files.

mod files;
mod import;
mod quality;
mod recorder;
mod settings;
mod train;

pub(crate) use files::{decode, encode, reconstruct};
pub(crate) use import::import;
pub(crate) use train::train;
