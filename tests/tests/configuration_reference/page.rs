//! The page: a section for each table, and one for each enum of words.

use std::fmt::Write as _;

use crate::settings::{Absent, Choice, Table};
use crate::source::{Item, Sources};
use crate::tables;

const INTRODUCTION: &str = "# Configuration

A configuration is one complete TOML file; nothing is inherited from another.
`--set a.b=value` changes a key, an unknown key is an error that names the nearest known one, and the complete result is \
written into the run folder.
This page is generated from the settings themselves; presets are in `configs/`.

The column *default* has what is taken where a key is absent.
A key that is *needed* has none, and of a key without a default the description says what happens in its absence.
A default such as `{ kind = \"emoji\" }` is a table whose other keys have the defaults of that table, and `{}` one that has \
them all.
A table may also be written in one line: `source = { kind = \"folder\", path = \"images\" }` in `[data]` is `[data.source]`.
";

/// What is on the page so far, and what it must still explain.
struct Page<'a> {
    sources: &'a Sources,
    choices: Vec<Choice>,
    text: String,
    /// Structs and enums that the page describes.
    described: Vec<String>,
    /// Each key whose values are a struct or an enum, with its type.
    keys: Vec<(String, String)>,
}

/// The whole page.
pub(crate) fn page(sources: &Sources) -> String {
    let (keys, described) = (vec![], vec![]);
    let mut page = Page { sources, choices: tables::choices(), text: INTRODUCTION.into(), described, keys };
    let (train, vae) = (tables::train(), tables::vae_train());
    page.root(&train, "A model of text and images. Its tables:");
    tables::train_tables().iter().for_each(|table| page.table(table));
    page.root(&vae, "An autoencoder. Its tables:");
    page.shared(&vae.docs);
    tables::vae_tables().iter().for_each(|table| page.table(table));
    page.words();
    page.check_complete();
    page.text
}

impl Page<'_> {
    /// The section of a command, with the tables of its configuration.
    fn root(&mut self, table: &Table, docs: &str) {
        write!(self.text, "\n## `{} CONFIG`\n\n{docs}\n", table.heading).unwrap();
        self.rows(table, "");
    }

    /// Says which tables of a configuration are described already.
    fn shared(&mut self, settings: &str) {
        let fields = self.sources.item(settings).items;
        let shared = fields.iter().filter(|field| self.described.contains(&field.kind));
        let shared: Vec<String> = shared.map(|field| format!("`[{}]`", field.name)).collect();
        write!(self.text, "\n{} are those of `interfuse train`, above.\n", listed(&shared, "and")).unwrap();
    }

    fn table(&mut self, table: &Table) {
        let docs = self.sources.item(&table.docs).docs;
        write!(self.text, "\n### `{}`\n\n{docs}\n", table.heading).unwrap();
        let path = table.heading.trim_start_matches('[').split(']').next().unwrap();
        self.rows(table, &format!("{path}."));
    }

    /// A row for each key, whose names begin with `path`.
    fn rows(&mut self, table: &Table, path: &str) {
        self.text.push_str("\n| key | default | what it is |\n|---|---|---|\n");
        let fields = self.sources.item(&table.docs).items;
        let keys = table.keys();
        let names: Vec<&str> = keys.iter().map(|key| key.name.as_str()).collect();
        let commented: Vec<&str> = fields.iter().map(|field| field.name.as_str()).collect();
        assert_eq!(names, commented, "the keys of {} as serde knows them, and as the source has them", table.docs);
        for (key, field) in keys.iter().zip(&fields) {
            let default = match &key.default {
                Absent::Needed => "needed".into(),
                Absent::Nothing => String::new(),
                Absent::Value(value) => format!("`{value}`"),
            };
            assert!(!field.docs.is_empty(), "{}.{} has no doc comment", table.docs, field.name);
            let words = self.words_of(field, path);
            writeln!(self.text, "| `{}` | {default} | {}{words} |", key.name, field.docs).unwrap();
        }
        self.described.push(table.docs.split("::").next().unwrap().into());
    }

    /// The words that a key takes, as a sentence, if it does; notes of which type the key is.
    fn words_of(&mut self, field: &Item, path: &str) -> String {
        let each = if field.kind.contains("Map<") { ".NAME" } else { "" };
        let mut sentence = String::new();
        for name in field.kind.split(|c: char| !c.is_alphanumeric()) {
            let choice = self.choices.iter().find(|choice| choice.name == name);
            if choice.is_none() && !self.sources.is_read(name) {
                continue;
            }
            let tag = choice.and_then(|choice| choice.tag).map_or(String::new(), |tag| format!(".{tag}"));
            self.keys.push((format!("{path}{}{each}{tag}", field.name), name.into()));
            if let Some(Choice { words, tag, .. }) = choice {
                let words: Vec<String> = words.iter().map(|word| format!("`{word}`")).collect();
                let takes = tag.map_or("Takes".into(), |tag| format!("Its `{tag}` is"));
                sentence = format!(" {takes} {}.", listed(&words, "or"));
            }
        }
        sentence
    }

    /// What every word means, under the keys that take it.
    fn words(&mut self) {
        self.text.push_str("\n## Words that keys take\n");
        for Choice { name, words, .. } in std::mem::take(&mut self.choices) {
            let mut keys: Vec<String> =
                self.keys.iter().filter(|(_, kind)| *kind == name).map(|(key, _)| format!("`{key}`")).collect();
            keys.dedup();
            assert!(!keys.is_empty(), "{name}: no key takes its words");
            write!(self.text, "\n### {}\n\n", keys.join(", ")).unwrap();
            let item = self.sources.item(&name);
            if !item.docs.is_empty() {
                write!(self.text, "{}\n\n", item.docs).unwrap();
            }
            assert_eq!(item.items.len(), words.len(), "{name}: {words:?}");
            for (variant, word) in item.items.iter().zip(&words) {
                assert_eq!(word.replace(['-', '_'], ""), variant.name.to_lowercase(), "{name} in another order");
                writeln!(self.text, "- `{word}`: {}", variant.docs).unwrap();
            }
            self.described.push(name);
        }
    }

    /// Every struct and enum that a key leads to is on the page.
    fn check_complete(&self) {
        let missing: Vec<_> = self.keys.iter().filter(|(_, kind)| !self.described.contains(kind)).collect();
        assert!(
            missing.is_empty(),
            "keys whose settings tests/tests/configuration_reference/tables.rs lacks: {missing:?}"
        );
    }
}

/// `a, b or c`.
fn listed(items: &[String], between: &str) -> String {
    match items {
        [items @ .., last] if !items.is_empty() => format!("{} {between} {last}", items.join(", ")),
        items => items.join(", "),
    }
}
