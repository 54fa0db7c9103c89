//! One module for each thing that the user can ask for.

pub(crate) mod bench;
pub(crate) mod caption;
pub(crate) mod clip_score;
pub(crate) mod compare;
pub(crate) mod completions;
pub(crate) mod conversation;
pub(crate) mod data;
pub(crate) mod encode;
pub(crate) mod evaluate;
pub(crate) mod export;
pub(crate) mod fid;
pub(crate) mod gallery;
pub(crate) mod infill;
pub(crate) mod init;
pub(crate) mod inspect;
mod inspect_memory;
pub(crate) mod plan;
pub(crate) mod reproduce;
mod reproduce_scaling;
pub(crate) mod sample;
pub(crate) mod scaling;
#[cfg(feature = "serve")]
pub(crate) mod serve;
pub(crate) mod speak;
pub(crate) mod speech;
pub(crate) mod train;
pub(crate) mod vae;
