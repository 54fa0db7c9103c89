//! Packages as they lie on a disk, of files that the tests make.

// A panic is how a test reports.
#![allow(clippy::unwrap_used)]

use std::fs;
use std::path::Path;

use flate2::{Compress, Compression, FlushCompress};
use interfuse_corpora::{Corpus, CorpusConfig, CorpusError};
use sha2::{Digest as _, Sha256};

fn open(settings: serde_json::Value) -> Result<Corpus, CorpusError> {
    serde_json::from_value::<CorpusConfig>(settings).unwrap().open("corpus")
}

fn write(root: &Path, name: &str, bytes: impl AsRef<[u8]>) {
    let path = root.join(name);
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(path, bytes).unwrap();
}

/// Names and texts of training.
fn found(corpus: &Corpus) -> Vec<(String, String)> {
    let texts = corpus.train();
    (0..texts.len()).map(|number| (texts.name(number).unwrap(), texts.text(number).unwrap())).collect()
}

fn pairs<const N: usize>(pairs: [(&str, &str); N]) -> Vec<(String, String)> {
    pairs.map(|(name, text)| (name.to_string(), text.to_string())).to_vec()
}

/// A file of dictzip with chunks of so many bytes, of which each can be decompressed alone.
fn dictzip(text: &[u8], chunk: usize) -> Vec<u8> {
    let mut chunks = vec![];
    for part in text.chunks(chunk) {
        let mut bytes = Vec::with_capacity(part.len() + 100);
        Compress::new(Compression::best(), false).compress_vec(part, &mut bytes, FlushCompress::Full).unwrap();
        chunks.push(bytes);
    }
    let extra = 6 + 2 * chunks.len() as u16;
    // Flags: an extra field and a name.
    let mut file = vec![0x1f, 0x8b, 8, 12, 0, 0, 0, 0, 2, 3];
    file.extend((extra + 4).to_le_bytes());
    file.extend(b"RA");
    for number in [extra, 1, chunk as u16, chunks.len() as u16] {
        file.extend(number.to_le_bytes());
    }
    chunks.iter().for_each(|chunk| file.extend((chunk.len() as u16).to_le_bytes()));
    file.extend(b"name.dict\0");
    chunks.iter().for_each(|chunk| file.extend(chunk));
    file.extend([0; 8]);
    file
}

/// A number in base 64.
fn digits(mut number: usize) -> String {
    let alphabet = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut digits = vec![];
    while number > 0 || digits.is_empty() {
        digits.insert(0, alphabet[number % 64]);
        number /= 64;
    }
    String::from_utf8(digits).unwrap()
}

/// The dictionary `jargon` below a root.
fn dictionary(root: &Path, entries: &[(&str, &[u8])]) {
    let (mut index, mut text) = (String::new(), vec![]);
    for (headwords, entry) in entries {
        for headword in headwords.split('|') {
            index += &format!("{headword}\t{}\t{}\n", digits(text.len()), digits(entry.len()));
        }
        text.extend_from_slice(entry);
    }
    write(root, "usr/share/dictd/jargon.index", index);
    write(root, "usr/share/dictd/jargon.dict.dz", dictzip(&text, 50));
}

fn jargon(root: &Path) -> Result<Corpus, CorpusError> {
    open(serde_json::json!({"kind": "debian-text", "root": root, "sources": ["jargon"], "held_out": 0.0}))
}

#[test]
fn entries_are_read_from_their_chunks() {
    let root = tempfile::tempdir().unwrap();
    let long = format!("guru\n    An {{expert}} of {}\n", "many, many ".repeat(20));
    dictionary(
        root.path(),
        &[
            ("00-database-info", b"About this dictionary, which is no entry.\n"),
            ("bit|bits", b"bit\n    A unit.\n"),
            ("guru", long.as_bytes()),
            ("latin", b"caf\xe9\n"),
        ],
    );
    write(
        root.path(),
        "var/lib/dpkg/status",
        "Package: dict\nVersion: 9\n\nPackage: dict-jargon\nStatus: ok\nVersion: 4.4.7-3.1\n",
    );
    let corpus = jargon(root.path()).unwrap();
    let long = format!("guru\nAn expert of {}many, many", "many, many ".repeat(19));
    assert_eq!(found(&corpus), pairs([("jargon#0", "bit\nA unit."), ("jargon#1", &long)]));
    assert_eq!(corpus.skipped(), ["1 entries of `jargon` are not in UTF-8"]);
    let item = &corpus.record().items[0];
    assert_eq!((item.name.as_str(), item.version.as_str()), ("dict-jargon", "4.4.7-3.1"));
    assert_eq!(corpus.record().sha256.len(), 64);
}

#[test]
fn broken_dictionaries_are_named() {
    let root = tempfile::tempdir().unwrap();
    let path = "usr/share/dictd/jargon.dict.dz";
    let entry = "word\n    what a word is, and what it is not, in so many words\n".repeat(5);
    dictionary(root.path(), &[("word", entry.as_bytes())]);
    assert_eq!(jargon(root.path()).unwrap().train().len(), 1);
    let whole = fs::read(root.path().join(path)).unwrap();
    for (bytes, part) in [
        (&whole[..whole.len() - 9], "so it is cut off"),
        (&whole[..20], "dictzip"),
        (b"", "dictzip"),
        (b"BZh9 not gzip at all", "dictzip"),
        (&[&whole[..whole.len() - 40], &[0xff; 40][..]].concat(), "chunk"),
    ] {
        write(root.path(), path, bytes);
        let message = jargon(root.path()).unwrap_err().to_string();
        assert!(message.contains("jargon.dict.dz") && message.contains(part), "{message}");
    }
    write(root.path(), path, &whole);
    write(root.path(), "usr/share/dictd/jargon.index", "word\tA\tBA\nbeyond\tBAAA\tB\n");
    let message = jargon(root.path()).unwrap_err().to_string();
    assert!(message.contains("an end beyond that of its entries"), "{message}");
    write(root.path(), "usr/share/dictd/jargon.index", "word\tA\tBA\nno numbers\n");
    let message = jargon(root.path()).unwrap_err().to_string();
    assert!(message.contains("jargon.index line 2") && message.contains("no numbers"), "{message}");
}

const LONG: &str = "and some more words, so that it is long enough for a document.";

#[test]
fn manuals_become_sections() {
    let root = tempfile::tempdir().unwrap();
    let page = format!("<body><h1>A</h1><p>One, {LONG}</p><h2>Only a heading</h2><h2>B</h2><p>Two, {LONG}</p></body>");
    write(root.path(), "usr/share/doc/anarchism/html/secA.html", &page);
    write(root.path(), "usr/share/doc/anarchism/html/broken.html", b"caf\xe9");
    for version in ["3.9", "3.11"] {
        let page =
            format!("<nav>menu</nav><div role=\"main\"><h1>{version}<a class=\"headerlink\">#</a></h1>{LONG}</div>");
        write(root.path(), &format!("usr/share/doc/python{version}/html/library/x.html"), page);
        write(root.path(), &format!("usr/share/doc/python{version}/html/genindex-A.html"), LONG);
        write(root.path(), &format!("usr/share/doc/python{version}/html/_sources/y.html"), LONG);
    }
    write(
        root.path(),
        "usr/share/perl/5.36.0/pod/perlfunc.pod",
        format!("=head1 open\n\nB<Opens> a file, {LONG}\n\n=cut\n"),
    );
    write(root.path(), "usr/share/games/fortunes/wisdom", format!("Do, {LONG}\n%\nOr {LONG}\n\t\t-- Yoda\n"));
    write(root.path(), "usr/share/games/fortunes/wisdom.dat", [0, 255]);
    let sources = ["anarchism", "python", "perl", "fortunes"];
    let corpus =
        open(serde_json::json!({"kind": "debian-text", "root": root.path(), "sources": sources, "held_out": 0.0}))
            .unwrap();
    let expected = [
        ("anarchism/secA.html#0", &*format!("A\n\nOne, {LONG}")),
        ("anarchism/secA.html#2", &format!("B\n\nTwo, {LONG}")),
        ("python/library/x.html#0", &format!("3.11\n\n{LONG}")),
        ("perl/perlfunc.pod#0", &format!("open\n\nOpens a file, {LONG}")),
        ("fortunes/wisdom#0", &format!("Do, {LONG}")),
        ("fortunes/wisdom#1", &format!("Or {LONG}\n\t\t-- Yoda")),
    ];
    assert_eq!(found(&corpus), pairs(expected));
    assert_eq!(corpus.skipped().len(), 1, "{:?}", corpus.skipped());
    assert!(corpus.skipped()[0].contains("anarchism/broken.html") && corpus.skipped()[0].contains("offset 3"));
}

#[test]
fn books_leave_out_what_repeats_them() {
    let root = tempfile::tempdir().unwrap();
    for name in ["book/ch01.html", "book/print.html", "book/2018-edition/ch01.html", "book/ja/ch01.html"] {
        write(root.path(), name, format!("<main><h1>{name}</h1>{LONG}</main>"));
    }
    write(root.path(), "crates1.95.0.js", "");
    let settings = serde_json::json!({"kind": "rust-books", "folder": root.path(), "books": ["book"], "held_out": 0.0});
    let corpus = open(settings).unwrap();
    assert_eq!(found(&corpus), pairs([("book/ch01.html#0", &format!("book/ch01.html\n\n{LONG}"))]));
    assert!(corpus.record().items.iter().any(|item| item.name == "rust-docs" && item.version == "1.95.0"));
}

/// A registry of two versions of a crate and one of another.
fn registry(root: &Path) {
    for (name, text) in [
        ("a-1.9.0/src/lib.rs", "pub fn nine() {}\n"),
        ("a-1.10.0/src/lib.rs", "pub fn ten() {}\n"),
        ("a-1.10.0/src/table.rs", "// @generated\n"),
        ("a-1.10.0/README.md", "no source\n"),
        ("b-c-0.1.0-rc.1/build.rs", "fn main() {}\n"),
    ] {
        write(root, &format!("src/index/{name}"), text);
    }
    write(root, "src/index/a-1.10.0/src/large.rs", "x".repeat(1001));
}

#[test]
fn of_each_crate_the_newest_version_is_read() {
    let root = tempfile::tempdir().unwrap();
    registry(root.path());
    let settings =
        || serde_json::json!({"kind": "cargo-registry", "folder": root.path(), "max_bytes": 1000, "held_out": 0.0});
    let corpus = open(settings()).unwrap();
    let expected = [("a-1.10.0/src/lib.rs", "pub fn ten() {}\n"), ("b-c-0.1.0-rc.1/build.rs", "fn main() {}\n")];
    assert_eq!(found(&corpus), pairs(expected));
    let versions: Vec<&str> = corpus.record().items.iter().map(|item| item.version.as_str()).collect();
    assert_eq!(versions, ["1.10.0", "0.1.0-rc.1"]);
    assert_eq!(corpus.skipped().len(), 2, "{:?}", corpus.skipped());
    let mut with_readme = settings();
    with_readme["extensions"] = serde_json::json!(["md"]);
    assert_eq!(found(&open(with_readme).unwrap()), pairs([("a-1.10.0/README.md", "no source\n")]));
}

#[test]
fn a_lock_file_pins_versions_and_checksums() {
    let root = tempfile::tempdir().unwrap();
    registry(root.path());
    let checksum: String = Sha256::digest("archive").iter().map(|byte| format!("{byte:02x}")).collect();
    let lock = |version: &str, checksum: &str| {
        format!(
            "version = 4\n[[package]]\nname = \"mine\"\nversion = \"0.1.0\"\n\n[[package]]\nname = \"a\"\nversion = \"{version}\"\n\
             source = \"registry+https://x\"\nchecksum = \"{checksum}\"\n"
        )
    };
    let path = root.path().join("Cargo.lock");
    let open = |text: String| {
        fs::write(&path, text).unwrap();
        open(serde_json::json!({"kind": "cargo-registry", "folder": root.path(), "lock": path, "held_out": 0.0}))
    };
    let corpus = open(lock("1.9.0", &checksum)).unwrap();
    assert_eq!(found(&corpus), pairs([("a-1.9.0/src/lib.rs", "pub fn nine() {}\n")]));
    assert_eq!(corpus.record().items[0].version, format!("1.9.0 sha256:{checksum}"));
    write(root.path(), "cache/index/a-1.9.0.crate", "archive");
    assert!(open(lock("1.9.0", &checksum)).is_ok());
    write(root.path(), "cache/index/a-1.9.0.crate", "changed");
    let message = open(lock("1.9.0", &checksum)).unwrap_err().to_string();
    assert!(message.contains("a-1.9.0.crate") && message.contains(&checksum), "{message}");
    let message = open(lock("1.11.0", &checksum)).unwrap_err().to_string();
    assert!(message.contains("`a 1.11.0`") && message.contains("cargo fetch --locked"), "{message}");
    let message = open("[[package]]\nname = 3\n".into()).unwrap_err().to_string();
    assert!(message.contains("Cargo.lock") && message.contains("a lock file of cargo"), "{message}");
}

#[test]
fn pythons_library_comes_without_tests_and_packages() {
    let root = tempfile::tempdir().unwrap();
    let library = root.path().join("python3.11");
    for name in ["os.py", "json/decoder.py", "test/test_os.py", "json/tests/x.py", "site-packages/pip.py", "lib.c"] {
        write(&library, name, format!("import {}\n", name.replace(['/', '.'], "_")));
    }
    let settings = || serde_json::json!({"kind": "python-stdlib", "folder": library, "held_out": 0.0});
    let corpus = open(settings()).unwrap();
    let names: Vec<String> = found(&corpus).into_iter().map(|(name, _)| name).collect();
    assert_eq!(names, ["json/decoder.py", "os.py"]);
    assert_eq!(corpus.record().items[0].version, "python3.11");
    let mut with_tests = settings();
    with_tests["tests"] = true.into();
    assert_eq!(open(with_tests).unwrap().train().len(), 4);
}
