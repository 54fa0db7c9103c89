//! The books that come with the Rust toolchain, which rustup installs by default: a document is a section of a page.

use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::program::path_printed_by;
use super::walk::{files_below, has_extension, name_of, read_text};
use crate::config::{check_held_out, default_held_out};
use crate::corpus::{Builder, Corpus, Splitting};
use crate::error::CorpusError;
use crate::plain_text::html_sections;
use crate::texts::{Form, Store};

/// The books that are read where a configuration names none.
const BOOKS: [&str; 13] = [
    "book",
    "cargo",
    "clippy",
    "edition-guide",
    "embedded-book",
    "error_codes",
    "nomicon",
    "reference",
    "rust-by-example",
    "rustc",
    "rustdoc",
    "style-guide",
    "unstable-book",
];
/// Pages that repeat others or have no text.
const REPEATED: [&str; 3] = ["print.html", "toc.html", "404.html"];
/// Shorter sections are headings without a text.
pub(super) const LEAST_CHARACTERS: usize = 40;

/// Options of `kind = "rust-books"`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct RustBooksConfig {
    /// The folder with one folder a book; `share/doc/rust/html` of the toolchain where there is none.
    pub folder: Option<PathBuf>,
    /// The books by the names of their folders.
    pub books: Vec<String>,
    /// Fraction, from 0 to below 1, of the texts that training does not see.
    pub held_out: f64,
}

impl Default for RustBooksConfig {
    fn default() -> Self {
        Self { folder: None, books: BOOKS.map(String::from).to_vec(), held_out: default_held_out() }
    }
}

impl RustBooksConfig {
    pub(crate) fn validate(&self, key: &str) -> Result<(), CorpusError> {
        check_held_out(self.held_out, key)?;
        let plain = |book: &&String| !book.is_empty() && !book.contains(['/', '\\', '.']);
        match self.books.iter().find(|book| !plain(book)) {
            Some(wrong) => Err(CorpusError::setting(format!("{key}.books"), "names of folders", format!("{wrong:?}"))),
            None if self.books.is_empty() => {
                Err(CorpusError::setting(format!("{key}.books"), BOOKS.join(", "), "none"))
            }
            None => Ok(()),
        }
    }
}

pub(crate) fn open(config: &RustBooksConfig, key: &str) -> Result<Corpus, CorpusError> {
    let remedy = format!("install it by `rustup component add rust-docs`, or name its folder in `{key}.folder`");
    let of_toolchain =
        || path_printed_by("rustc", &["--print", "sysroot"]).map(|root| root.join("share/doc/rust/html"));
    let Some(root) = config.folder.clone().or_else(of_toolchain) else {
        return Err(CorpusError::missing("the documentation of a Rust toolchain (`rustc --print sysroot`)", remedy));
    };
    let mut builder = Builder::new(Splitting::ByText(config.held_out));
    for book in &config.books {
        let folder = root.join(book);
        if !folder.is_dir() {
            return Err(CorpusError::missing(format!("the book `{}`", folder.display()), remedy));
        }
        builder.item(book, "");
        add_pages(&mut builder, &root, Path::new(book))?;
    }
    builder.item("rust-docs", toolchain(&root));
    builder.finish("rust-books", || format!("searched `{}` for pages of books", root.display()))
}

/// The version of the toolchain by the names of its scripts, such as `crates1.95.0.js`.
fn toolchain(root: &Path) -> String {
    let names = std::fs::read_dir(root).into_iter().flatten().flatten();
    let version = names.filter_map(|entry| {
        let name = entry.file_name().to_string_lossy().into_owned();
        Some(name.strip_prefix("crates")?.strip_suffix(".js")?.to_string())
    });
    version.max().unwrap_or_default()
}

fn add_pages(builder: &mut Builder, root: &Path, book: &Path) -> Result<(), CorpusError> {
    // Translations lie in folders of two letters, or of two and a region; of former editions there are only notes where
    // to find them.
    let translation = |name: &str| name.len() == 2 || (name.len() == 5 && name.as_bytes()[2] == b'-');
    let left_out = |name: &str| translation(name) || name.ends_with("-edition");
    let enter = |folder: &Path| !folder.file_name().is_some_and(|name| left_out(&name.to_string_lossy()));
    let take = |file: &Path| {
        let name = file.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
        has_extension(file, &["html".into()]) && !REPEATED.contains(&name.as_str())
    };
    let pages = files_below(&root.join(book), enter, take)?.files;
    add_html(builder, (&root.join(book), &name_of(book)), &pages)
}

/// Adds the sections of pages, which are paths below a folder; their names begin with `prefix`.
pub(super) fn add_html(
    builder: &mut Builder,
    (folder, prefix): (&Path, &str),
    pages: &[PathBuf],
) -> Result<(), CorpusError> {
    for page in pages {
        let name = format!("{prefix}/{}", name_of(page));
        let (_, source) = match read_text(&folder.join(page))? {
            Ok(read) => read,
            Err(reason) => {
                builder.skip(format!("`{name}`: {reason}"));
                continue;
            }
        };
        builder.group(name, Store::Held, Form::Plain);
        hold_sections(builder, html_sections(&source));
    }
    Ok(())
}

/// Adds sections with a text to the last group; their numbers count those without one too.
pub(super) fn hold_sections(builder: &mut Builder, sections: Vec<String>) {
    for (number, section) in sections.into_iter().enumerate() {
        if section.chars().take(LEAST_CHARACTERS).count() == LEAST_CHARACTERS {
            builder.hold(Some(number as u32), section);
        }
    }
}
