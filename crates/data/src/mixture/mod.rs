//! Documents of several collections: captioned images, speech with what is said, and texts alone.
//!
//! Every kind of collection has a stream of documents of its own, with its own seed, order and epochs; a mixture interleaves
//! them in fixed proportions. A collection's lanes are those that its documents have rows in, so any subset of a model's
//! modalities can come together in a document.

mod collections;
mod config;
mod masked;
mod speech;
mod stream;
#[cfg(test)]
mod tests;
mod texts;
mod utterances;

pub use collections::{Collection, Collections, Content};
pub(crate) use config::validate;
pub use config::{ContentConfig, MixtureConfig, MixtureUnit, SpeechConfig, TextsConfig};
pub use speech::{ClipImages, SpeechDocuments, SpeechLanes};
pub use stream::{Mixture, mean_rows};
pub use texts::{Pieces, TextDocuments, TextSet};
pub use utterances::{SpeechSet, Utterance};
