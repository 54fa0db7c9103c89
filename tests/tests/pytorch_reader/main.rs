//! `assets/pytorch/reader.py` computes what the model computes: checkpoints of ours, what we and what the reader make of them.
//!
//! ```text
//! INTERFUSE_WRITE_FIXTURES=1 cargo test --workspace --test pytorch_reader    # writes the folders beside this file
//! python assets/pytorch/check.py --write                                     # writes what the reader makes of them
//! ```
//!
//! A folder is a checkpoint with `documents.json`, the inputs; `interfuse.json`, what the model made of them when the folder was
//! written; and `reader.json`, what the reader made of them. The tests need no Python.

// A panic is how a test reports.
#![allow(clippy::unwrap_used)]

mod cases;
mod document;

use std::path::{Path, PathBuf};

use burn::tensor::Device;
use interfuse_checkpoint::{FORMAT_VERSION, Pretrained};
use serde_json::Value;

use crate::cases::CASES;
use crate::document::{Document, outputs};

/// Of a document, of its segments, the numbers of each.
type Outputs = Vec<Vec<Vec<f32>>>;

fn folder(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/pytorch_reader").join(name)
}

fn read<T: serde::de::DeserializeOwned>(path: &Path) -> T {
    let text = std::fs::read_to_string(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    serde_json::from_str(&text).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// The largest difference; all lengths must be the same.
fn largest_gap(found: &[Vec<Vec<f32>>], expected: &[Vec<Vec<f32>>]) -> f32 {
    let lengths = |outputs: &[Vec<Vec<f32>>]| -> Vec<Vec<usize>> {
        outputs.iter().map(|document| document.iter().map(Vec::len).collect()).collect()
    };
    assert_eq!(lengths(found), lengths(expected));
    let numbers = |outputs: &[Vec<Vec<f32>>]| outputs.concat().concat();
    numbers(found).into_iter().zip(numbers(expected)).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max)
}

/// What the model makes of a folder's documents.
fn computed(folder: &Path) -> Outputs {
    let pretrained = Pretrained::open(folder, true, &Device::flex()).unwrap();
    let documents: Vec<Document> = read(&folder.join("documents.json"));
    documents.iter().map(|document| outputs(&pretrained.model, &pretrained.card.model, document)).collect()
}

/// Writes the folders; what the reader makes of them is then for `check.py` to write.
fn write_fixtures() {
    for case in CASES {
        let folder = folder(case.name);
        case.write(&folder);
        let rounded = |x: &f32| (f64::from(*x) * 1e6).round() / 1e6;
        let segments = |document: &Vec<Vec<f32>>| -> Vec<Vec<f64>> {
            document.iter().map(|segment| segment.iter().map(rounded).collect()).collect()
        };
        let outputs: Vec<Vec<Vec<f64>>> = computed(&folder).iter().map(segments).collect();
        let text = serde_json::to_string(&outputs).unwrap();
        std::fs::write(folder.join("interfuse.json"), text + "\n").unwrap();
    }
}

#[test]
fn the_reader_computes_what_the_model_computes() {
    if std::env::var_os("INTERFUSE_WRITE_FIXTURES").is_some() {
        return write_fixtures();
    }
    for case in CASES {
        let folder = folder(case.name);
        let found = computed(&folder);
        for other in ["interfuse.json", "reader.json"] {
            let gap = largest_gap(&found, &read::<Outputs>(&folder.join(other)));
            assert!(gap < 1e-4, "{}/{other}: {gap}", case.name);
        }
        // Numbers that hardly differ from one another would tell nothing apart.
        let numbers = found.concat().concat();
        let mean = numbers.iter().sum::<f32>() / numbers.len() as f32;
        let variance = numbers.iter().map(|x| (x - mean).powi(2)).sum::<f32>() / numbers.len() as f32;
        assert!(variance > 0.01, "{}: {variance}", case.name);
    }
}

#[test]
fn the_reader_knows_every_setting_and_the_format() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap().join("assets/pytorch/reader.py");
    let reader = std::fs::read_to_string(path).unwrap();
    assert!(reader.lines().count() < 200, "it promises fewer than 200 lines");
    assert!(reader.contains(&format!("(\"transfusion\", {FORMAT_VERSION})")), "it refuses other formats");
    let words: Vec<&str> = reader.split(|c: char| !c.is_alphanumeric() && c != '_').collect();
    let keys = |table: &Value| -> Vec<String> { table.as_object().unwrap().keys().cloned().collect() };
    for case in CASES {
        let model = serde_json::to_value((case.config)()).unwrap();
        let modalities = model["modalities"].as_object().unwrap().values().flat_map(keys);
        for key in keys(&model).into_iter().chain(keys(&model["backbone"])).chain(modalities) {
            assert!(
                words.contains(&key.as_str()),
                "teach assets/pytorch/reader.py what `{key}` does, and add it to KNOWN"
            );
        }
    }
}
