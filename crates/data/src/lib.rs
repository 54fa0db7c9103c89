//! From files to samples.
//!
//! - [`sources`]: collections of captioned images; [`open`] opens the one that a configuration names. A [`Source`] draws no
//!   random number, and everything later in the chain sees only this trait.
//! - [`files`]: what lies on the disk, one reader for each kind of file.
//! - `images`: an [`Image`] on the host. `text`: the [`Tokenizer`] turns captions into ids. [`latents`]: what the codec
//!   makes of images, also made before training.
//! - [`documents`], [`packing`], [`loader`]: from a captioned image to a sequence, reproducibly and resumably;
//!   [`mixture`] does so for speech, and for several collections at once, [`conversations`] for questions and edits; [`image_stream`] is the same for images without
//!   captions.
//! - [`survey`], [`inspect`], [`export`]: a quick look at a folder, a long one at a data set, and a data set written out.
//!
//! What a user feeds in cannot panic: a data set that cannot be opened is a [`DataError`], and one bad image among many
//! fails alone.

mod assembly;
pub mod config;
pub mod conversations;
pub mod documents;
mod error;
pub mod export;
pub mod files;
pub mod image_stream;
mod images;
pub mod inspect;
pub mod latents;
pub mod loader;
pub mod mixture;
mod order;
pub mod packing;
pub mod sources;
pub mod survey;
mod text;
mod unique;

pub use assembly::{ImageLane, UnitIds};
pub use config::DataConfig;
pub use documents::{DocumentConfig, DocumentLanes, DocumentParts, DocumentStream, Documents, TextRows};
pub use error::DataError;
pub use files::images_below;
pub use image_stream::{ImageCursor, ImageStream};
pub use images::{BucketsConfig, Covering, Fit, Framing, Image, ImageShape, grid};
pub use latents::{ImageLatents, LatentCache, LatentWriter};
pub use loader::{Loader, LoaderCursor};
pub use mixture::Collections;
pub use order::Blocks;
pub use packing::{Packed, Packing};
pub use sources::{DataSet, Source, SourceConfig, Split, evenly, open, shapes, spread};
pub use text::{SpecialTokens, Tokenizer};
