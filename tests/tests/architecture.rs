//! The house: which crate may import which, and that every file says what it is.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Command;

/// A crate imports only crates of a lower level.
const LEVELS: [(&str, usize); 23] = [
    ("interfuse-kernels", 0),
    ("interfuse-parameters", 0),
    ("interfuse-sequence", 0),
    ("interfuse-scaling", 0),
    ("interfuse-plots", 0),
    ("interfuse-corpora", 0),
    ("interfuse-shards", 0),
    ("interfuse-serve", 0),
    ("interfuse-speech", 1),
    ("interfuse-sweep", 1),
    ("interfuse-text-tower", 1),
    ("interfuse-image-tower", 1),
    ("interfuse-mot", 1),
    ("interfuse-vae", 1),
    ("interfuse-transfusion", 2),
    ("interfuse-data", 2),
    ("interfuse-checkpoint", 3),
    ("interfuse-sampling", 4),
    ("interfuse-evaluation", 4),
    ("interfuse-trainer", 5),
    ("interfuse-run", 6),
    ("interfuse-cli", 7),
    ("interfuse-tests", 8),
];

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("the tests lie in the workspace").to_path_buf()
}

#[test]
fn crates_import_only_what_lies_below_them() {
    let output = Command::new(env!("CARGO"))
        .args(["metadata", "--format-version", "1", "--no-deps", "--offline"])
        .current_dir(root())
        .output()
        .expect("cargo metadata runs");
    let metadata: serde_json::Value = serde_json::from_slice(&output.stdout).expect("cargo metadata is JSON");
    let levels = BTreeMap::from(LEVELS);
    let packages = metadata["packages"].as_array().expect("packages");
    let mut seen = 0;
    for package in packages {
        let name = package["name"].as_str().expect("name");
        let level = levels.get(name).unwrap_or_else(|| panic!("{name} has no place in the order of the crates"));
        seen += 1;
        for dependency in package["dependencies"].as_array().expect("dependencies") {
            let dependency = dependency["name"].as_str().expect("name");
            if let Some(below) = levels.get(dependency) {
                assert!(below < level, "{name} (level {level}) imports {dependency} (level {below})");
            }
        }
    }
    assert_eq!(seen, LEVELS.len(), "every crate of the list exists");
}

#[test]
fn every_file_opens_by_saying_what_it_is() {
    let mut files = 0;
    for file in rust_files(&root().join("crates")).into_iter().chain(rust_files(&root().join("tests"))) {
        let text = std::fs::read_to_string(&file).expect("source is readable");
        assert!(text.starts_with("//!"), "{} does not open with `//!`", file.display());
        files += 1;
    }
    assert!(files > 50, "found only {files} files");
}

#[test]
fn sequence_opens_no_file_and_only_attention_mixes_rows() {
    let forbidden = |folder: &str, word: &str, except: &str| {
        for file in rust_files(&root().join("crates").join(folder)) {
            let text = std::fs::read_to_string(&file).expect("source is readable");
            let excepted = !except.is_empty() && file.ends_with(except);
            assert!(excepted || !text.contains(word), "{} uses {word}", file.display());
        }
    };
    forbidden("sequence", "std::fs", "");
    forbidden("sequence", "Param<", "");
    forbidden("mot", "ranged_attention(", "attention.rs");
}

fn rust_files(folder: &Path) -> Vec<PathBuf> {
    let mut files = vec![];
    for entry in std::fs::read_dir(folder).expect("folder").flatten() {
        let path = entry.path();
        let skipped = path.file_name().is_some_and(|name| name == "target");
        if path.is_dir() && !skipped {
            files.extend(rust_files(&path));
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            files.push(path);
        }
    }
    files
}
