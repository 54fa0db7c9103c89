//! Shards that are opened once and read again: the rows of the shard, without images where they are not wanted, however it is
//! cut.

// A panic is how a test reports.
#![allow(clippy::unwrap_used)]

use std::io::Write;
use std::path::{Path, PathBuf};

use interfuse_shards::containers::{IndexedShard, Members};
use interfuse_shards::{Example, Reading, Record, ShardError, Value, containers};

const SHARDS: [&str; 6] =
    ["captioned.tar", "captioned.tar.gz", "edits.tar", "messy-gnu.tar", "messy-pax.tar", "mmc4.tar"];

fn fixture(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/parity").join(name)
}

type Described = Vec<Result<Example, ShardError>>;

/// A shard, and what was said of its rows, by their numbers.
fn indexed(path: &Path, reading: &Reading) -> Result<(IndexedShard, Described), ShardError> {
    let mut described = vec![];
    let shard = IndexedShard::open(path, reading, &mut |row, example| {
        assert_eq!(row, described.len() as u64);
        described.push(example);
    })?;
    assert_eq!(shard.rows(), described.len() as u64);
    Ok((shard, described))
}

/// Every way to a row gives the same record, backwards and forwards.
fn check_rows(path: &Path, reading: &Reading) -> usize {
    let (shard, described) = indexed(path, reading).unwrap();
    let mut whole = containers::open(path, &reading.columns()).unwrap();
    assert_eq!((shard.rows(), shard.seeks()), (whole.rows(), whole.seeks()));
    assert_eq!(shard.remarks(), whole.remarks());
    let mut again = shard.reader(Members::All).unwrap();
    let mut light = shard.reader(Members::WithoutImages).unwrap();
    let mut images = 0;
    for row in (0..shard.rows()).rev().chain(0..shard.rows()) {
        let expected = whole.read(row, &|_| true).map(Option::unwrap);
        let found = again.read(row, &|_| true).map(Option::unwrap);
        let alone = shard.read(row, Members::All);
        let description = &described[row as usize];
        let Ok(expected) = expected else {
            assert!(found.is_err() && alone.is_err() && description.is_err(), "{}, row {row}", path.display());
            continue;
        };
        assert_eq!((&found.unwrap(), &alone.unwrap()), (&expected, &expected));
        let light = light.read(row, &|_| true).unwrap().unwrap();
        assert_eq!(light, shard.read(row, Members::WithoutImages).unwrap());
        images += images_left_out(&expected.value, &light.value);
        check_description(reading, expected, light, description);
    }
    images
}

/// How many fields of a lighter record have no bytes; all others are the same.
fn images_left_out(whole: &Value, light: &Value) -> usize {
    let (Value::Struct(whole), Value::Struct(light)) = (whole, light) else { panic!("{whole:?}, {light:?}") };
    let is_left_out = |(name, value): &&(String, Value)| match value {
        Value::Bytes(bytes) if bytes.is_empty() => true,
        value => {
            assert!(whole.iter().any(|(found, same)| found == name && same == value), "{name}");
            false
        }
    };
    assert_eq!(whole.len(), light.len());
    light.iter().filter(is_left_out).count()
}

fn check_description(reading: &Reading, whole: Record, light: Record, described: &Result<Example, ShardError>) {
    let Ok(example) = reading.example(whole) else { return };
    let description = reading.description(light).unwrap();
    assert_eq!((&description.key, &description.captions), (&example.key, &example.captions));
    assert_eq!((description.label, &description.parts), (example.label, &vec![]));
    let described = described.as_ref().unwrap();
    assert_eq!(described.key, example.key);
    // Of Parquet nothing but the key is told.
    assert!(described.captions.is_empty() || *described == description);
}

#[test]
fn rows_of_tars_are_the_same_again() {
    let images: usize = SHARDS.iter().map(|name| check_rows(&fixture(name), &Reading::default())).sum();
    assert!(images > 0);
}

#[test]
fn rows_of_json_are_the_same_again() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::copy(fixture("images/deep/a.jpg"), folder.path().join("a.jpg")).unwrap();
    let row = |number: usize| format!("{{\"image\": \"a.jpg\", \"text\": \"caption {number}\", \"id\": {number}}}");
    let rows: Vec<String> = (0..70).map(row).collect();
    std::fs::write(folder.path().join("a.jsonl"), rows.join("\n\n")).unwrap();
    std::fs::write(folder.path().join("a.json"), format!("[{}]", rows.join(","))).unwrap();
    let mut packed = flate2::write::GzEncoder::new(vec![], flate2::Compression::fast());
    packed.write_all(rows.join("\n").as_bytes()).unwrap();
    std::fs::write(folder.path().join("a.jsonl.gz"), packed.finish().unwrap()).unwrap();
    let reading = Reading { images: Some(folder.path().into()), key: Some("id".into()), ..Reading::default() };
    for name in ["a.jsonl", "a.json", "a.jsonl.gz"] {
        check_rows(&folder.path().join(name), &reading);
        let (shard, described) = indexed(&folder.path().join(name), &reading).unwrap();
        assert_eq!((described[69].as_ref().unwrap().key.as_str(), shard.blocks()), ("69", &[0][..]));
        let example = reading.example(shard.read(33, Members::All).unwrap()).unwrap();
        assert_eq!((example.images(), example.captions), (1, vec!["caption 33".to_string()]));
    }
}

/// A tar of three rows, each of a caption of 100 bytes and an image of 300.
fn three_rows() -> Vec<u8> {
    let mut tar = tar::Builder::new(vec![]);
    for number in 0..3 {
        for (suffix, length) in [("txt", 100), ("jpg", 300)] {
            let mut header = tar::Header::new_gnu();
            header.set_size(length);
            tar.append_data(&mut header, format!("{number}.{suffix}"), &vec![b'x'; length as usize][..]).unwrap();
        }
    }
    tar.into_inner().unwrap()
}

#[test]
fn a_tar_that_is_cut_anywhere_gives_whole_rows_only() {
    let folder = tempfile::tempdir().unwrap();
    let bytes = three_rows();
    let reading = Reading::default();
    for (name, compressed) in [("cut.tar", false), ("cut.tar.gz", true)] {
        let path = folder.path().join(name);
        for cut in (0..bytes.len()).step_by(51) {
            let mut cut_bytes = bytes[..cut].to_vec();
            if compressed {
                let mut packed = flate2::write::GzEncoder::new(vec![], flate2::Compression::fast());
                packed.write_all(&cut_bytes).unwrap();
                cut_bytes = packed.finish().unwrap();
            }
            std::fs::write(&path, cut_bytes).unwrap();
            // A row has two members of a header and a block; its image ends 212 bytes before the block does.
            let whole = ((cut + 212) / 2048).min(3);
            match indexed(&path, &reading) {
                Ok((shard, described)) => {
                    assert_eq!(described.iter().filter(|row| row.is_ok()).count(), whole, "cut at {cut}");
                    for row in 0..whole as u64 {
                        assert!(reading.example(shard.read(row, Members::All).unwrap()).is_ok(), "cut at {cut}");
                    }
                }
                Err(error) => assert!(whole == 0 && error.to_string().contains(name), "cut at {cut}: {error}"),
            }
        }
    }
}

#[test]
fn a_compressed_file_that_is_cut_anywhere_gives_what_it_gives_when_it_is_read() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("cut.tar.gz");
    let bytes = std::fs::read(fixture("captioned.tar.gz")).unwrap();
    let reading = Reading::default();
    let mut most = 0;
    for cut in (0..bytes.len()).step_by(7) {
        std::fs::write(&path, &bytes[..cut]).unwrap();
        let Ok((shard, described)) = indexed(&path, &reading) else { continue };
        let usable = described.iter().filter(|row| row.is_ok()).count();
        // What is cut off behind the empty block that ends the tar is not missed.
        let remarks = shard.remarks();
        assert!(remarks.torn || (usable == 5 && cut + 100 > bytes.len()), "cut at {cut}: {remarks:?}");
        assert!(!remarks.torn || remarks.sentences[0].contains("cut.tar.gz"), "cut at {cut}: {remarks:?}");
        assert!(usable + 1 >= most, "cut at {cut}: {usable} of {most}");
        most = most.max(usable);
        for row in (0..shard.rows()).filter(|row| described[*row as usize].is_ok()) {
            assert!(reading.example(shard.read(row, Members::All).unwrap()).is_ok(), "cut at {cut}, row {row}");
        }
    }
    assert_eq!(most, 5);
}

#[test]
fn a_member_that_makes_no_sense_is_an_error_of_its_row_alone() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("odd.tar");
    let mut tar = tar::Builder::new(vec![]);
    for (name, bytes) in [
        ("a.jpg", &b"image"[..]),
        ("a.json", b"{\"caption\": "),
        ("a.txt", b"one"),
        ("b.jpg", b"image"),
        ("b.txt", b"two"),
    ] {
        let mut header = tar::Header::new_gnu();
        header.set_size(bytes.len() as u64);
        tar.append_data(&mut header, name, bytes).unwrap();
    }
    std::fs::write(&path, tar.into_inner().unwrap()).unwrap();
    let (_, described) = indexed(&path, &Reading::default()).unwrap();
    let message = described[0].as_ref().unwrap_err().to_string();
    assert!(message.contains("odd.tar, row 0, member .json") && message.contains("expected JSON"), "{message}");
    assert_eq!(described[1].as_ref().unwrap().captions, ["two"]);
}

#[cfg(not(feature = "parquet"))]
#[test]
fn parquet_is_refused_by_the_name_of_the_feature() {
    let message = containers::check_kind(Path::new("a.parquet")).unwrap_err().to_string();
    assert!(message.contains("a.parquet") && message.contains("feature `parquet`"), "{message}");
    assert!(containers::check_kind(Path::new("a.zip")).unwrap_err().to_string().contains(".tar.gz"));
}

#[cfg(feature = "parquet")]
mod parquet {
    use super::*;

    #[test]
    fn rows_of_parquet_are_the_same_again() {
        let keyed = Reading { key: Some("id".into()), ..Reading::default() };
        for (name, reading, groups) in [
            ("struct.parquet", keyed, vec![0, 3, 6]),
            ("struct.parquet", Reading::default(), vec![0, 3, 6]),
            ("binary-zstd.parquet", Reading::default(), vec![0, 2, 4]),
            ("binary-gzip.parquet", Reading::default(), vec![0, 2, 4]),
        ] {
            assert!(check_rows(&fixture(name), &reading) > 0, "{name}");
            let (shard, described) = indexed(&fixture(name), &reading).unwrap();
            assert_eq!(shard.blocks(), groups, "{name}");
            assert!(described.iter().all(|row| row.as_ref().is_ok_and(|example| example.captions.is_empty())));
        }
    }

    #[test]
    fn columns_that_are_missing_or_of_another_type_are_named() {
        let named = |reading: &Reading| {
            let Err(error) = indexed(&fixture("struct.parquet"), reading) else { panic!("opened") };
            error.to_string()
        };
        let captioned = |image: &str, captions: &str| {
            let layout = interfuse_shards::layouts::CaptionedLayout {
                image: vec![image.into()],
                captions: vec![captions.into()],
                ..Default::default()
            };
            Reading { layout: interfuse_shards::Layout::Captioned(layout), ..Reading::default() }
        };
        let message = named(&captioned("imag", "text"));
        assert!(message.contains("struct.parquet") && message.contains("the nearest is `image`"), "{message}");
        assert!(named(&captioned("image", "caption")).contains("a column `caption`"));
        let keyed = Reading { key: Some("idx".into()), ..Reading::default() };
        assert!(named(&keyed).contains("a column `idx`"));
        // Numbers are no captions, and texts are no images.
        let odd = captioned("image", "label");
        let (shard, _) = indexed(&fixture("struct.parquet"), &odd).unwrap();
        let error = odd.example(shard.read(0, Members::All).unwrap()).unwrap_err().to_string();
        assert!(error.contains("struct.parquet, row 0") && error.contains("a text under `label`"), "{error}");
        let odd = captioned("text", "text");
        let (shard, _) = indexed(&fixture("struct.parquet"), &odd).unwrap();
        assert!(odd.example(shard.read(0, Members::All).unwrap()).is_err());
    }
}
