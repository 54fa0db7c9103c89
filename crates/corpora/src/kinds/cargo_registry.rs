//! Sources that cargo has unpacked on this machine: of each crate the newest version, or those of a `Cargo.lock`.
//!
//! What lies there differs from machine to machine. A lock file pins it: the names, versions and checksums of all
//! crates.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use semver::Version;
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

use super::source_code::{LeftOut, MOST_BYTES, Wanted, add};
use crate::config::{check_extensions, check_held_out, default_held_out};
use crate::corpus::{Builder, Corpus, Splitting};
use crate::error::CorpusError;

/// Options of `kind = "cargo-registry"`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct CargoRegistryConfig {
    /// The folder `registry` of cargo; that of `$CARGO_HOME` or `~/.cargo` where there is none.
    pub folder: Option<PathBuf>,
    /// A `Cargo.lock` that says which crates; the newest version of each that is there, where there is none.
    pub lock: Option<PathBuf>,
    /// Extensions of the files that are read, without the dot.
    pub extensions: Vec<String>,
    /// Larger files are left out, in bytes.
    pub max_bytes: u64,
    /// Fraction, from 0 to below 1, of the files that training does not see.
    pub held_out: f64,
}

impl Default for CargoRegistryConfig {
    fn default() -> Self {
        Self {
            folder: None,
            lock: None,
            extensions: vec!["rs".into()],
            max_bytes: MOST_BYTES,
            held_out: default_held_out(),
        }
    }
}

impl CargoRegistryConfig {
    pub(crate) fn validate(&self, key: &str) -> Result<(), CorpusError> {
        check_held_out(self.held_out, key)?;
        check_extensions(&self.extensions, key)
    }
}

/// A crate of a certain version.
type Name = (String, Version);

pub(crate) fn open(config: &CargoRegistryConfig, key: &str) -> Result<Corpus, CorpusError> {
    let root = config.folder.clone().or_else(|| Some(cargo_home()?.join("registry"))).unwrap_or_default();
    let unpacked = unpacked(&root.join("src"))?;
    if unpacked.is_empty() {
        let remedy = format!("fetch some by `cargo fetch` in any project, or name its folder in `{key}.folder`");
        return Err(CorpusError::missing(format!("crates in `{}`", root.join("src").display()), remedy));
    }
    let crates = match &config.lock {
        Some(lock) => locked(lock, &root, unpacked)?,
        None => newest(unpacked),
    };
    let wanted = Wanted { extensions: &config.extensions, max_bytes: config.max_bytes, without: &["target"] };
    let mut builder = Builder::new(Splitting::ByText(config.held_out));
    let mut left_out = LeftOut::default();
    for ((name, version), (folder, checksum)) in crates {
        let checksum = checksum.map(|checksum| format!(" sha256:{checksum}")).unwrap_or_default();
        builder.item(&name, format!("{version}{checksum}"));
        add(&mut builder, (&folder, &format!("{name}-{version}/")), &wanted, &mut left_out)?;
    }
    left_out.tell(&mut builder, config.max_bytes);
    let endings = config.extensions.join(", ");
    builder.finish("cargo-registry", || format!("searched `{}` for files that end in {endings}", root.display()))
}

fn cargo_home() -> Option<PathBuf> {
    let home = || std::env::home_dir().map(|home| home.join(".cargo"));
    std::env::var_os("CARGO_HOME").filter(|path| !path.is_empty()).map(PathBuf::from).or_else(home)
}

/// The crates below `registry/src`, which has a folder for each registry. Of one crate in several, the first.
fn unpacked(root: &Path) -> Result<BTreeMap<Name, PathBuf>, CorpusError> {
    let mut found = BTreeMap::new();
    for registry in folders(root)? {
        for folder in folders(&registry)? {
            let name = folder.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
            if let Some(name) = parted(&name) {
                found.entry(name).or_insert(folder);
            }
        }
    }
    Ok(found)
}

/// The folders in a folder in the order of their names; none where there is no such folder.
fn folders(folder: &Path) -> Result<Vec<PathBuf>, CorpusError> {
    if !folder.is_dir() {
        return Ok(vec![]);
    }
    let entries = std::fs::read_dir(folder).map_err(CorpusError::file("read", folder))?;
    let mut folders: Vec<PathBuf> = entries.flatten().map(|entry| entry.path()).filter(|path| path.is_dir()).collect();
    folders.sort();
    Ok(folders)
}

/// `serde_json-1.0.154` → `serde_json` and `1.0.154`: at the first hyphen that a version follows.
fn parted(folder: &str) -> Option<Name> {
    let hyphens = folder.match_indices('-').map(|(place, _)| place);
    let mut parts = hyphens.filter_map(|place| Some((folder[..place].to_string(), folder[place + 1..].parse().ok()?)));
    parts.next()
}

type Crates = BTreeMap<Name, (PathBuf, Option<String>)>;

fn newest(unpacked: BTreeMap<Name, PathBuf>) -> Crates {
    let mut newest: BTreeMap<String, (Version, PathBuf)> = BTreeMap::new();
    // Versions of one name come in rising order.
    for ((name, version), folder) in unpacked {
        newest.insert(name, (version, folder));
    }
    newest.into_iter().map(|(name, (version, folder))| ((name, version), (folder, None))).collect()
}

#[derive(Deserialize)]
struct Lock {
    #[serde(default)]
    package: Vec<Package>,
}

#[derive(Deserialize)]
struct Package {
    name: String,
    version: Version,
    source: Option<String>,
    checksum: Option<String>,
}

/// The crates of a lock file that come from a registry, all of which must be there with the checksums that it has.
fn locked(lock: &Path, root: &Path, mut unpacked: BTreeMap<Name, PathBuf>) -> Result<Crates, CorpusError> {
    let text = std::fs::read_to_string(lock).map_err(CorpusError::file("read", lock))?;
    let name = lock.display().to_string();
    let lock: Lock = toml::from_str(&text)
        .map_err(|error| CorpusError::malformed(&name, "a lock file of cargo", error.message().to_string()))?;
    let mut crates = BTreeMap::new();
    let mut absent = vec![];
    for package in lock.package {
        let Some(checksum) = package.checksum.filter(|_| package.source.is_some()) else { continue };
        let key = (package.name, package.version);
        match unpacked.remove(&key) {
            Some(folder) => {
                check(root, &key, &checksum)?;
                crates.insert(key, (folder, Some(checksum)));
            }
            None => absent.push(format!("{} {}", key.0, key.1)),
        }
    }
    if let Some(first) = absent.first() {
        let what = format!("{} crates of `{name}`, the first `{first}`,", absent.len());
        return Err(CorpusError::missing(what, "fetch them by `cargo fetch --locked` beside the lock file"));
    }
    Ok(crates)
}

/// Compares the checksum of a crate with that of its archive, where cargo has kept it.
fn check(root: &Path, (name, version): &Name, checksum: &str) -> Result<(), CorpusError> {
    for registry in folders(&root.join("cache"))? {
        let archive = registry.join(format!("{name}-{version}.crate"));
        let Ok(bytes) = std::fs::read(&archive) else { continue };
        let found: String = Sha256::digest(&bytes).iter().map(|byte| format!("{byte:02x}")).collect();
        if found != checksum {
            let expected = format!("the SHA-256 {checksum} of the lock file");
            return Err(CorpusError::malformed(archive.display().to_string(), expected, found));
        }
        break;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn folders_are_names_and_versions() {
        for (folder, name, version) in [
            ("serde_json-1.0.154", "serde_json", "1.0.154"),
            ("x-86-1.0.0-alpha-2.1", "x-86", "1.0.0-alpha-2.1"),
            ("toml-1.2.1+spec-1.1.0", "toml", "1.2.1+spec-1.1.0"),
        ] {
            assert_eq!(parted(folder), Some((name.into(), version.parse().unwrap())));
        }
        assert_eq!(parted("no-version"), None);
        assert_eq!(parted("x-1.0"), None);
    }
}
