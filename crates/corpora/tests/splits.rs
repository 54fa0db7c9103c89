//! No text of training is equal or nearly equal to one that is held out, and which is held out hangs on the text alone.

// A panic is how a test reports.
#![allow(clippy::unwrap_used)]

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use interfuse_corpora::deduplication::{Shingles, THRESHOLD, place};
use interfuse_corpora::{Corpus, CorpusConfig};

fn open(root: &Path, document: &str, held_out: f64) -> Corpus {
    let settings = serde_json::json!({"kind": "folder", "path": root, "document": document, "held_out": held_out});
    serde_json::from_value::<CorpusConfig>(settings).unwrap().open("corpus").unwrap()
}

fn texts(texts: &interfuse_corpora::Texts) -> Vec<String> {
    texts.iter().map(Result::unwrap).collect()
}

/// A text of 120 words that shares next to none of its shingles with another number's.
fn essay(number: usize) -> String {
    (0..120).map(|word| format!("w{}", (number * 7919 + word * word * 31) % 5003)).collect::<Vec<_>>().join(" ")
}

/// Two variants of an essay that are nearly equal to it.
fn variants(text: &str) -> [String; 2] {
    let mut words: Vec<&str> = text.split(' ').collect();
    words[60] = "changed";
    [words.join(" "), format!("{}, and an end.", text.to_uppercase())]
}

#[test]
fn planted_near_duplicates_never_cross_the_split() {
    let root = tempfile::tempdir().unwrap();
    for number in 0..300 {
        let text = essay(number);
        let [a, b] = variants(&text);
        // Names in which the variants come before and after.
        fs::write(root.path().join(format!("{number:03}-m.txt")), &text).unwrap();
        fs::write(root.path().join(format!("{number:03}-a.txt")), a).unwrap();
        fs::write(root.path().join(format!("{number:03}-z.txt")), b).unwrap();
        fs::write(root.path().join(format!("{number:03}-copy.txt")), &text).unwrap();
    }
    let corpus = open(root.path(), "file", 0.3);
    let (train, held_out) = (texts(corpus.train()), texts(corpus.held_out()));
    let statistics = corpus.statistics();
    assert_eq!(train.len() + held_out.len(), statistics.documents);
    assert_eq!((statistics.documents, statistics.equal + statistics.nearly_equal), (300, 900));
    assert!((60..=290).contains(&held_out.len()), "{}", held_out.len());
    let sets: Vec<Shingles> = held_out.iter().map(|text| Shingles::of(text)).collect();
    for text in &train {
        let shingles = Shingles::of(text);
        assert!(sets.iter().all(|other| shingles.similarity(other) < THRESHOLD), "{text}");
    }
    // The same again, whatever the order in which threads looked at the texts.
    let again = open(root.path(), "file", 0.3);
    assert_eq!((again.record(), again.statistics()), (corpus.record(), statistics));
}

#[test]
fn the_choice_hangs_on_the_text_alone() {
    let (one, two) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let lines: Vec<String> = (0..2000).map(essay).collect();
    fs::write(one.path().join("all.txt"), lines.join("\n")).unwrap();
    fs::write(two.path().join("b.txt"), lines[1000..].join("\n")).unwrap();
    fs::write(two.path().join("a.md"), lines[..1000].join("\n\n")).unwrap();
    let set = |corpus: &Corpus| texts(corpus.held_out()).into_iter().collect::<BTreeSet<_>>();
    let (a, b) = (open(one.path(), "line", 0.1), open(two.path(), "paragraph", 0.1));
    assert!(set(&a).iter().all(|text| place(text) < 0.1));
    assert!((150..=250).contains(&set(&a).len()), "{}", set(&a).len());
    let c = open(two.path(), "line", 0.1);
    assert_eq!(set(&a), set(&c));
    assert_ne!(a.record().sha256, c.record().sha256);
    drop(b);
    assert_eq!((a.train().bytes() + a.held_out().bytes(), a.statistics().documents), (a.statistics().bytes, 2000));
}

#[test]
fn both_sides_are_filled_where_they_can_be() {
    let root = tempfile::tempdir().unwrap();
    fs::write(root.path().join("a.txt"), "one text\nand another\n").unwrap();
    for fraction in [1e-9, 0.5, 1.0 - 1e-9] {
        let corpus = open(root.path(), "line", fraction);
        assert_eq!((corpus.train().len(), corpus.held_out().len()), (1, 1));
    }
    let none = open(root.path(), "line", 0.0);
    assert_eq!((none.train().len(), none.held_out().len()), (2, 0));
}

#[test]
fn tokens_are_counted_by_split() {
    let root = tempfile::tempdir().unwrap();
    fs::write(root.path().join("a.txt"), "one two three\nfour five\none two three\n").unwrap();
    let corpus = open(root.path(), "line", 0.5);
    let counts = corpus.count_tokens(|text| text.split(' ').count()).unwrap();
    assert_eq!(counts.iter().map(|count| count.split.as_str()).collect::<Vec<_>>(), ["train", "held_out"]);
    assert_eq!(counts.iter().map(|count| count.tokens).sum::<u64>(), 5);
    assert_eq!(counts.iter().map(|count| count.bytes).sum::<u64>(), 22);
    assert_eq!(counts.iter().map(|count| count.documents).sum::<u64>(), 2);
}
