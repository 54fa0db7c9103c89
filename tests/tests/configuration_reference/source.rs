//! Doc comments, read from the sources.

use std::path::{Path, PathBuf};

/// The texts of all sources.
pub(crate) struct Sources(Vec<String>);

/// A struct or an enum, or a field or variant of one.
pub(crate) struct Item {
    pub(crate) name: String,
    /// The doc comment up to its first empty line, in one line.
    pub(crate) docs: String,
    /// The type of a field.
    pub(crate) kind: String,
    /// Fields and variants, of a struct, an enum or a variant with fields.
    pub(crate) items: Vec<Item>,
}

impl Sources {
    /// All sources in a folder and below.
    pub(crate) fn below(folder: &Path) -> Self {
        let (mut folders, mut files): (Vec<PathBuf>, Vec<PathBuf>) = (vec![folder.to_path_buf()], vec![]);
        while let Some(folder) = folders.pop() {
            for entry in std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()) {
                match entry.is_dir() {
                    true => folders.push(entry),
                    false if entry.extension().is_some_and(|extension| extension == "rs") => files.push(entry),
                    false => {}
                }
            }
        }
        files.sort();
        Self(files.iter().map(|file| std::fs::read_to_string(file).unwrap()).collect())
    }

    /// The struct or enum of a name, or a variant of an enum, `Enum::Variant`.
    pub(crate) fn item(&self, name: &str) -> Item {
        if let Some((of, variant)) = name.split_once("::") {
            let found = self.item(of).items.into_iter().find(|item| item.name == variant);
            return found.unwrap_or_else(|| panic!("no variant {name} in the sources"));
        }
        self.find(name).unwrap_or_else(|| panic!("no struct or enum {name} in the sources"))
    }

    /// Whether a type is a struct or enum that is read from a file.
    pub(crate) fn is_read(&self, name: &str) -> bool {
        self.lines_from(name).is_some_and(|(above, _)| above.iter().any(|line| line.contains("Deserialize")))
    }

    fn find(&self, name: &str) -> Option<Item> {
        // The kinds of sources are an enum that a macro makes of a list.
        let name_in_text = if name == "SourceConfig" { "kinds!" } else { name };
        let (above, lines) = self.lines_from(name_in_text)?;
        let docs = docs(&above);
        Some(Item { name: name.into(), docs, kind: String::new(), items: items(&mut lines.into_iter().skip(1)) })
    }

    /// The lines from where a struct or enum begins, and those right above.
    fn lines_from(&self, name: &str) -> Option<(Vec<&str>, Vec<&str>)> {
        let openings = ["pub struct ", "pub enum ", ""].map(|what| format!("{what}{name} {{"));
        self.0.iter().find_map(|text| {
            let lines: Vec<&str> = text.lines().collect();
            let at = lines.iter().position(|line| openings.iter().any(|opening| line == opening))?;
            let above = lines[..at].iter().rev().take_while(|line| !line.trim().is_empty()).count();
            Some((lines[at - above..at].to_vec(), lines[at..].to_vec()))
        })
    }
}

/// The fields or variants up to the brace that closes them.
fn items<'a>(lines: &mut impl Iterator<Item = &'a str>) -> Vec<Item> {
    let (mut found, mut above) = (vec![], vec![]);
    while let Some(line) = lines.next().map(str::trim) {
        if line.starts_with('}') {
            break;
        }
        if line.starts_with("//") || line.starts_with('#') {
            above.push(line);
            continue;
        }
        let line = line.trim_start_matches("pub(crate) ").trim_start_matches("pub ");
        let name: String = line.chars().take_while(|c| c.is_alphanumeric() || *c == '_').collect();
        let kind = line.split_once(": ").map_or(String::new(), |(_, kind)| kind.trim_end_matches(',').to_string());
        let inner = if line.ends_with('{') { items(&mut *lines) } else { vec![] };
        if !name.is_empty() {
            found.push(Item { name, docs: docs(&above), kind, items: inner });
        }
        above.clear();
    }
    found
}

/// The words of doc comments up to the first empty line, in one line.
fn docs(lines: &[&str]) -> String {
    let docs = lines.iter().filter_map(|line| line.trim().strip_prefix("///").map(str::trim));
    let docs = docs.take_while(|line| !line.is_empty()).collect::<Vec<&str>>().join(" ");
    assert!(!docs.contains("[`"), "a link that means nothing on a page: {docs}");
    docs.replace('|', "\\|")
}
