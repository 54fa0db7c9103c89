//! `docs/configuration.md` is what the settings' own doc comments say: it is generated here, and compared.

// A panic is how a test reports.
#![allow(clippy::unwrap_used)]

use std::fmt::Write as _;
use std::path::{Path, PathBuf};

/// The tables of a configuration in their order, and the struct of each.
const TABLES: [(&str, &str); 23] = [
    ("[run]", "RunSettings"),
    ("[data]", "DataConfig"),
    ("[data] source = { kind = \"folder\", … }", "FolderConfig"),
    ("[data] source = { kind = \"emoji\", … }", "EmojiConfig"),
    ("[data] source = { kind = \"fashion-mnist\", … }", "FashionMnistConfig"),
    ("[data] source = { kind = \"shapes\", … }", "ShapesConfig"),
    ("[data] source = { kind = \"noise\", … }", "NoiseConfig"),
    ("[documents]", "DocumentConfig"),
    ("[tokenizer]", "TokenizerSettings"),
    ("[codec] kind = \"vae\"; the default is kind = \"pixels\"", "VaeCodecConfig"),
    ("[model]", "ModelConfig"),
    ("[model.backbone]", "BackboneConfig"),
    ("[model.modalities.NAME] objective = \"next_token\"", "TextTowerConfig"),
    ("[model.modalities.NAME] objective = \"denoise\"", "ImageTowerConfig"),
    ("[model.modalities.NAME] timesteps = { … }", "TimestepSampling"),
    ("[model.modalities.NAME] unet = { … }", "UNetConfig"),
    ("[objective]", "ObjectiveConfig"),
    ("[optimizer]", "OptimizerConfig"),
    ("[train]", "TrainConfig"),
    ("[intervals]", "IntervalConfig"),
    ("[validation]", "ValidationConfig"),
    ("[sampling]", "SamplingConfig"),
    ("[preview]", "PreviewSettings"),
];

/// Settings that are one of several words.
const CHOICES: [&str; 8] = [
    "PositionScheme",
    "NormPlacement",
    "NoiseProcess",
    "PredictionTarget",
    "TimestepConditioning",
    "TrainPrecision",
    "Solver",
    "EmojiHeldOut",
];

#[test]
fn the_page_says_what_the_settings_say() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
    let expected = page(&sources(&root.join("crates")));
    let path = root.join("docs/configuration.md");
    if std::env::var_os("INTERFUSE_WRITE_DOCS").is_some() {
        std::fs::write(&path, &expected).unwrap();
    }
    let found = std::fs::read_to_string(&path).unwrap_or_default();
    assert!(
        found == expected,
        "docs/configuration.md is not what the settings say; INTERFUSE_WRITE_DOCS=1 cargo test --workspace --test \
         configuration_reference writes it"
    );
}

fn page(sources: &[String]) -> String {
    let mut page = String::from(
        "# Configuration\n\nA configuration is one complete TOML file; nothing is inherited from another.\n`--set \
         a.b=value` changes a key, an unknown key is an error that names the nearest known one, and the complete result is \
         written into the run folder.\nThis page is generated from the settings' own comments; presets are in `configs/`.\n",
    );
    for (heading, name) in TABLES {
        let body = item(sources, "struct", name);
        let optional = body.attributes.contains("default");
        write!(page, "\n## `{heading}`\n\n{}\n\n| key | what it is |\n|---|---|\n", body.docs).unwrap();
        for field in fields(&body.text) {
            let needed = !optional && !field.attributes.contains("default") && !field.kind.starts_with("Option");
            let needed = if needed { " Needed." } else { "" };
            writeln!(page, "| `{}` | {}{needed} |", field.name, field.docs).unwrap();
        }
    }
    page.push_str("\n## Words that settings take\n");
    for name in CHOICES {
        let body = item(sources, "enum", name);
        let kebab = body.attributes.contains("kebab-case");
        write!(page, "\n{}\n\n", body.docs).unwrap();
        for field in fields(&body.text) {
            writeln!(page, "- `{}`: {}", word(&field.name, if kebab { '-' } else { '_' }), field.docs).unwrap();
        }
    }
    page
}

/// A struct or an enum, or a field or variant of one.
struct Item {
    name: String,
    docs: String,
    attributes: String,
    kind: String,
    /// What stands between the braces.
    text: String,
}

fn item(sources: &[String], what: &str, name: &str) -> Item {
    let opening = [format!("pub {what} {name} {{"), format!("pub(crate) {what} {name} {{")];
    let found = sources.iter().find_map(|text| {
        let at = opening.iter().find_map(|opening| text.find(opening.as_str()))?;
        let body = &text[at..];
        let end = body.find("\n}").unwrap();
        let above: Vec<&str> = text[..at].lines().rev().take_while(|line| !line.trim().is_empty()).collect();
        let above: Vec<&str> = above.into_iter().rev().collect();
        let (docs, attributes) = comments(&above);
        let start = body.find('\n').unwrap();
        Some(Item { name: name.into(), docs, attributes, kind: what.into(), text: body[start..end].into() })
    });
    found.unwrap_or_else(|| panic!("no {what} {name} in the sources"))
}

/// The fields of a struct or the variants of an enum, each with its comment.
fn fields(text: &str) -> Vec<Item> {
    let (mut found, mut above) = (vec![], vec![]);
    for line in text.lines().map(str::trim) {
        if line.starts_with("///") || line.starts_with('#') {
            above.push(line);
            continue;
        }
        let line = line.trim_start_matches("pub(crate) ").trim_start_matches("pub ");
        let name: String = line.chars().take_while(|c| c.is_alphanumeric() || *c == '_').collect();
        let kind = line.split_once(": ").map_or(String::new(), |(_, kind)| kind.trim_end_matches(',').to_string());
        if !name.is_empty() {
            let (docs, attributes) = comments(&above);
            found.push(Item { name, docs, attributes, kind, text: String::new() });
        }
        above.clear();
    }
    found
}

/// The words of doc comments up to the first empty line, in one line, and the attributes.
fn comments(lines: &[&str]) -> (String, String) {
    let docs = lines.iter().filter_map(|line| line.trim().strip_prefix("///").map(str::trim));
    let docs: Vec<&str> = docs.take_while(|line| !line.is_empty()).collect();
    let attributes: Vec<&str> = lines.iter().copied().filter(|line| line.trim().starts_with('#')).collect();
    (docs.join(" ").replace('|', "\\|"), attributes.join(" "))
}

/// `RectifiedFlow` as a configuration writes it.
fn word(name: &str, between: char) -> String {
    let mut out = String::new();
    for (index, letter) in name.chars().enumerate() {
        if letter.is_uppercase() && index > 0 {
            out.push(between);
        }
        out.extend(letter.to_lowercase());
    }
    out
}

fn sources(folder: &Path) -> Vec<String> {
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
    files.iter().map(|file| std::fs::read_to_string(file).unwrap()).collect()
}
