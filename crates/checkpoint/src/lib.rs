//! The folder that a trained model is kept in.
//!
//! ```text
//! config.json         sizes, objective, special tokens, codec            (ModelCard)
//! model.safetensors   the weights
//! ema.safetensors     their moving average, which samples better
//! tokenizer.json      Hugging Face's format
//! vae/                the autoencoder, where the model works on latents and bundles it
//! units.safetensors   the unit codec, where the model speaks and its units were made by one
//! ```
//!
//! | what | where |
//! |---|---|
//! | `config.json`, and how two of them differ | [`card`] |
//! | a model that is ready for sampling | [`pretrained`] |
//! | writing such a folder | [`folder`] |
//! | a language model of Hugging Face as the text part | [`language_model`] |
//! | a folder that one process at a time works in | [`lock`] |

pub mod card;
pub mod error;
pub mod folder;
pub mod language_model;
pub mod lock;
pub mod pretrained;

pub use card::{CodeIds, FORMAT_VERSION, MODEL_TYPE, ModelCard, SpeechCard, UnitCodecRef, read_card};
pub use error::CheckpointError;
pub use language_model::{LanguageModel, OtherParts};
pub use lock::FolderLock;
pub use pretrained::{Pretrained, weights_file};
