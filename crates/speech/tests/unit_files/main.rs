//! Unit files of every layout, good and bad.

// A panic is how a test reports.
#![allow(clippy::unwrap_used)]

use std::fs;
use std::path::PathBuf;

use proptest::prelude::*;

use interfuse_speech::units::{Layout, UnitFile, UnitSequence, Utterance, read_units, write_units};

/// A file of a name and a text in a folder of its own.
fn file(name: &str, text: &str) -> (tempfile::TempDir, PathBuf) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join(name);
    fs::write(&path, text).unwrap();
    (folder, path)
}

fn read(text: &str, alphabet: Option<usize>) -> UnitFile {
    let (_folder, path) = file("train.units", text);
    read_units(&path, alphabet).unwrap()
}

fn message(text: &str, alphabet: Option<usize>) -> String {
    let (_folder, path) = file("train.units", text);
    read_units(&path, alphabet).unwrap_err().to_string()
}

#[test]
fn every_layout_is_told_by_its_first_line() {
    let cases = [
        ("17 17 4\r\n9\n", Layout::Plain, [None, None]),
        ("a b\t17 17 4\nc\t9", Layout::Tab, [Some("a b"), Some("c")]),
        ("a|17 17 4\nb|9\n", Layout::Bar, [Some("a"), Some("b")]),
        (
            "{'audio': 'a', 'hubert': '17 17 4'}\n{'audio': 'b', 'hubert': '9'}\n",
            Layout::Dictionary,
            [Some("a"), Some("b")],
        ),
    ];
    for (text, layout, names) in cases {
        let found = read(text, None);
        assert_eq!((found.layout, found.alphabet, found.deduplicated), (layout, 18, false));
        let units: Vec<&[u32]> = found.utterances.iter().map(|utterance| utterance.sequence.units()).collect();
        assert_eq!(units, [[17, 17, 4].as_slice(), &[9]]);
        assert_eq!(found.utterances.iter().map(|utterance| utterance.name.as_deref()).collect::<Vec<_>>(), names);
    }
}

#[test]
fn deduplication_is_seen() {
    assert!(read("17 4 17\n4 4\n", None).alphabet == 18 && !read("17 4 17\n4 4\n", None).deduplicated);
    assert!(read("17 4 17\n4\n", Some(100)).deduplicated);
    assert_eq!(read("17 4 17\n4\n", Some(100)).alphabet, 100);
}

#[test]
fn bad_lines_are_named() {
    let cases = [
        (
            "17 4\n3 100 5\n",
            "line 2`: expected units from 0 to 99, of an alphabet of 100, found 100: the file is of another",
        ),
        ("17 4\n\n5\n", "line 2`: expected one utterance a line, found an empty line"),
        ("", "train.units`: expected one utterance a line, found an empty file"),
        ("17 aa1\n", "line 1`: expected units as whole numbers parted by white space, found `aa1`"),
        ("17 -1\n", "found `-1`"),
        ("17 99999999999\n", "found `99999999999`"),
        ("a|1 2\nb\t3\n", "line 2`: expected a name, a bar and units, as in line 1, found b\t3"),
        ("a|1 2\nb|\n", "line 2`: expected units as whole numbers parted by white space, found none"),
        ("{'audio': 'a', 'text': '1'}\n", "line 1`: expected a dictionary with `audio`"),
    ];
    for (text, part) in cases {
        let message = message(text, Some(100));
        assert!(message.contains("train.units") && message.contains(part), "{message}");
    }
    let (_folder, path) = file("a.km", "");
    fs::write(&path, b"\xff\xfe1 2").unwrap();
    assert!(read_units(&path, None).unwrap_err().to_string().contains("UTF-8"));
}

#[test]
fn the_dictionary_beside_a_file_gives_the_alphabet() {
    let (folder, path) = file("train.km", "1 2\n");
    let dictionary: String = (0..500).map(|unit| format!("{unit} 1\n")).collect();
    fs::write(folder.path().join("dict.km.txt"), dictionary).unwrap();
    assert_eq!(read_units(&path, None).unwrap().alphabet, 500);
    assert_eq!(read_units(&path, Some(500)).unwrap().alphabet, 500);
    let message = read_units(&path, Some(100)).unwrap_err().to_string();
    assert!(message.ends_with("dict.km.txt`: expected an alphabet of 100 units, found 500"), "{message}");
    fs::write(folder.path().join("dict.km.txt"), "0 1\n<s> 1\n").unwrap();
    assert!(read_units(&path, None).unwrap_err().to_string().contains("dict.km.txt line 2"));
}

#[test]
fn durations_join_their_units() {
    let (folder, path) = file("a.units", "x\t17 4\ny\t9\n");
    let durations = folder.path().join("a.durations");
    fs::write(&durations, "x\t3 1\ny\t2\n").unwrap();
    let joined = read_units(&path, None).unwrap().with_durations(&durations).unwrap();
    assert_eq!(joined.utterances[0].sequence.repeated().collect::<Vec<_>>(), [17, 17, 17, 4]);
    for (text, part) in [
        ("x\t3 1\n", "expected 2 lines"),
        ("x\t3\ny\t2\n", "line 1"),
        ("x\t3 0\ny\t2\n", "line 1"),
        ("z\t3 1\ny\t2\n", "expected the durations of \"x\""),
    ] {
        fs::write(&durations, text).unwrap();
        let message = read_units(&path, None).unwrap().with_durations(&durations).unwrap_err().to_string();
        assert!(message.contains("a.durations") && message.contains(part), "{message}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    #[test]
    fn no_text_is_a_panic(text in "[\\{\\}'\":,\\\\|\t\n a1-]{0,40}") {
        let (_folder, path) = file("train.units", &text);
        if let Err(error) = read_units(&path, Some(10)) {
            prop_assert!(error.to_string().contains("train.units"), "{}", error);
        }
    }
}

#[test]
fn what_is_written_reads_back() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a.units");
    for layout in [Layout::Plain, Layout::Tab, Layout::Bar, Layout::Dictionary] {
        let name = |name: &str| (layout != Layout::Plain).then(|| name.to_string());
        let utterance = |name, units: &[u32]| Utterance { name, sequence: UnitSequence::new(units.to_vec()) };
        let utterances = [utterance(name("a b"), &[3, 3, 1]), utterance(name("c's"), &[0])];
        write_units(&path, layout, &utterances).unwrap();
        let found = read_units(&path, None).unwrap();
        assert_eq!((found.layout, found.utterances.as_slice()), (layout, utterances.as_slice()));
    }
    let nameless = [Utterance { name: None, sequence: UnitSequence::new(vec![1]) }];
    assert!(write_units(&path, Layout::Tab, &nameless).unwrap_err().to_string().contains("line 1`: expected a name"));
    let silent = [Utterance { name: None, sequence: UnitSequence::default() }];
    assert!(write_units(&path, Layout::Plain, &silent).unwrap_err().to_string().contains("at least one unit"));
    let parted = [Utterance { name: Some("a|b".into()), sequence: UnitSequence::new(vec![1]) }];
    assert!(write_units(&path, Layout::Bar, &parted).unwrap_err().to_string().contains("a|b"));
}
