//! `interfuse vae`: autoencoders trained, brought along, and used on files.

mod files;
mod import;
mod inspect;
mod train;

pub(crate) use files::{decode, encode, reconstruct};
pub(crate) use import::import;
pub(crate) use inspect::inspect;
pub(crate) use train::train;
