//! Our tokenizer and Hugging Face's Python package agree: same file from the same captions, same
//! ids from the same text.
//!
//! `generate.py` wrote `tokenizer.json` and `expected.json`; run it again when the captions or the
//! training change.

#![allow(clippy::unwrap_used, reason = "a panic in a test is the failure report")]

use std::path::PathBuf;

use interfuse_data::Tokenizer;
use serde_json::Value;

fn read(name: &str) -> String {
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/tokenizer_parity").join(name);
    std::fs::read_to_string(path).unwrap()
}

fn expected() -> Value {
    serde_json::from_str(&read("expected.json")).unwrap()
}

fn trained() -> Tokenizer {
    let vocab_size = expected()["vocab_size"].as_u64().unwrap() as usize;
    Tokenizer::train(read("captions.txt").lines(), vocab_size).unwrap()
}

#[test]
fn the_same_captions_give_the_same_file() {
    let ours = String::from_utf8(trained().to_bytes().unwrap()).unwrap();
    let theirs = read("tokenizer.json");
    // Line by line: the difference of two whole files would be pages long.
    for (number, (ours, theirs)) in ours.lines().zip(theirs.lines()).enumerate() {
        assert_eq!(ours, theirs, "line {}", number + 1);
    }
    assert_eq!(ours.trim_end().len(), theirs.trim_end().len());
}

#[test]
fn the_same_text_gives_the_same_ids() {
    let expected = expected();
    let theirs = Tokenizer::from_bytes(read("tokenizer.json").as_bytes()).unwrap();
    for case in expected["cases"].as_array().unwrap() {
        let text = case["text"].as_str().unwrap();
        let ids: Vec<u32> = serde_json::from_value(case["ids"].clone()).unwrap();
        for tokenizer in [&theirs, &trained()] {
            assert_eq!(tokenizer.encode(text).unwrap(), ids, "{text:?}");
            assert_eq!(tokenizer.decode(&ids).unwrap(), text);
        }
    }
}
