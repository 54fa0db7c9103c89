//! Damaged files: what is whole is used, the rest is counted and named, and nothing panics.

// A panic is how a test reports.
#![allow(clippy::unwrap_used)]

use std::path::{Path, PathBuf};

use interfuse_shards::layouts::TextLayout;
use interfuse_shards::{Layout, OrderConfig, Place, Reading, Records, ShardError, ShardList, ShardStream, containers};
use proptest::prelude::*;

fn fixture(name: &str) -> Vec<u8> {
    std::fs::read(Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/parity").join(name)).unwrap()
}

/// A file in a folder that is gone with it.
struct File {
    _folder: tempfile::TempDir,
    path: PathBuf,
}

fn file(name: &str, bytes: &[u8]) -> File {
    let root = tempfile::tempdir().unwrap();
    let path = root.path().join(name);
    std::fs::write(&path, bytes).unwrap();
    File { _folder: root, path }
}

fn open(file: &File, reading: &Reading) -> Result<Box<dyn Records>, ShardError> {
    containers::open(&file.path, &reading.columns())
}

/// The keys of the rows that can be used, and how many cannot.
fn keys(shard: &mut dyn Records, reading: &Reading) -> (Vec<String>, usize) {
    let rows = shard.rows();
    let read = |row| shard.read(row, &|_| true).and_then(|record| reading.example(record.unwrap()));
    let (good, bad): (Vec<_>, Vec<_>) = (0..rows).map(read).partition(Result::is_ok);
    (good.into_iter().map(|example| example.unwrap().key).collect(), bad.len())
}

fn texts() -> Reading {
    Reading { layout: Layout::Text(TextLayout::default()), ..Reading::default() }
}

/// A tar of five rows of 2048 bytes: `0.jpg` of 300 bytes, and `0.txt` of 100.
fn tar() -> Vec<u8> {
    let mut tar = tar::Builder::new(vec![]);
    for number in 0..5 {
        for (suffix, length) in [("jpg", 300), ("txt", 100)] {
            let mut header = tar::Header::new_gnu();
            header.set_size(length);
            tar.append_data(&mut header, format!("{number}.{suffix}"), &vec![b'x'; length as usize][..]).unwrap();
        }
    }
    tar.into_inner().unwrap()
}

const ROW: usize = 2048;

#[test]
fn a_tar_that_is_cut_gives_the_rows_before_the_cut() {
    let whole = tar();
    for cut in (0..=whole.len()).step_by(4) {
        // The last 412 bytes of a row are padding.
        let rows = ((cut + 412) / ROW).min(5);
        let file = file("cut.tar", &whole[..cut]);
        let Ok(mut shard) = open(&file, &Reading::default()) else {
            assert!(cut < 1636 && !(812..1536).contains(&cut), "cut at {cut}");
            continue;
        };
        let (keys, bad) = keys(&mut *shard, &Reading::default());
        let remarks = shard.remarks();
        assert_eq!((keys.len(), remarks.torn), (rows, cut < 5 * ROW + 512), "cut at {cut}: {remarks:?}");
        // Of a row of which some members are whole, these are tried; one with a member that is cut is left out.
        assert!(bad as u64 + remarks.lost <= 1, "cut at {cut}: {remarks:?}");
        let in_data = matches!(cut % ROW, 512..812 | 1536..1636) && cut < 5 * ROW;
        assert_eq!(remarks.lost, u64::from(in_data), "cut at {cut}");
        assert!(!remarks.torn || remarks.sentences[0].contains("cut.tar"), "{remarks:?}");
    }
}

#[test]
fn a_compressed_tar_that_is_cut_gives_the_rows_before_the_cut() {
    let whole = fixture("captioned.tar.gz");
    let reading = Reading::default();
    let mut most = 0;
    for cut in 0..whole.len() {
        let file = file("cut.tar.gz", &whole[..cut]);
        if let Ok(mut shard) = open(&file, &reading) {
            let (keys, bad) = keys(&mut *shard, &reading);
            // A row that has an image and a caption already is used, and left out while a further member is cut.
            let left = 1 - bad.min(1);
            assert!(
                keys.len() + left >= most && bad <= 1,
                "cut at {cut}: {} of {most}, {:?}",
                keys.len(),
                shard.remarks()
            );
            most = most.max(keys.len());
        }
    }
    assert_eq!(most, 5);
}

#[test]
fn a_torn_tar_is_counted_once_in_a_pass() {
    let file = file("cut.tar", &tar()[..4 * ROW + 600]);
    let list = ShardList::expand(&[file.path.display().to_string()]).unwrap();
    let order = OrderConfig { window: 3, ..OrderConfig::default() };
    let mut stream = ShardStream::open(&list, Reading::default(), order, (Place::alone(1), None)).unwrap();
    let mut keys: Vec<String> = (0..4).map(|_| stream.next_example().unwrap().example.key).collect();
    keys.sort();
    assert_eq!(keys, ["0", "1", "2", "3"]);
    let counters = stream.counters();
    assert_eq!((counters.used, counters.bad, counters.shards_torn, counters.lost), (4, 0, 1, 1));
    let warnings = stream.take_warnings();
    assert!(
        warnings.len() == 1 && warnings[0].contains("within `4`") && warnings[0].contains("4 rows"),
        "{warnings:?}"
    );
}

#[test]
fn compressed_lines_that_are_cut_give_the_lines_before_the_cut() {
    // A block of Zstandard comes whole or not at all, and the last frame is one block.
    for (name, least) in [("texts.jsonl.gz", 65), ("texts.jsonl.zst", 10)] {
        let whole = fixture(name);
        let mut most = 0;
        for cut in 0..whole.len() {
            let file = file(name, &whole[..cut]);
            if let Ok(mut shard) = open(&file, &texts()) {
                let (keys, bad) = keys(&mut *shard, &texts());
                assert!(keys.len() >= most && bad <= 4, "{name} cut at {cut}: {} of {most}, {bad} bad", keys.len());
                most = keys.len();
            }
        }
        assert!(most >= least, "{most}");
    }
}

#[test]
fn a_list_that_is_cut_gives_the_objects_before_the_cut() {
    let whole = fixture("llava.json");
    let reading = Reading { layout: Layout::Text(TextLayout { text: vec!["id".into()] }), ..Reading::default() };
    let mut most = 0;
    for cut in 0..whole.len() {
        let file = file("cut.json", &whole[..cut]);
        if let Ok(mut shard) = open(&file, &reading) {
            let (keys, bad) = keys(&mut *shard, &reading);
            assert!(keys.len() >= most && bad == 0 && shard.remarks().torn, "cut at {cut}");
            most = keys.len();
        }
    }
    assert_eq!(most, 7);
    for text in ["", "{}", "[]", "nothing", "[", "\u{feff} [ ]"] {
        let error = open(&file("odd.json", text.as_bytes()), &reading).err().unwrap().to_string();
        assert!(error.contains("odd.json") && error.contains("expected"), "{error}");
    }
    let file = file("odd.json", br#"[1, "a ] \" ,", [[]], null, {"id": "x"}, tru, {"id": "]}"}]"#);
    let mut shard = open(&file, &reading).unwrap();
    assert_eq!(shard.rows(), 7);
    assert_eq!(keys(&mut *shard, &reading).0.len(), 2);
}

#[test]
fn files_that_are_no_shards_are_named() {
    for (name, bytes) in [
        ("empty.tar", &b""[..]),
        ("zeros.tar", &[0; 10240]),
        ("noise.tar", &[9; 4000]),
        ("noise.tar.gz", &[9; 40]),
        ("noise.jsonl.zst", &[9; 40]),
        ("empty.jsonl", b"\n\n \n"),
        ("a.txt", b"x"),
        ("noise.parquet", &[9; 400]),
    ] {
        let error = open(&file(name, bytes), &texts()).err().unwrap().to_string();
        assert!(error.contains(name), "{error}");
    }
}

#[test]
fn wrong_types_are_named_with_their_row() {
    let lines =
        [r#"{"text": 3}"#, r#"{"text": ["a"]}"#, r#"{"text": {"a": 1}}"#, r#"{"text": null}"#, "[]", "3", "{", "\u{1}"];
    let file = file("odd.jsonl", lines.join("\n").as_bytes());
    let mut shard = open(&file, &texts()).unwrap();
    for (row, part) in (0..).zip([
        "found 3",
        "a list of 1",
        "a struct of a",
        "the fields text",
        "a list of 0",
        "found 3",
        "EOF",
        "JSON",
    ]) {
        let read = shard.read(row, &|_| true).and_then(|record| texts().example(record.unwrap()));
        let error = read.unwrap_err().to_string();
        assert!(error.contains(part) && error.contains(&format!("odd.jsonl, row {row}")), "{error}");
    }
}

#[cfg(feature = "parquet")]
#[test]
fn parquet_that_is_cut_is_refused_by_name() {
    let whole = fixture("struct.parquet");
    for cut in (0..whole.len()).step_by(97) {
        let error = open(&file("cut.parquet", &whole[..cut]), &Reading::default()).err().unwrap().to_string();
        assert!(error.contains("cut.parquet"), "{error}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]

    #[test]
    fn bytes_that_are_changed_never_panic(
        name in prop::sample::select(vec![
            "captioned.tar", "captioned.tar.gz", "messy-gnu.tar", "messy-pax.tar", "texts.jsonl.gz", "texts.jsonl.zst", "llava.json",
            "binary-zstd.parquet", "binary-gzip.parquet", "obelics.parquet", "struct.parquet",
        ]),
        changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..6),
    ) {
        let mut bytes = fixture(name);
        for (place, byte) in changes {
            let place = place.index(bytes.len());
            bytes[place] = byte;
        }
        let file = file(name, &bytes);
        for reading in [Reading::default(), texts()] {
            if let Ok(mut shard) = open(&file, &reading) {
                keys(&mut *shard, &reading);
            }
        }
    }
}
