//! Shards that the tests make: as a folder, held out, broken and refused.

// A panic is how a test reports.
#![allow(clippy::unwrap_used)]

use std::collections::BTreeSet;
use std::fs;
use std::io::Write;
use std::path::Path;
use std::sync::Arc;

use interfuse_data::{DataConfig, DataError, DataSet, Image, ImageCursor, ImageStream, Source, open};
use ndarray::{Array3, Array4};

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
    open_with(root, pattern, &format!("held_out = {held_out:?}"))
}

/// Opens shards of a folder with further settings.
fn open_with(root: &Path, pattern: &str, settings: &str) -> Result<DataSet, DataError> {
    let pattern = root.join(pattern).display().to_string();
    open_source(&format!("{{ kind = 'shards', shards = ['{pattern}'], {settings} }}"))
}

/// Compresses a file beside itself.
fn pack(path: &Path) {
    let mut packed = flate2::write::GzEncoder::new(vec![], flate2::Compression::fast());
    packed.write_all(&fs::read(path).unwrap()).unwrap();
    fs::write(format!("{}.gz", path.display()), packed.finish().unwrap()).unwrap();
}

/// Tars of the images 0 to `images`, so many in each, and the same compressed.
fn packed_tars(images: usize, of_each: usize) -> tempfile::TempDir {
    let root = tempfile::tempdir().unwrap();
    for (shard, numbers) in (0..images).collect::<Vec<_>>().chunks(of_each).enumerate() {
        let path = root.path().join(format!("{shard}.tar"));
        tar(&path, &numbers.iter().copied().flat_map(sample).collect::<Vec<_>>());
        pack(&path);
    }
    root
}

/// The next images of a stream.
fn stream(source: &Arc<dyn Source>, cursor: ImageCursor, count: usize) -> (Array4<f32>, ImageCursor) {
    let mut stream = ImageStream::new(Arc::clone(source), 0.0, 7, cursor);
    (stream.next_batch(count).unwrap(), stream.cursor())
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
    fs::write(root.path().join("a.zip"), "").unwrap();
    fs::write(root.path().join("bad.tar"), "no tar").unwrap();
    for (pattern, parts) in [
        ("nothing/*.tar", ["nothing/*.tar`", "matches no shard"]),
        ("{5..9}.tar", ["{5..9}.tar`", "5 names"]),
        ("a.tar.gz", ["no captioned images found", "a.tar.gz"]),
        ("a.zip", ["a.zip", ".tar.gz"]),
        ("bad.tar", ["no captioned images found", "bad.tar"]),
    ] {
        let message = open_at(root.path(), pattern, 0.0).err().unwrap().to_string();
        assert!(parts.iter().all(|part| message.contains(part)), "{pattern}: {message}");
    }
    let remote = open_source("{ kind = 'shards', shards = ['s3://bucket/0.tar'] }").err().unwrap().to_string();
    assert!(remote.contains("not on this machine"), "{remote}");
}

#[test]
fn compressed_tars_are_the_same_images_as_tars_in_any_order_that_they_are_asked_for() {
    let root = packed_tars(23, 6);
    let plain = open_at(root.path(), "*.tar", 0.3).unwrap();
    let packed = open_at(root.path(), "*.tar.gz", 0.3).unwrap();
    assert!(plain.train.blocks().is_none());
    for (plain, packed) in [(&plain.train, &packed.train), (&plain.held_out, &packed.held_out)] {
        assert_eq!(names(plain.as_ref()), names(packed.as_ref()));
        let blocks = packed.blocks().unwrap();
        assert_eq!(blocks.lengths.iter().sum::<u32>() as usize, packed.len());
        assert!(blocks.lengths.len() <= 4 && !blocks.lengths.contains(&0));
        for index in (0..plain.len()).rev().chain(0..plain.len()) {
            assert_eq!(packed.captions(index).unwrap(), plain.captions(index).unwrap());
            assert_eq!(packed.image(index).unwrap(), plain.image(index).unwrap());
            assert_eq!(packed.native_size(index).unwrap(), plain.native_size(index).unwrap());
            assert_eq!(packed.sha256(index).unwrap(), plain.sha256(index).unwrap());
        }
    }
}

#[test]
fn shard_by_shard_every_image_comes_up_once_and_a_resume_goes_on() {
    let root = packed_tars(23, 6);
    let open = |pattern: &str| {
        open_with(root.path(), pattern, "order = 'shards', interleave = 2, window = 5, held_out = 0.0").unwrap().train
    };
    let (plain, packed) = (open("*.tar"), open("*.tar.gz"));
    // The grey of an image tells its number.
    let greys = |batch: &Array4<f32>| -> Vec<usize> {
        batch.outer_iter().map(|image| ((image[[0, 0, 0]] + 1.0) * 127.5).round() as usize).collect()
    };
    let (whole, end) = stream(&packed, ImageCursor::default(), 46);
    let order = greys(&whole);
    for epoch in order.chunks(23) {
        let mut sorted = epoch.to_vec();
        sorted.sort_unstable();
        assert_eq!(sorted, (0..23).collect::<Vec<_>>());
    }
    assert_ne!(order[..23], order[23..]);
    assert_eq!(end.bad, 0);
    assert_eq!(greys(&stream(&plain, ImageCursor::default(), 46).0), order);
    for next in [1, 4, 11, 22, 30] {
        let cursor = ImageCursor { next, bad: 0 };
        assert_eq!(greys(&stream(&open("*.tar.gz"), cursor, 9).0), order[next as usize..next as usize + 9]);
    }
    // What was announced and what was not may be asked for in between.
    let mut going = ImageStream::new(Arc::clone(&packed), 0.0, 7, ImageCursor::default());
    for (place, number) in order[..23].iter().enumerate() {
        assert_eq!(greys(&going.next_batch(1).unwrap()), [*number]);
        let other = (place * 11) % 23;
        assert_eq!(packed.captions(other).unwrap(), [format!("caption {other}")]);
        assert_eq!(packed.image(other).unwrap(), plain.image(other).unwrap());
    }
}

#[test]
fn a_compressed_tar_that_is_cut_is_used_up_to_the_cut_and_named() {
    let root = packed_tars(12, 6);
    let path = root.path().join("1.tar.gz");
    let whole = fs::read(&path).unwrap();
    fs::write(&path, &whole[..whole.len() / 2]).unwrap();
    fs::write(root.path().join("2.tar.gz"), "no tar").unwrap();
    let train = open_at(root.path(), "{0..2}.tar.gz", 0.0).unwrap().train;
    let skipped = train.skipped().join("\n");
    assert!((7..12).contains(&train.len()), "{}", train.len());
    for part in ["1 of 3 shards", "1.tar.gz`: expected a whole tar", "2.tar.gz`"] {
        assert!(skipped.contains(part), "{part}: {skipped}");
    }
    let (batch, end) = stream(&train, ImageCursor::default(), train.len());
    assert_eq!((batch.dim().0, end.bad, end.next), (train.len(), 0, train.len() as u64));
}

#[test]
fn a_shard_that_changes_while_it_is_read_costs_its_images_alone() {
    let root = packed_tars(12, 6);
    let settings = "held_out = 0.0, interleave = 1, window = 3";
    let train = open_with(root.path(), "*.tar.gz", settings).unwrap().train;
    fs::write(root.path().join("1.tar.gz"), "no tar any more").unwrap();
    let (_, end) = stream(&train, ImageCursor::default(), 12);
    assert!(end.bad >= 6, "{end:?}");
    let message = train.image(7).unwrap_err().to_string();
    assert!(message.contains("1.tar.gz, row 1"), "{message}");
}

#[test]
fn json_lines_name_images_in_a_folder() {
    let root = tempfile::tempdir().unwrap();
    let mut lines = vec![];
    for number in 0..8 {
        fs::write(root.path().join(format!("{number}.png")), png(number)).unwrap();
        lines.push(format!("{{\"image\": \"{number}.png\", \"text\": [\"a {number}\", \"b\"], \"id\": {number}}}"));
    }
    lines.push("{\"image\": \"none.png\", \"text\": \"gone\", \"id\": 8}".into());
    lines.push("{\"image\": \"0.png\", \"text\": 5, \"id\": 9}".into());
    lines.push("{\"text\": \"no image\", \"id\": 10}".into());
    fs::write(root.path().join("all.jsonl"), lines.join("\n")).unwrap();
    let settings = format!("key = 'id', images = '{}', held_out = 0.0", root.path().display());
    let train = open_with(root.path(), "all.jsonl", &settings).unwrap().train;
    assert!(train.blocks().is_none(), "any line is read by itself");
    assert_eq!(names(train.as_ref()), ["0", "1", "2", "3", "4", "5", "6", "7", "8"]);
    assert_eq!(train.captions(3).unwrap(), ["a 3", "b"]);
    assert!((0..8).all(|index| train.image(index).unwrap().pixels()[[0, 0, 0]] == index as u8));
    let message = train.image(8).unwrap_err().to_string();
    assert!(message.contains("all.jsonl") && message.contains("an image with bytes"), "{message}");
    let skipped = train.skipped().join("\n");
    for part in ["0 of 1 shards and 2 of", "all.jsonl, row 9", "a text under `text`", "all.jsonl, row 10"] {
        assert!(skipped.contains(part), "{part}: {skipped}");
    }
}

#[test]
fn an_order_that_cannot_be_is_refused() {
    let root = packed_tars(2, 2);
    for (pattern, settings, parts) in [
        ("0.tar.gz", "order = 'rows'", ["data.source.order", "0.tar.gz"]),
        ("0.tar", "interleave = 0", ["data.source.interleave", "1 to 1024"]),
        ("0.tar", "window = 0", ["data.source.window", "1 to 10000000"]),
        ("0.tar", "key = ' '", ["data.source.key", "an empty name"]),
    ] {
        let message = open_with(root.path(), pattern, settings).err().unwrap().to_string();
        assert!(parts.iter().all(|part| message.contains(part)), "{settings}: {message}");
    }
}
