//! A folder of the user's own: text files, a document a file, a paragraph or a line, and JSON lines.

use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::walk::{files_below, has_extension, name_of, read_text};
use crate::config::{check_extensions, check_held_out, default_held_out};
use crate::corpus::{Builder, Corpus, Splitting};
use crate::error::CorpusError;
use crate::texts::{Form, Store};

/// Extensions that are read where a configuration names none.
const EXTENSIONS: [&str; 16] =
    ["txt", "md", "rst", "tex", "jsonl", "rs", "py", "c", "h", "cpp", "hpp", "js", "ts", "java", "go", "toml"];
/// Lines of this kind of file are documents, whatever the unit.
const JSON_LINES: &str = "jsonl";

/// What one document is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Unit {
    /// A file.
    #[default]
    File,
    /// Lines up to the next blank one.
    Paragraph,
    /// A line that is not blank.
    Line,
}

/// Options of `kind = "folder"`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TextFolderConfig {
    /// The folder, or one file.
    pub path: PathBuf,
    /// Extensions of the files that are read, without the dot; of `jsonl`, every line is a document.
    #[serde(default = "default_extensions")]
    pub extensions: Vec<String>,
    /// What one document is: `file`, `paragraph` or `line`.
    #[serde(default)]
    pub document: Unit,
    /// The key of the text in lines of JSON.
    #[serde(default = "default_text_key")]
    pub text_key: String,
    /// Fraction, from 0 to below 1, of the texts that training does not see.
    #[serde(default = "default_held_out")]
    pub held_out: f64,
}

fn default_extensions() -> Vec<String> {
    EXTENSIONS.map(String::from).to_vec()
}

fn default_text_key() -> String {
    "text".into()
}

impl TextFolderConfig {
    pub(crate) fn validate(&self, key: &str) -> Result<(), CorpusError> {
        check_held_out(self.held_out, key)?;
        check_extensions(&self.extensions, key)?;
        match self.text_key.is_empty() {
            true => Err(CorpusError::setting(format!("{key}.text_key"), "a key of the lines of JSON", "\"\"")),
            false => Ok(()),
        }
    }
}

pub(crate) fn open(config: &TextFolderConfig, key: &str) -> Result<Corpus, CorpusError> {
    let root = &config.path;
    let mut builder = Builder::new(Splitting::ByText(config.held_out));
    builder.item("folder", "");
    if root.is_file() {
        let name = root.file_name().unwrap_or_default();
        read_file(&mut builder, config, (root.clone(), name_of(Path::new(name))))?;
    } else if root.is_dir() {
        let found = files_below(root, |_| true, |file| has_extension(file, &config.extensions))?;
        for link in found.links {
            builder.skip(format!("`{}` is a link to a folder or to nothing, which is not followed", name_of(&link)));
        }
        for file in found.files {
            read_file(&mut builder, config, (root.join(&file), name_of(&file)))?;
        }
    } else {
        return Err(CorpusError::setting(format!("{key}.path"), "a folder or file that exists", root.display()));
    }
    let endings = config.extensions.join(", ");
    builder.finish("folder", || format!("searched `{}` for files that end in {endings}", root.display()))
}

/// Adds the documents of a file.
fn read_file(
    builder: &mut Builder,
    config: &TextFolderConfig,
    (path, name): (PathBuf, String),
) -> Result<(), CorpusError> {
    let (start, text) = match read_text(&path)? {
        Ok(read) => read,
        Err(reason) => {
            builder.skip(format!("`{name}`: {reason}"));
            return Ok(());
        }
    };
    if u32::try_from(text.len()).is_err() {
        builder.skip(format!("`{name}` has more than 4 GiB; divide it"));
        return Ok(());
    }
    let lines_of_json = has_extension(&path, &[JSON_LINES.into()]);
    let form = if lines_of_json { Form::Json(config.text_key.clone()) } else { Form::Plain };
    let unit = if lines_of_json { Unit::Line } else { config.document };
    builder.group(name.clone(), Store::File(path), form);
    let form = if lines_of_json { Form::Json(config.text_key.clone()) } else { Form::Plain };
    let (mut wrong, mut first) = (0, 0);
    for (number, (offset, raw)) in documents(&text, unit).into_iter().enumerate() {
        let part = (unit != Unit::File).then_some(number as u32);
        match form.text(raw).filter(|text| !text.trim().is_empty()) {
            Some(text) => builder.add(part, (start + offset as u64, raw.len() as u32), text),
            None => {
                wrong += 1;
                first = if wrong == 1 { text[..offset].matches('\n').count() + 1 } else { first };
            }
        }
    }
    builder.skip_all(wrong, |count| {
        let key = &config.text_key;
        format!("`{name}`: {count} lines without a text under the key `{key}`, the first: line {first}")
    });
    Ok(())
}

/// The documents of a text with their offsets, none of them blank.
fn documents(text: &str, unit: Unit) -> Vec<(usize, &str)> {
    let mut found = vec![];
    let mut push = |start: usize, end: usize| {
        let raw = &text[start..end];
        let trimmed = raw.trim_end();
        if !trimmed.is_empty() {
            found.push((start, trimmed));
        }
    };
    if unit == Unit::File {
        push(0, text.len());
        return found;
    }
    let (mut offset, mut start) = (0, None);
    for line in text.split_inclusive('\n') {
        if unit == Unit::Line {
            push(offset, offset + line.len());
        } else if line.trim().is_empty() {
            if let Some(start) = start.take() {
                push(start, offset);
            }
        } else {
            start.get_or_insert(offset);
        }
        offset += line.len();
    }
    if let Some(start) = start {
        push(start, offset);
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn documents_keep_their_offsets() {
        let text = "one\ntwo\r\n\n \n  three \nfour";
        assert_eq!(documents(text, Unit::Paragraph), [(0, "one\ntwo"), (12, "  three \nfour")]);
        let lines = [(0, "one"), (4, "two"), (12, "  three"), (21, "four")];
        assert_eq!(documents(text, Unit::Line), lines);
        assert_eq!(documents(text, Unit::File), [(0, text)]);
        for unit in [Unit::File, Unit::Paragraph, Unit::Line] {
            assert!(documents(" \n\n", unit).is_empty());
        }
    }
}
