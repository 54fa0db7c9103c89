//! The kinds of corpora, each of which knows where its files lie and what in them is a text.

pub(crate) mod cargo_registry;
pub(crate) mod debian;
pub(crate) mod folder;
pub(crate) mod molecules;
mod program;
pub(crate) mod python_stdlib;
pub(crate) mod rust_books;
mod source_code;
mod walk;

pub use cargo_registry::CargoRegistryConfig;
pub use debian::{DebianSource, DebianTextConfig};
pub use folder::{TextFolderConfig, Unit};
pub use molecules::MoleculesConfig;
pub use python_stdlib::PythonStdlibConfig;
pub use rust_books::RustBooksConfig;
