//! Collections of texts from packages and folders: prose, source code, molecules.
//!
//! ```text
//! settings ─ kinds ─► texts with names ─ deduplication ─► train | held out ─► one text by its number
//! ```
//!
//! | what | where |
//! |---|---|
//! | what to open, and the kinds of corpora | [`config`] |
//! | an opened corpus: texts by number, splits, statistics, record | [`corpus`] |
//! | equal and nearly equal texts, and which are held out | [`deduplication`] |
//! | how many tokens there are | [`token_count`] |
//! | tokens of SMILES, validity, uniqueness, novelty | [`molecules`] |
//! | the causally masked objective on ids | [`causal_masking`] |
//! | HTML and POD to plain text | [`plain_text`] |

pub mod causal_masking;
pub mod config;
pub mod corpus;
pub mod deduplication;
mod error;
mod kinds;
pub mod molecules;
pub mod plain_text;
mod texts;
pub mod token_count;

pub use causal_masking::CausalMasking;
pub use config::CorpusConfig;
pub use corpus::{Corpus, Item, Record, Statistics};
pub use error::CorpusError;
pub use kinds::{
    CargoRegistryConfig, DebianSource, DebianTextConfig, MoleculesConfig, PythonStdlibConfig, RustBooksConfig,
    TextFolderConfig, Unit,
};
pub use texts::{KnownTexts, Texts};
pub use token_count::TokenCount;
