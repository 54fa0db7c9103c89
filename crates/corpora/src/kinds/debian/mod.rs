//! Texts of Debian packages, read where the packages put them.
//!
//! | source | package | a document is |
//! |---|---|---|
//! | `gcide` | dict-gcide | an entry of Webster's dictionary of 1913 with additions |
//! | `wn` | dict-wn | an entry of WordNet |
//! | `foldoc` | dict-foldoc | an article of a dictionary of computing |
//! | `jargon` | dict-jargon | an entry of the Jargon File |
//! | `anarchism` | anarchism | a section of a long FAQ: running prose |
//! | `python` | python3-doc | a section of Python's manual |
//! | `perl` | perl-doc | a section of Perl's manual |
//! | `fortunes` | fortunes | a quotation |
//!
//! Dictionaries are formulaic, so losses on them fall faster than on prose. Models are comparable where they learn from
//! the same sources.

mod dictionary;
mod quotations;

use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::rust_books::{add_html, hold_sections};
use super::walk::{Found, files_below, has_extension, name_of, read_text};
use crate::config::{check_held_out, default_held_out};
use crate::corpus::{Builder, Corpus, Splitting};
use crate::error::CorpusError;
use crate::plain_text::pod_sections;
use crate::texts::{Form, Store};

/// A package with texts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum DebianSource {
    /// Webster's dictionary of 1913 with additions.
    Gcide,
    /// WordNet.
    Wn,
    /// The Free On-line Dictionary of Computing.
    Foldoc,
    /// The Jargon File.
    Jargon,
    /// An Anarchist FAQ.
    Anarchism,
    /// Python's manual.
    Python,
    /// Perl's manual.
    Perl,
    /// Quotations.
    Fortunes,
}

impl DebianSource {
    /// All sources.
    pub const ALL: [Self; 8] =
        [Self::Gcide, Self::Wn, Self::Foldoc, Self::Jargon, Self::Anarchism, Self::Python, Self::Perl, Self::Fortunes];

    /// The package that has it.
    pub fn package(self) -> &'static str {
        match self {
            Self::Gcide => "dict-gcide",
            Self::Wn => "dict-wn",
            Self::Foldoc => "dict-foldoc",
            Self::Jargon => "dict-jargon",
            Self::Anarchism => "anarchism",
            Self::Python => "python3-doc",
            Self::Perl => "perl-doc",
            Self::Fortunes => "fortunes",
        }
    }

    /// The dictionary's name where it is one.
    fn dictionary(self) -> Option<&'static str> {
        match self {
            Self::Gcide => Some("gcide"),
            Self::Wn => Some("wn"),
            Self::Foldoc => Some("foldoc"),
            Self::Jargon => Some("jargon"),
            _ => None,
        }
    }

    /// Where its files lie, if they are there.
    fn folder(self, root: &Path) -> Option<PathBuf> {
        let share = root.join("usr/share");
        match self {
            Self::Gcide | Self::Wn | Self::Foldoc | Self::Jargon => {
                let name = self.dictionary().unwrap_or_default();
                let folder = share.join("dictd");
                (folder.join(format!("{name}.index")).is_file() && folder.join(format!("{name}.dict.dz")).is_file())
                    .then_some(folder)
            }
            Self::Anarchism => Some(share.join("doc/anarchism/html")).filter(|folder| folder.is_dir()),
            Self::Python => newest(&share.join("doc"), "python3.", "html"),
            Self::Perl => {
                newest(&share.join("perl"), "5.", "pod").filter(|folder| folder.join("perlfunc.pod").is_file())
            }
            Self::Fortunes => Some(share.join("games/fortunes")).filter(|folder| folder.is_dir()),
        }
    }
}

/// `PREFIX…/INSIDE` below a folder with the greatest version.
fn newest(folder: &Path, prefix: &str, inside: &str) -> Option<PathBuf> {
    let entries = std::fs::read_dir(folder).ok()?.flatten();
    let versions = entries.filter_map(|entry| {
        let name = entry.file_name().to_string_lossy().into_owned();
        let numbers: Option<Vec<u64>> = name.strip_prefix(prefix)?.split('.').map(|part| part.parse().ok()).collect();
        let path = entry.path().join(inside);
        path.is_dir().then_some((numbers?, path))
    });
    versions.max().map(|(_, path)| path)
}

/// Options of `kind = "debian-text"`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct DebianTextConfig {
    /// The sources, each of which must be installed.
    pub sources: Vec<DebianSource>,
    /// The root of the file system that has them.
    pub root: PathBuf,
    /// Fraction, from 0 to below 1, of the texts that training does not see.
    pub held_out: f64,
}

impl Default for DebianTextConfig {
    fn default() -> Self {
        Self { sources: DebianSource::ALL.to_vec(), root: "/".into(), held_out: default_held_out() }
    }
}

impl DebianTextConfig {
    pub(crate) fn validate(&self, key: &str) -> Result<(), CorpusError> {
        check_held_out(self.held_out, key)?;
        let mut sorted = self.sources.clone();
        sorted.sort();
        let key = format!("{key}.sources");
        match sorted.windows(2).find(|pair| pair[0] == pair[1]) {
            Some(pair) => Err(CorpusError::setting(key, "each source once", format!("{:?} twice", pair[0]))),
            None if sorted.is_empty() => Err(CorpusError::setting(key, "at least one source", "none")),
            None => Ok(()),
        }
    }
}

pub(crate) fn open(config: &DebianTextConfig, key: &str) -> Result<Corpus, CorpusError> {
    let mut sources = config.sources.clone();
    sources.sort();
    let absent: Vec<&str> =
        sources.iter().filter(|source| source.folder(&config.root).is_none()).map(|source| source.package()).collect();
    if !absent.is_empty() {
        let what = format!("texts of {} below `{}`", absent.join(", "), config.root.display());
        let install = absent.join(" ");
        let remedy = format!("install them by `apt-get install {install}`, or leave them out of `{key}.sources`");
        return Err(CorpusError::missing(what, remedy));
    }
    let versions = std::fs::read_to_string(config.root.join("var/lib/dpkg/status")).unwrap_or_default();
    let mut builder = Builder::new(Splitting::ByText(config.held_out));
    for source in sources {
        builder.item(source.package(), version(&versions, source.package()));
        let Some(folder) = source.folder(&config.root) else { continue };
        match source {
            DebianSource::Anarchism => add_html(&mut builder, (&folder, "anarchism"), &pages(&folder)?)?,
            DebianSource::Python => add_html(&mut builder, (&folder, "python"), &pages(&folder)?)?,
            DebianSource::Perl => add_manual(&mut builder, &folder)?,
            DebianSource::Fortunes => quotations::add(&mut builder, &folder)?,
            _ => dictionary::add(&mut builder, &folder, source.dictionary().unwrap_or_default())?,
        }
    }
    builder.finish("debian-text", || format!("searched `{}` for texts of packages", config.root.display()))
}

/// The installed version of a package by dpkg's list; empty where it is not listed.
fn version(status: &str, package: &str) -> String {
    let paragraph =
        status.split("\n\n").find(|paragraph| paragraph.lines().any(|line| line == format!("Package: {package}")));
    let version = paragraph.and_then(|paragraph| paragraph.lines().find_map(|line| line.strip_prefix("Version: ")));
    version.unwrap_or_default().to_string()
}

/// The pages of a manual without its indices.
fn pages(folder: &Path) -> Result<Vec<PathBuf>, CorpusError> {
    let of_text = |file: &Path| {
        let name = file.file_stem().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
        let index = name.starts_with("genindex") || ["search", "py-modindex", "contents"].contains(&name.as_str());
        has_extension(file, &["html".into()]) && !index
    };
    Ok(files_below(folder, |folder| !name_of(folder).starts_with('_'), of_text)?.files)
}

fn add_manual(builder: &mut Builder, folder: &Path) -> Result<(), CorpusError> {
    let Found { files, .. } = files_below(folder, |_| true, |file| has_extension(file, &["pod".into()]))?;
    for file in files {
        let name = name_of(&file);
        match read_text(&folder.join(&file))? {
            Ok((_, source)) => {
                builder.group(format!("perl/{name}"), Store::Held, Form::Plain);
                hold_sections(builder, pod_sections(&source));
            }
            Err(reason) => builder.skip(format!("`{name}`: {reason}")),
        }
    }
    Ok(())
}
