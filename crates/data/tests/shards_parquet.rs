//! Captioned images in Parquet: the files of `interfuse-shards`' tests, which pyarrow wrote.

// A panic is how a test reports.
#![allow(clippy::unwrap_used)]
#![cfg(feature = "parquet")]

use std::fs;
use std::path::{Path, PathBuf};

use interfuse_data::{DataConfig, DataError, DataSet, ImageCursor, ImageStream, Source, open};

fn fixture(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../shards/tests/parity").join(name)
}

fn open_at(path: &Path, settings: &str) -> Result<DataSet, DataError> {
    let source = format!("{{ kind = 'shards', shards = ['{}'], {settings} }}", path.display());
    let config: DataConfig =
        toml::from_str(&format!("image_size = [6, 6]\nupscale = true\nsource = {source}")).unwrap();
    open(&config)
}

fn names(source: &dyn Source) -> Vec<String> {
    (0..source.len()).map(|index| source.name(index)).collect()
}

#[test]
fn rows_come_up_by_row_groups_and_are_named_by_their_key() {
    let train = open_at(&fixture("struct.parquet"), "key = 'id', held_out = 0.0").unwrap().train;
    assert_eq!(train.len(), train.blocks().unwrap().lengths.iter().sum::<u32>() as usize);
    assert_eq!(train.blocks().unwrap().lengths[..2], [3, 3]);
    let usable: Vec<usize> = (0..train.len()).filter(|&index| train.image(index).is_ok()).collect();
    assert!(usable.len() >= 3 && usable.len() < train.len(), "{usable:?}");
    for &index in &usable {
        assert!(!train.captions(index).unwrap()[0].is_empty());
        assert!(train.native_size(index).is_ok() && train.sha256(index).unwrap().is_some());
    }
    // A row without a caption, one without an image, and one whose image is empty fail alone and are named.
    for (index, part) in [(3, "row 3"), (4, "row 4"), (5, "an image with bytes")] {
        let message = train.image(index).unwrap_err().to_string();
        assert!(message.contains("struct.parquet") && message.contains(part), "{message}");
    }
    let (count, mut stream) = (usable.len(), ImageStream::new(train.clone(), 0.0, 3, ImageCursor::default()));
    stream.next_batch(2 * count).unwrap();
    let cursor = stream.cursor();
    assert_eq!(cursor.next - cursor.bad, 2 * count as u64);
    assert!(stream.take_warning().unwrap().contains("struct.parquet"));
}

#[test]
fn lists_of_captions_and_plain_bytes_are_read_in_any_compression() {
    let trains = ["zstd", "gzip", "none"]
        .map(|name| open_at(&fixture(&format!("binary-{name}.parquet")), "held_out = 0.0").unwrap().train);
    let [first, others @ ..] = &trains;
    assert_eq!(first.blocks().unwrap().lengths, [2, 2, 1]);
    assert_eq!(names(first.as_ref())[4], "binary-zstd.parquet#4");
    assert!(first.captions(0).unwrap().len() == 2 && first.captions(2).is_err());
    for other in others {
        for index in [4, 0, 1, 0] {
            assert_eq!(other.captions(index).unwrap(), first.captions(index).unwrap());
            assert_eq!(other.image(index).unwrap(), first.image(index).unwrap());
        }
    }
}

#[test]
fn what_is_held_out_hangs_on_the_key() {
    let DataSet { train, held_out } = open_at(&fixture("struct.parquet"), "key = 'id', held_out = 0.4").unwrap();
    let all = open_at(&fixture("struct.parquet"), "key = 'id', held_out = 0.0").unwrap().train;
    let mut both = [names(train.as_ref()), names(held_out.as_ref())].concat();
    let mut all = names(all.as_ref());
    both.sort();
    all.sort();
    assert_eq!(both, all);
    assert!(!train.held_out_is_train());
}

#[test]
fn files_that_are_cut_are_left_out_and_named_and_wrong_columns_refused() {
    let root = tempfile::tempdir().unwrap();
    let whole = fs::read(fixture("struct.parquet")).unwrap();
    fs::write(root.path().join("a.parquet"), &whole).unwrap();
    fs::write(root.path().join("b.parquet"), &whole[..whole.len() / 2]).unwrap();
    let train = open_at(&root.path().join("*.parquet"), "held_out = 0.0").unwrap().train;
    let skipped = train.skipped().join("\n");
    assert!(skipped.contains("1 of 2 shards") && skipped.contains("b.parquet"), "{skipped}");
    for (settings, parts) in [
        ("image = ['imag']", ["a.parquet", "the nearest is `image`"]),
        ("captions = ['caption']", ["a.parquet", "a column `caption`"]),
        ("key = 'idx'", ["a.parquet", "a column `idx`"]),
        ("order = 'rows'", ["data.source.order", "a.parquet"]),
    ] {
        let message = open_at(&root.path().join("a.parquet"), settings).err().unwrap().to_string();
        assert!(parts.iter().all(|part| message.contains(part)), "{settings}: {message}");
    }
    // A column of another type makes every row bad, and each says why.
    let numbers = open_at(&root.path().join("a.parquet"), "captions = ['label'], held_out = 0.0").unwrap().train;
    let message = numbers.captions(0).unwrap_err().to_string();
    assert!(message.contains("a.parquet, row 0") && message.contains("a text under `label`"), "{message}");
}
