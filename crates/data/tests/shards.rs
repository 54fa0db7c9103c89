//! Shards that the tests make: as a folder, held out, broken and refused.

// A panic is how a test reports.
#![allow(clippy::unwrap_used)]

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use interfuse_data::{DataConfig, DataError, DataSet, Image, Source, open};
use ndarray::Array3;

/// The file of a small image of one grey.
fn png(grey: u8) -> Vec<u8> {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("image.png");
    Image::new(Array3::from_elem((3, 6, 8), grey)).unwrap().save_png(&path).unwrap();
    fs::read(path).unwrap()
}

/// Writes a tar of members in order.
fn tar(path: &Path, members: &[(String, Vec<u8>)]) {
    let mut tar = tar::Builder::new(vec![]);
    for (name, bytes) in members {
        let mut header = tar::Header::new_gnu();
        header.set_size(bytes.len() as u64);
        tar.append_data(&mut header, name, bytes.as_slice()).unwrap();
    }
    fs::write(path, tar.into_inner().unwrap()).unwrap();
}

/// Image `number` with its captions, the image first or last.
fn sample(number: usize) -> Vec<(String, Vec<u8>)> {
    let text = (format!("{number:04}.txt"), format!("caption {number}").into_bytes());
    let image = (format!("{number:04}.png"), png(number as u8));
    if number.is_multiple_of(2) { vec![image, text] } else { vec![text, image] }
}

/// Two tars of five images each.
fn two_tars() -> tempfile::TempDir {
    let root = tempfile::tempdir().unwrap();
    for shard in 0..2 {
        let members: Vec<_> = (5 * shard..5 * shard + 5).flat_map(sample).collect();
        tar(&root.path().join(format!("{shard}.tar")), &members);
    }
    root
}

/// Opens a source of images of 6 × 6.
fn open_source(source: &str) -> Result<DataSet, DataError> {
    let config: DataConfig = toml::from_str(&format!("image_size = [6, 6]\nsource = {source}")).unwrap();
    open(&config)
}

/// Opens shards of a folder.
fn open_at(root: &Path, pattern: &str, held_out: f64) -> Result<DataSet, DataError> {
    let pattern = root.join(pattern).display().to_string();
    open_source(&format!("{{ kind = 'shards', shards = ['{pattern}'], held_out = {held_out:?} }}"))
}

/// Names of images in their order.
fn names(source: &dyn Source) -> Vec<String> {
    (0..source.len()).map(|index| source.name(index)).collect()
}

#[test]
fn two_tars_are_the_same_images_as_a_folder() {
    let (root, folder) = (two_tars(), tempfile::tempdir().unwrap());
    for (name, bytes) in (0..10).flat_map(sample) {
        fs::write(folder.path().join(name), bytes).unwrap();
    }
    let path = folder.path().display();
    let folder = open_source(&format!("{{ kind = 'folder', path = '{path}', held_out = 0.0 }}")).unwrap().train;
    let shards = open_at(root.path(), "{0..1}.tar", 0.0).unwrap().train;
    assert_eq!((shards.len(), folder.len()), (10, 10));
    assert!(shards.held_out_is_train() && shards.skipped().is_empty());
    for index in 0..10 {
        assert_eq!(shards.captions(index).unwrap(), folder.captions(index).unwrap());
        assert_eq!(shards.image(index).unwrap(), folder.image(index).unwrap());
        assert_eq!(shards.native_size(index).unwrap(), folder.native_size(index).unwrap());
        assert_eq!(shards.sha256(index).unwrap(), folder.sha256(index).unwrap());
        assert_eq!(shards.name(index) + ".png", folder.name(index));
    }
}

#[test]
fn what_is_held_out_is_never_trained_on_wherever_it_lies() {
    let root = two_tars();
    let DataSet { train, held_out } = open_at(root.path(), "*.tar", 0.3).unwrap();
    let (seen, unseen) = (names(train.as_ref()), names(held_out.as_ref()));
    assert!(!unseen.is_empty() && !train.held_out_is_train());
    let all: BTreeSet<&String> = seen.iter().chain(&unseen).collect();
    assert_eq!((all.len(), seen.len() + unseen.len()), (10, 10));
    // The same images in one tar, in another order.
    let members: Vec<_> = (0..10).rev().flat_map(sample).collect();
    tar(&root.path().join("all.tar"), &members);
    let again = open_at(root.path(), "all.tar", 0.3).unwrap();
    let sorted = |mut names: Vec<String>| {
        names.sort();
        names
    };
    assert_eq!(sorted(names(again.held_out.as_ref())), sorted(unseen));
}

#[test]
fn fields_of_json_give_captions_and_the_class() {
    let root = tempfile::tempdir().unwrap();
    let json = br#"{"caption": "short", "long": ["one", "two"], "label": 3}"#.to_vec();
    tar(&root.path().join("0.tar"), &[("a.webp.png".into(), png(1)), ("a.json".into(), json)]);
    let path = root.path().display();
    let opened = |captions: &str| {
        let settings = format!("{{ kind = 'shards', shards = ['{path}'], captions = {captions}, held_out = 0.0 }}");
        open_source(&settings).unwrap().train
    };
    let train = opened("[]");
    assert_eq!((train.captions(0).unwrap(), train.label(0)), (vec!["short".to_string()], Some(3)));
    let train = opened("['json.long', 'caption']");
    assert_eq!(train.captions(0).unwrap(), ["one", "two", "short"]);
    assert!(train.image(0).is_ok());
}

#[test]
fn what_cannot_be_used_is_counted_and_named() {
    let root = two_tars();
    let whole = fs::read(root.path().join("1.tar")).unwrap();
    // Within the fourth image's members, each of a header and a block.
    fs::write(root.path().join("1.tar"), &whole[..whole.len() / 2]).unwrap();
    fs::write(root.path().join("2.tar"), "no tar").unwrap();
    let lonely = [("x.png".into(), png(0)), ("y.txt".into(), b"alone".to_vec()), ("z.png".into(), b"bad".to_vec())];
    let captioned = [lonely.to_vec(), vec![("z.txt".into(), b"a caption".to_vec())]].concat();
    tar(&root.path().join("3.tar"), &captioned);
    let train = open_at(root.path(), "{0..4}.tar", 0.0).unwrap().train;
    let (names, skipped) = (names(train.as_ref()), train.skipped().join("\n"));
    assert!((6..10).contains(&names.len()) && names.contains(&"0004".into()), "{names:?}");
    for part in ["2 of 5 shards", "4.tar` does not exist", "2.tar`", "1.tar`: expected a whole tar", "key x", "key y"] {
        assert!(skipped.contains(part), "{part}: {skipped}");
    }
    // An image that is no image fails alone, under its name.
    let bad = train.len() - 1;
    assert_eq!(train.captions(bad).unwrap(), ["a caption"]);
    let message = train.image(bad).unwrap_err().to_string();
    assert!(message.contains("3.tar") && message.contains("key z"), "{message}");
}

#[test]
fn a_shard_that_is_gone_fails_alone() {
    let root = two_tars();
    let train = open_at(root.path(), "*.tar", 0.0).unwrap().train;
    fs::remove_file(root.path().join("1.tar")).unwrap();
    assert!(train.image(4).is_ok() && train.captions(4).is_ok());
    let message = train.image(5).unwrap_err().to_string();
    assert!(message.contains("1.tar"), "{message}");
    assert!(train.name(5).ends_with("1.tar#0"));
}

#[test]
fn what_cannot_be_shards_is_refused_with_one_sentence() {
    let root = two_tars();
    fs::write(root.path().join("a.tar.gz"), "").unwrap();
    fs::write(root.path().join("a.parquet"), "").unwrap();
    fs::write(root.path().join("bad.tar"), "no tar").unwrap();
    for (pattern, parts) in [
        ("nothing/*.tar", ["nothing/*.tar`", "matches no shard"]),
        ("{5..9}.tar", ["{5..9}.tar`", "5 names"]),
        ("a.tar.gz", ["data.source.shards", "uncompressed tars"]),
        ("a.parquet", ["data.source.shards", "a.parquet"]),
        ("bad.tar", ["no captioned images found", "bad.tar"]),
    ] {
        let message = open_at(root.path(), pattern, 0.0).err().unwrap().to_string();
        assert!(parts.iter().all(|part| message.contains(part)), "{pattern}: {message}");
    }
    let remote = open_source("{ kind = 'shards', shards = ['s3://bucket/0.tar'] }").err().unwrap().to_string();
    assert!(remote.contains("not on this machine"), "{remote}");
}
