//! What is missing or broken is named, with what to do; it stops nothing else.

// A panic is how a test reports.
#![allow(clippy::unwrap_used)]

use std::fs;
use std::io::Write as _;
use std::path::Path;

use interfuse_corpora::{Corpus, CorpusConfig, CorpusError};

const KEY: &str = "data.mixture[1].content.corpus";

fn open(settings: serde_json::Value) -> Result<Corpus, CorpusError> {
    serde_json::from_value::<CorpusConfig>(settings).unwrap().open(KEY)
}

fn message(settings: serde_json::Value) -> String {
    open(settings).unwrap_err().to_string()
}

fn write(root: &Path, name: &str, bytes: impl AsRef<[u8]>) {
    let path = root.join(name);
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(path, bytes).unwrap();
}

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut gzip = flate2::write::GzEncoder::new(vec![], flate2::Compression::fast());
    gzip.write_all(bytes).unwrap();
    gzip.finish().unwrap()
}

#[test]
fn absent_packages_have_one_line_to_install() {
    let root = tempfile::tempdir().unwrap();
    let path = root.path();
    let found = message(serde_json::json!({"kind": "debian-text", "root": path}));
    let line = "apt-get install dict-gcide dict-wn dict-foldoc dict-jargon anarchism python3-doc perl-doc fortunes";
    assert!(found.contains(line) && found.contains(&format!("{KEY}.sources")), "{found}");
    let found = message(serde_json::json!({"kind": "debian-text", "root": path, "sources": ["wn"]}));
    assert!(found.contains("`apt-get install dict-wn`"), "{found}");
    let found = message(serde_json::json!({"kind": "rust-books", "folder": path}));
    assert!(found.contains("rustup component add rust-docs") && found.contains(&format!("{KEY}.folder")), "{found}");
    let found = message(serde_json::json!({"kind": "cargo-registry", "folder": path}));
    assert!(found.contains("cargo fetch"), "{found}");
    let found = message(serde_json::json!({"kind": "python-stdlib", "folder": path.join("none")}));
    assert!(found.contains("apt-get install python3"), "{found}");
    for place in [path.join("none.whl"), path.to_path_buf()] {
        let found = message(serde_json::json!({"kind": "molecules", "path": place}));
        assert!(found.contains("pip download --no-deps molsets"), "{found}");
    }
    let found = message(serde_json::json!({"kind": "folder", "path": path.join("none")}));
    assert!(found.contains(&format!("{KEY}.path")), "{found}");
}

#[test]
fn settings_are_checked_by_their_keys() {
    for (settings, part) in [
        (serde_json::json!({"kind": "folder", "path": "x", "held_out": 1.0}), "held_out`: expected a fraction"),
        (serde_json::json!({"kind": "folder", "path": "x", "extensions": [".rs"]}), "extensions`"),
        (serde_json::json!({"kind": "folder", "path": "x", "extensions": []}), "extensions`"),
        (serde_json::json!({"kind": "folder", "path": "x", "text_key": ""}), "text_key`"),
        (serde_json::json!({"kind": "rust-books", "books": []}), "books`"),
        (serde_json::json!({"kind": "rust-books", "books": ["../x"]}), "books`"),
        (serde_json::json!({"kind": "debian-text", "sources": []}), "sources`"),
        (
            serde_json::json!({"kind": "debian-text", "sources": ["wn", "perl", "wn"]}),
            "sources`: expected each source once",
        ),
        (serde_json::json!({"kind": "cargo-registry", "held_out": -0.1}), "held_out`"),
    ] {
        let found = message(settings);
        assert!(found.starts_with(&format!("`{KEY}.")) && found.contains(part), "{found}");
    }
    for unknown in [
        r#"{"kind": "folder", "path": "x", "sources": []}"#,
        r#"{"kind": "molecules", "held_out": 0.1}"#,
        r#"{"kind": "debian-text", "sources": ["gutenberg"]}"#,
        r#"{"kind": "books"}"#,
        r#"{"path": "x"}"#,
    ] {
        assert!(serde_json::from_str::<CorpusConfig>(unknown).is_err(), "{unknown}");
    }
}

#[test]
fn what_is_not_utf_8_is_left_out_by_its_offset() {
    let root = tempfile::tempdir().unwrap();
    write(root.path(), "good.txt", "\u{feff}with a mark");
    write(root.path(), "bad.txt", b"caf\xe9 au lait");
    write(root.path(), "marked.txt", b"\xef\xbb\xbfcaf\xe9");
    write(root.path(), "wide.txt", b"\xff\xfea\0");
    write(root.path(), "blank.txt", " \n");
    let corpus = open(serde_json::json!({"kind": "folder", "path": root.path(), "held_out": 0.0})).unwrap();
    assert_eq!((corpus.train().len(), corpus.train().text(0).unwrap().as_str()), (1, "with a mark"));
    let skipped = corpus.skipped().join("\n");
    for part in ["`bad.txt`: expected text in UTF-8, found the byte 0xe9 at offset 3", "0xe9 at offset 6", "UTF-16"] {
        assert!(skipped.contains(part), "{part}: {skipped}");
    }
    assert_eq!(corpus.statistics().skipped, 3);
    fs::remove_file(root.path().join("good.txt")).unwrap();
    let found = message(serde_json::json!({"kind": "folder", "path": root.path()}));
    assert!(found.contains("no texts found") && found.contains("bad.txt"), "{found}");
}

#[test]
fn empty_folders_say_what_was_searched() {
    let root = tempfile::tempdir().unwrap();
    write(root.path(), "a.png", "no text");
    let found = message(serde_json::json!({"kind": "folder", "path": root.path(), "extensions": ["txt", "md"]}));
    assert!(found.contains("no texts found") && found.contains("txt, md"), "{found}");
}

#[cfg(unix)]
#[test]
fn links_in_a_circle_are_not_followed() {
    let root = tempfile::tempdir().unwrap();
    write(root.path(), "a/b/text.txt", "a text");
    std::os::unix::fs::symlink(root.path(), root.path().join("a/b/circle")).unwrap();
    std::os::unix::fs::symlink("self", root.path().join("self")).unwrap();
    std::os::unix::fs::symlink("b", root.path().join("a/again")).unwrap();
    std::os::unix::fs::symlink("b/text.txt", root.path().join("a/linked.txt")).unwrap();
    let corpus = open(serde_json::json!({"kind": "folder", "path": root.path(), "held_out": 0.0})).unwrap();
    assert_eq!(corpus.train().len(), 1);
    assert_eq!(corpus.statistics().equal, 1);
    assert_eq!(corpus.skipped().len(), 3, "{:?}", corpus.skipped());
    assert!(corpus.skipped().iter().all(|sentence| sentence.contains("is not followed")));
}

#[test]
fn lines_of_json_without_a_text_are_counted() {
    let root = tempfile::tempdir().unwrap();
    write(
        root.path(),
        "a.jsonl",
        "{\"body\": \"one\"}\n\n{\"text\": \"x\"}\nno json\n{\"body\": 3}\n{\"id\": 1, \"body\": \"t\\nwo\"}",
    );
    let settings = serde_json::json!({"kind": "folder", "path": root.path(), "text_key": "body", "held_out": 0.0});
    let corpus = open(settings).unwrap();
    let texts: Vec<String> = corpus.train().iter().map(Result::unwrap).collect();
    assert_eq!(texts, ["one", "t\nwo"]);
    assert_eq!(corpus.train().name(1).unwrap(), "a.jsonl#4");
    let expected = "`a.jsonl`: 3 lines without a text under the key `body`, the first: line 3";
    assert_eq!((corpus.skipped(), corpus.statistics().skipped), (&[expected.to_string()][..], 3));
}

#[test]
fn a_file_that_changed_is_noticed() {
    let root = tempfile::tempdir().unwrap();
    write(root.path(), "a.txt", "first\nsecond\n");
    let settings = serde_json::json!({"kind": "folder", "path": root.path(), "document": "line", "held_out": 0.0});
    let corpus = open(settings).unwrap();
    assert_eq!(corpus.train().text(1).unwrap(), "second");
    write(root.path(), "a.txt", "first\nthirds\n");
    assert_eq!(corpus.train().text(0).unwrap(), "first");
    assert!(corpus.train().text(1).unwrap_err().to_string().contains("a.txt#1"));
    write(root.path(), "a.txt", "fir");
    assert!(corpus.train().text(1).unwrap_err().to_string().contains("a.txt"));
    assert!(corpus.train().text(2).unwrap_err().to_string().contains("text 2 was asked for, of 2"));
    assert_eq!(corpus.train().name(2), None);
}

#[test]
fn molecules_need_their_header() {
    let root = tempfile::tempdir().unwrap();
    let settings = || serde_json::json!({"kind": "molecules", "path": root.path()});
    for (name, text) in
        [("train", "SMILES\nCCO\nCCN\nCCO\nCC\n"), ("test", "SMILES\nCCC\n"), ("test_scaffolds", "SMILES\nCC\n")]
    {
        write(root.path(), &format!("{name}.csv.gz"), gzip(text.as_bytes()));
    }
    let corpus = open(settings()).unwrap();
    let texts = |name: &str| corpus.split(name).unwrap().iter().map(Result::unwrap).collect::<Vec<_>>();
    assert_eq!(texts("train"), ["CCO", "CCN"]);
    assert_eq!((texts("held_out"), texts("scaffolds")), (vec!["CCC".to_string()], vec!["CC".to_string()]));
    assert_eq!((corpus.statistics().equal, corpus.held_out().len()), (2, 1));
    let known = interfuse_corpora::KnownTexts::of(corpus.train()).unwrap();
    assert!(known.contains("CCO") && known.contains("CCN") && !known.contains("CCC"));
    for (bytes, part) in [
        (gzip(b"smiles,split\nCCC,test\n"), "expected the header `SMILES`, found `smiles,split`"),
        (gzip(b"SMILES\nCCC,test\n"), "line 2`: expected one SMILES"),
        (gzip(b""), "expected the header"),
        (b"SMILES\nCCC\n".to_vec(), "inside gzip"),
        (gzip(b"SMILES\nCCC\nCCO\n")[..20].to_vec(), "inside gzip"),
    ] {
        write(root.path(), "test.csv.gz", bytes);
        let found = message(settings());
        assert!(found.contains(part) && found.contains("test.csv.gz"), "{found}");
    }
    write(root.path(), "molsets-9.whl", "no zip");
    let found = message(serde_json::json!({"kind": "molecules", "path": root.path().join("molsets-9.whl")}));
    assert!(found.contains("a wheel of molsets with `moses/dataset/data/train.csv.gz`"), "{found}");
}
