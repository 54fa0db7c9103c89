//! From files to samples.
//!
//! A [`Source`] is a numbered collection of captioned pictures; it knows files and formats and
//! draws no random number. Everything later in the chain sees only this trait, so a new format is
//! one new file here. The [`Tokenizer`] turns captions into ids. What a user feeds in cannot panic:
//! a data set that cannot be opened is a [`DataError`], and one bad picture among many fails alone.

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
pub mod inspect;
mod kept;
pub mod latent_cache;
mod latents;
pub mod loader;
mod metadata;
mod noise;
mod order;
mod picture;
pub mod pictures;
mod resize;
pub mod shapes;
mod source;
mod special_tokens;
mod tokenizer;
mod walk;

pub use config::{DataConfig, SourceConfig};
pub use documents::{DocumentConfig, DocumentLanes, DocumentParts, Documents};
pub use error::DataError;
pub use grid::grid;
pub use latent_cache::{LatentCache, LatentWriter};
pub use latents::PictureLatents;
pub use loader::{Loader, LoaderCursor};
pub use picture::{Picture, PictureShape};
pub use pictures::{PictureCursor, PictureStream};
pub use source::{Source, Split, open, spread};
pub use special_tokens::SpecialTokens;
pub use tokenizer::Tokenizer;
pub use walk::pictures_below;
