//! Shards of every layout give what `webdataset`, `pyarrow` and Python read from them; `generate.py` made them.

// A panic is how a test reports.
#![allow(clippy::unwrap_used)]

use std::path::{Path, PathBuf};

use interfuse_shards::layouts::{
    CaptionedLayout, ConversationLayout, EditLayout, MissingImages, Mmc4Layout, ObelicsLayout, TextLayout,
};
use interfuse_shards::{Example, Layout, Part, Reading, containers};
use serde_json::{Value, json};

fn here() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/parity")
}

fn expected(name: &str) -> Vec<Value> {
    let text = std::fs::read_to_string(here().join("expected.json")).unwrap();
    let all: Value = serde_json::from_str(&text).unwrap();
    all[name].as_array().unwrap().clone()
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn described(example: &Example) -> Value {
    let part = |part: &Part| match part {
        Part::Text(text) => json!(text),
        Part::Image(image) => json!({"image": hex(&image.bytes)}),
    };
    json!({
        "key": example.key,
        "parts": example.parts.iter().map(part).collect::<Vec<_>>(),
        "captions": example.captions,
        "label": example.label,
        "turns": example.turns.iter().map(|turn| json!([turn.from, turn.parts.start, turn.parts.end])).collect::<Vec<_>>(),
        "images_left_out": example.images_left_out,
        "fields": example.fields,
    })
}

/// Reads a shard in an order and compares every row.
fn check_in_order(name: &str, reading: &Reading, order: impl Iterator<Item = u64>) {
    let expected = expected(name);
    let mut shard = containers::open(&here().join(name), &reading.columns()).unwrap();
    assert_eq!(shard.rows(), expected.len() as u64, "{name}");
    for row in order {
        let expected = &expected[row as usize];
        let record = shard.read(row, &|_| true).map(Option::unwrap);
        let example = record.and_then(|record| reading.example(record));
        match example {
            Ok(example) => assert_eq!(described(&example), *expected, "{name}, row {row}"),
            Err(error) => {
                assert_eq!(expected["bad"], true, "{name}, row {row}: {error}");
                let message = error.to_string();
                assert!(
                    message.contains(name) && message.contains("expected") && message.contains("found"),
                    "{message}"
                );
            }
        }
    }
}

fn check(name: &str, reading: &Reading) {
    let rows = expected(name).len() as u64;
    check_in_order(name, reading, 0..rows);
    check_in_order(name, reading, (0..rows).rev());
    check_in_order(name, reading, (0..rows).map(|row| row * 7 % rows));
}

fn of(layout: Layout) -> Reading {
    Reading { layout, ..Reading::default() }
}

#[test]
fn tars_of_captioned_images_are_those_of_webdataset() {
    let reading = Reading { fields: vec!["json.width".into(), "nowhere".into()], ..Reading::default() };
    check("captioned.tar", &reading);
    check("captioned.tar.gz", &reading);
}

#[test]
fn tars_out_of_order_are_read_as_by_webdataset() {
    let reading = Reading::default();
    for name in ["messy-gnu.tar", "messy-pax.tar"] {
        check(name, &reading);
        let shard = containers::open(&here().join(name), &reading.columns()).unwrap();
        let remarks = shard.remarks();
        assert_eq!((remarks.out_of_order, remarks.repeated, remarks.torn), (1, 1, false), "{remarks:?}");
        assert!(
            remarks.sentences[0].contains("the key `b`") && remarks.sentences[1].contains("`d.txt`"),
            "{remarks:?}"
        );
    }
}

#[test]
fn captions_of_a_configured_key_join_those_of_another() {
    let captions = vec!["json.caption".into(), "json.url".into(), "txt".into()];
    let reading = of(Layout::Captioned(CaptionedLayout { captions, ..Default::default() }));
    let mut shard = containers::open(&here().join("captioned.tar"), &reading.columns()).unwrap();
    let example = reading.example(shard.read(2, &|_| true).unwrap().unwrap()).unwrap();
    assert_eq!(example.captions, ["Photo 2 — café", "u2"]);
    let Part::Image(image) = &example.parts[0] else { panic!("{example:?}") };
    assert_eq!(image.format, "jpg");
}

#[test]
fn lines_are_read_plain_and_compressed() {
    for name in ["texts.jsonl", "texts.jsonl.gz", "texts.jsonl.zst"] {
        check(name, &of(Layout::Text(TextLayout::default())));
    }
}

#[test]
fn documents_edits_and_conversations_come_in_reading_order() {
    check("mmc4.tar", &of(Layout::Mmc4(Mmc4Layout::default())));
    check("edits.tar", &of(Layout::Edit(EditLayout::default())));
    let layout = Layout::Conversation(ConversationLayout::default());
    let reading = Reading { layout, key: Some("id".into()), images: Some(here().join("images")), ..Reading::default() };
    check("llava.json", &reading);
}

#[cfg(feature = "parquet")]
#[test]
fn parquet_is_read_as_by_pyarrow() {
    let reading = Reading { key: Some("id".into()), fields: vec!["size".into()], ..Reading::default() };
    check("struct.parquet", &reading);
    for name in ["binary-zstd.parquet", "binary-gzip.parquet", "binary-none.parquet"] {
        check(name, &Reading::default());
    }
    check("edits.parquet", &of(Layout::Edit(EditLayout::default())));
    let missing = MissingImages::LeaveOut;
    check("obelics.parquet", &of(Layout::Obelics(ObelicsLayout { missing, ..Default::default() })));
}

#[cfg(feature = "parquet")]
#[test]
fn a_column_that_is_missing_is_named_with_the_nearest() {
    let reading = of(Layout::Text(TextLayout { text: vec!["txet".into()] }));
    let error = containers::open(&here().join("struct.parquet"), &reading.columns()).err().unwrap().to_string();
    assert!(error.contains("a column `txet`") && error.contains("nearest is `text`"), "{error}");
    let reading =
        of(Layout::Captioned(CaptionedLayout { captions: vec!["json.captoin".into()], ..Default::default() }));
    let mut shard = containers::open(&here().join("captioned.tar"), &reading.columns()).unwrap();
    let error = reading.example(shard.read(0, &|_| true).unwrap().unwrap()).unwrap_err().to_string();
    assert!(error.contains("json.captoin") && error.contains("nearest is `caption`"), "{error}");
}

#[cfg(not(feature = "parquet"))]
#[test]
fn parquet_is_refused_by_name_without_the_feature() {
    let error = containers::open(&here().join("struct.parquet"), &Reading::default().columns()).err().unwrap();
    assert!(error.to_string().contains("feature `parquet`"), "{error}");
}

#[test]
fn images_that_are_missing_are_refused_or_left_out() {
    let root = tempfile::tempdir().unwrap();
    let lines = "{\"images\": [null, \"b.png\", \"nowhere.png\"], \"texts\": [\" a \", null, null]}\n\
                 {\"images\": [\"nowhere.png\", null], \"texts\": [null, \"b\"]}\n";
    let path = root.path().join("documents.jsonl");
    std::fs::write(&path, lines).unwrap();
    let read = |missing, row| {
        let layout = Layout::Obelics(ObelicsLayout { missing, ..Default::default() });
        let reading = Reading { layout, images: Some(here().join("images")), ..Reading::default() };
        let mut shard = containers::open(&path, &reading.columns()).unwrap();
        reading.example(shard.read(row, &|_| true).unwrap().unwrap()).map_err(|error| error.to_string())
    };
    let example = read(MissingImages::LeaveOut, 0).unwrap();
    assert_eq!((example.parts.len(), example.images(), example.images_left_out), (2, 1, 1));
    assert_eq!(example.parts[0], Part::Text(" a ".into()));
    let refused = read(MissingImages::Refuse, 0).unwrap_err();
    assert!(refused.contains("image 1") && refused.contains("nowhere.png"), "{refused}");
    assert!(read(MissingImages::LeaveOut, 1).unwrap_err().contains("1 images left out and no other"));
}

#[test]
fn settings_are_read_strictly() {
    let read = |text: &str| serde_json::from_str::<Reading>(text).map_err(|error| error.to_string());
    let reading = read(r#"{"layout": {"kind": "captioned", "captions": ["json.caption"]}, "key": "id"}"#).unwrap();
    assert_eq!(read(&serde_json::to_string(&reading).unwrap()).unwrap(), reading);
    assert_eq!(read("{}").unwrap(), Reading::default());
    assert!(
        read(r#"{"layout": {"kind": "captioned", "caption": []}}"#).unwrap_err().contains("unknown field `caption`")
    );
    assert!(read(r#"{"layout": {"kind": "capitoned"}}"#).unwrap_err().contains("captioned"));
}
