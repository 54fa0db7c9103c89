//! Rows of a tar by themselves: the same as those of the shard, without images where they are not wanted, however it is cut.

// A panic is how a test reports.
#![allow(clippy::unwrap_used)]

use std::path::{Path, PathBuf};

use interfuse_shards::containers::{Members, TarRows};
use interfuse_shards::{Reading, Value, containers};

const TARS: [&str; 5] = ["captioned.tar", "edits.tar", "messy-gnu.tar", "messy-pax.tar", "mmc4.tar"];

fn fixture(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/parity").join(name)
}

#[test]
fn rows_by_themselves_are_those_of_the_shard() {
    let reading = Reading::default();
    let mut images = 0;
    for name in TARS {
        let rows = TarRows::open(&fixture(name)).unwrap();
        let mut shard = containers::open(&fixture(name), &reading.columns()).unwrap();
        assert_eq!(rows.rows(), shard.rows());
        let described: Vec<_> = rows.records(Members::WithoutImages).unwrap().collect();
        for row in (0..rows.rows()).rev() {
            let (light, whole) = (&described[row as usize], rows.read(row, Members::All));
            let expected = shard.read(row, &|_| true);
            let (Ok(light), Ok(whole)) = (light, whole) else {
                assert!(light.is_err() && expected.is_err(), "{name}, row {row}");
                continue;
            };
            assert_eq!(Some(&whole), expected.unwrap().as_ref());
            assert_eq!(light, &rows.read(row, Members::WithoutImages).unwrap());
            images += assert_same_but_images(&whole.value, &light.value);
            if let Ok(example) = reading.example(whole) {
                let description = reading.description(light.clone()).unwrap();
                assert_eq!((description.key, description.captions), (example.key, example.captions));
                assert_eq!((description.label, description.parts), (example.label, vec![]));
            }
        }
    }
    assert!(images > 0);
}

/// How many images there are.
fn assert_same_but_images(whole: &Value, light: &Value) -> usize {
    let (Value::Struct(whole), Value::Struct(light)) = (whole, light) else { panic!("{whole:?}, {light:?}") };
    let mut images = 0;
    assert_eq!(whole.len(), light.len());
    for ((name, whole), (found, light)) in whole.iter().zip(light) {
        assert_eq!(name, found);
        match light {
            Value::Bytes(bytes) if bytes.is_empty() => images += 1,
            light => assert_eq!(whole, light),
        }
    }
    images
}

#[test]
fn a_tar_that_is_cut_anywhere_gives_whole_rows_only() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("cut.tar");
    let mut tar = tar::Builder::new(vec![]);
    for number in 0..3 {
        for (suffix, length) in [("txt", 100), ("jpg", 300)] {
            let mut header = tar::Header::new_gnu();
            header.set_size(length);
            tar.append_data(&mut header, format!("{number}.{suffix}"), &vec![b'x'; length as usize][..]).unwrap();
        }
    }
    let bytes = tar.into_inner().unwrap();
    let reading = Reading::default();
    for cut in (0..bytes.len()).step_by(51) {
        std::fs::write(&path, &bytes[..cut]).unwrap();
        // A row has two members of a header and a block; its image ends 212 bytes before the block does.
        let whole = (cut + 212) / 2048;
        match TarRows::open(&path) {
            Ok(rows) => {
                let described = rows.records(Members::WithoutImages).unwrap();
                let usable = described.filter(|record| reading.description(record.as_ref().unwrap().clone()).is_ok());
                assert_eq!(usable.count(), whole.min(3), "cut at {cut}");
                for row in 0..whole.min(3) as u64 {
                    assert!(reading.example(rows.read(row, Members::All).unwrap()).is_ok(), "cut at {cut}");
                }
            }
            Err(error) => assert!(whole == 0 && error.to_string().contains("cut.tar"), "cut at {cut}: {error}"),
        }
    }
}

#[test]
fn a_compressed_tar_has_no_rows_by_themselves() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a.tar.gz");
    let mut packed = flate2::write::GzEncoder::new(vec![], flate2::Compression::fast());
    std::io::Write::write_all(&mut packed, &std::fs::read(fixture(TARS[0])).unwrap()).unwrap();
    std::fs::write(&path, packed.finish().unwrap()).unwrap();
    let message = TarRows::open(&path).err().unwrap().to_string();
    assert!(message.contains("a.tar.gz") && message.contains("not compressed"), "{message}");
}
