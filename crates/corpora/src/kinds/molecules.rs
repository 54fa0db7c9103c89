//! The MOSES set of molecules as SMILES (Polykovskiy and others, 2018), from the Python package `molsets`: filtered
//! ZINC, with a published split and a second one by scaffolds that training has not.

use std::fs::File;
use std::io::{Cursor, Read};
use std::path::{Path, PathBuf};

use flate2::read::MultiGzDecoder;
use serde::{Deserialize, Serialize};

use crate::corpus::{Builder, Corpus, HELD_OUT, Splitting};
use crate::error::CorpusError;
use crate::texts::{Form, Store};

/// Where the wheel has its sets.
const IN_WHEEL: &str = "moses/dataset/data";
/// Files of the published splits, training first.
const FILES: [&str; 3] = ["train", "test", "test_scaffolds"];
/// The splits beside training.
const SPLITS: [&str; 2] = [HELD_OUT, "scaffolds"];
/// The first line of each file.
const HEADER: &str = "SMILES";

/// Options of `kind = "molecules"`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct MoleculesConfig {
    /// The wheel, or a folder with `train.csv.gz`, `test.csv.gz` and `test_scaffolds.csv.gz`.
    pub path: PathBuf,
}

impl Default for MoleculesConfig {
    fn default() -> Self {
        Self { path: "molsets-0.3.1-py3-none-any.whl".into() }
    }
}

pub(crate) fn open(config: &MoleculesConfig, key: &str) -> Result<Corpus, CorpusError> {
    let path = &config.path;
    let missing = |what: String| {
        let remedy = format!("get it by `pip download --no-deps molsets`, and name the wheel in `{key}.path`");
        CorpusError::missing(what, remedy)
    };
    if !path.exists() {
        return Err(missing(format!("the molecules in `{}`", path.display())));
    }
    let mut builder = Builder::new(Splitting::Published(&SPLITS));
    builder.item("molsets", version(path));
    for (split, file) in FILES.iter().enumerate() {
        let name = format!("{file}.csv.gz");
        let compressed = match path.is_dir() {
            true => {
                let file = path.join(&name);
                if !file.is_file() {
                    return Err(missing(format!("`{}`", file.display())));
                }
                std::fs::read(&file).map_err(CorpusError::file("read", &file))?
            }
            false => from_wheel(path, &format!("{IN_WHEEL}/{name}"))?,
        };
        let name = format!("{}: {name}", path.display());
        add(&mut builder, (split as u8, *file), &name, &compressed)?;
    }
    builder.finish("molecules", || format!("searched `{}` for SMILES", path.display()))
}

/// The version in the name of a wheel: `molsets-0.3.1-py3-none-any.whl`.
fn version(path: &Path) -> String {
    let name = path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
    let version = name.strip_prefix("molsets-").and_then(|rest| rest.split('-').next());
    version.unwrap_or_default().to_string()
}

fn from_wheel(path: &Path, inside: &str) -> Result<Vec<u8>, CorpusError> {
    let file = File::open(path).map_err(CorpusError::file("read", path))?;
    let malformed = |found: String| {
        CorpusError::malformed(path.display().to_string(), format!("a wheel of molsets with `{inside}`"), found)
    };
    let mut archive = zip::ZipArchive::new(file).map_err(|error| malformed(error.to_string()))?;
    let mut entry = archive.by_name(inside).map_err(|error| malformed(error.to_string()))?;
    let mut bytes = vec![];
    entry.read_to_end(&mut bytes).map_err(|error| malformed(error.to_string()))?;
    Ok(bytes)
}

/// Adds the molecules of a file.
fn add(builder: &mut Builder, (split, group): (u8, &str), name: &str, compressed: &[u8]) -> Result<(), CorpusError> {
    let mut text = String::new();
    MultiGzDecoder::new(Cursor::new(compressed))
        .read_to_string(&mut text)
        .map_err(|error| CorpusError::malformed(name, "text in UTF-8 inside gzip", error))?;
    let mut lines = text.lines();
    let header = lines.next().unwrap_or_default();
    if header != HEADER {
        let found: String = header.chars().take(80).collect();
        return Err(CorpusError::malformed(name, format!("the header `{HEADER}`"), format!("`{found}`")));
    }
    builder.group(group, Store::Held, Form::Plain);
    for (number, line) in lines.enumerate() {
        let smiles = line.trim();
        if smiles.is_empty() || smiles.contains([',', ' ', '\t']) {
            let name = format!("{name} line {}", number + 2);
            return Err(CorpusError::malformed(name, "one SMILES", format!("`{line}`")));
        }
        builder.hold_in(split, Some(number as u32), smiles.to_string());
    }
    Ok(())
}
