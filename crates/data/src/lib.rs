//! From files to samples.
//!
//! A [`Source`] is a numbered collection of captioned images; it knows files and formats and
//! draws no random number. Everything later in the chain sees only this trait, so a new format is
//! one new file here. The [`Tokenizer`] turns captions into ids. What a user feeds in cannot panic:
//! a data set that cannot be opened is a [`DataError`], and one bad image among many fails alone.

mod captioned;
pub mod config;
mod decode;
pub mod documents;
pub mod emoji;
mod error;
pub mod export;
pub mod fashion_mnist;
pub mod folder;
mod grid;
mod held_out;
mod idx;
pub mod image_stream;
pub mod inspect;
mod kept;
pub mod latent_cache;
mod latents;
mod listing;
pub mod loader;
mod metadata;
mod noise;
mod order;
pub mod packing;
mod pixels;
mod resize;
pub mod shapes;
mod source;
mod special_tokens;
mod tokenizer;

pub use config::{DataConfig, SourceConfig};
pub use documents::{DocumentConfig, DocumentLanes, DocumentParts, DocumentStream, Documents, TextRows};
pub use error::DataError;
pub use grid::grid;
pub use image_stream::{ImageCursor, ImageStream};
pub use latent_cache::{LatentCache, LatentWriter};
pub use latents::ImageLatents;
pub use listing::images_below;
pub use loader::{Loader, LoaderCursor};
pub use packing::Packing;
pub use pixels::{Image, ImageShape};
pub use source::{Source, Split, open, spread};
pub use special_tokens::SpecialTokens;
pub use tokenizer::Tokenizer;
