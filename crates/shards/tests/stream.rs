//! The order over shards: any cut goes on the same, any number of ranks have the same examples, and what is broken is counted.

// A panic is how a test reports.
#![allow(clippy::unwrap_used)]

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use interfuse_shards::layouts::{CaptionedLayout, TextLayout};
use interfuse_shards::{
    Counters, Cursor, Example, Layout, OrderConfig, Part, Place, Reading, RowPlace, Rows, ShardList, ShardStream, Split,
};
use proptest::prelude::*;

/// JSON lines in shards of given lengths.
fn lines(lengths: &[usize]) -> tempfile::TempDir {
    let root = tempfile::tempdir().unwrap();
    for (shard, &length) in lengths.iter().enumerate() {
        let text: String =
            (0..length).map(|row| format!("{{\"text\": \"{shard}/{row}\", \"id\": \"k{shard}-{row}\"}}\n")).collect();
        std::fs::write(root.path().join(format!("{shard}.jsonl")), text).unwrap();
    }
    root
}

fn texts() -> Reading {
    Reading { layout: Layout::Text(TextLayout::default()), key: Some("id".into()), ..Reading::default() }
}

fn order(window: usize, interleave: usize) -> OrderConfig {
    OrderConfig { window, interleave, ahead: 8, ..OrderConfig::default() }
}

fn list(root: &Path) -> ShardList {
    ShardList::expand(&[root.display().to_string()]).unwrap()
}

fn stream(root: &Path, order: &OrderConfig, place: Place, cursor: Option<Cursor>) -> ShardStream {
    ShardStream::open(&list(root), texts(), order.clone(), (place, cursor)).unwrap()
}

fn text(example: &Example) -> String {
    match example.parts.as_slice() {
        [Part::Text(text)] => text.clone(),
        other => panic!("{other:?}"),
    }
}

fn take(stream: &mut ShardStream, count: usize) -> Vec<(u64, String)> {
    let next =
        |stream: &mut ShardStream| stream.next_example().map(|found| (found.number, text(&found.example))).unwrap();
    (0..count).map(|_| next(stream)).collect()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(40))]

    #[test]
    fn a_resume_at_any_cut_goes_on_the_same(
        lengths in prop::collection::vec(1_usize..12, 1..6),
        (window, interleave, seed, cut) in (1_usize..12, 1_usize..4, any::<u64>(), 0_usize..60),
        (rank, ranks) in prop::sample::select(vec![(0, 1), (0, 2), (1, 2), (2, 3)]),
    ) {
        let root = lines(&lengths);
        let order = order(window, interleave);
        let place = Place { seed, rank, ranks, split: Split::Train };
        let mut whole = stream(root.path(), &order, place, None);
        take(&mut whole, cut);
        let json = serde_json::to_string(whole.cursor()).unwrap();
        let expected = (take(&mut whole, 30), whole.counters());
        let mut resumed = stream(root.path(), &order, place, Some(serde_json::from_str(&json).unwrap()));
        prop_assert_eq!((take(&mut resumed, 30), resumed.counters()), expected);
    }

    #[test]
    fn ranks_share_one_order(
        lengths in prop::collection::vec(1_usize..12, 1..6),
        (window, interleave, seed) in (1_usize..12, 1_usize..4, any::<u64>()),
    ) {
        let root = lines(&lengths);
        let order = order(window, interleave);
        let all: usize = lengths.iter().sum();
        let mut alone = stream(root.path(), &order, Place::alone(seed), None);
        let expected: BTreeMap<u64, String> = take(&mut alone, 2 * all).into_iter().collect();
        prop_assert_eq!(expected.len(), 2 * all);
        for epoch in 0..2 {
            let mut seen: Vec<&String> = expected.iter().skip(epoch * all).take(all).map(|(_, text)| text).collect();
            seen.sort();
            seen.dedup();
            prop_assert_eq!(seen.len(), all, "every example comes up once in an epoch");
        }
        for ranks in [2, 3] {
            let mut together = BTreeMap::new();
            for rank in 0..ranks {
                let mut one = stream(root.path(), &order, Place { seed, rank, ranks, split: Split::Train }, None);
                let share = (2 * all + ranks - 1 - rank) / ranks;
                let taken = take(&mut one, share);
                prop_assert!(taken.iter().all(|(number, _)| *number % ranks as u64 == rank as u64));
                together.extend(taken);
            }
            prop_assert_eq!(&together, &expected);
        }
    }
}

#[test]
fn a_run_on_two_ranks_goes_on_with_three() {
    let root = lines(&[7, 9, 4, 8]);
    let order = order(5, 2);
    let rank = |rank, ranks| Place { seed: 3, rank, ranks, split: Split::Train };
    let mut before: Vec<_> = (0..2).map(|number| stream(root.path(), &order, rank(number, 2), None)).collect();
    let mut numbers: Vec<u64> =
        before.iter_mut().flat_map(|stream| take(stream, 9)).map(|(number, _)| number).collect();
    let cursor = before[0].cursor().of_whole_round(2);
    for number in 0..3 {
        let mut after = stream(root.path(), &order, rank(number, 3), Some(cursor.clone()));
        numbers.extend(take(&mut after, 10).into_iter().map(|(number, _)| number));
    }
    numbers.sort_unstable();
    assert_eq!(numbers, (0..48).collect::<Vec<_>>());
}

#[test]
fn the_splits_are_disjoint_and_together_everything() {
    let root = lines(&[200, 300]);
    let order = OrderConfig { held_out: 0.2, ..order(64, 2) };
    let mut both = [Split::Train, Split::HeldOut].map(|split| {
        let mut stream = stream(root.path(), &order, Place { split, ..Place::alone(1) }, None);
        let mut texts = vec![];
        while stream.cursor().next < 500 {
            let found = stream.next_example().unwrap();
            texts.extend((found.number < 500).then(|| text(&found.example)));
        }
        texts.sort();
        texts
    });
    assert!((60..140).contains(&both[1].len()), "{}", both[1].len());
    let [train, held_out] = &mut both;
    assert!(train.iter().all(|text| !held_out.contains(text)));
    train.append(held_out);
    train.sort();
    train.dedup();
    assert_eq!(train.len(), 500);
}

#[test]
fn neighbours_in_a_shard_come_up_apart() {
    let root = lines(&[100; 8]);
    let mut stream = stream(root.path(), &order(200, 4), Place::alone(5), None);
    let taken = take(&mut stream, 800);
    let shard = |text: &str| text.split('/').next().unwrap().to_string();
    let same = taken.windows(2).filter(|pair| shard(&pair[0].1) == shard(&pair[1].1)).count();
    assert!((120..280).contains(&same), "{same} of 799 neighbours are of one shard, where a quarter is expected");
}

#[test]
fn broken_shards_and_bad_examples_are_counted_and_named() {
    let root = lines(&[5, 5, 5]);
    std::fs::write(root.path().join("3.tar"), [7; 2000]).unwrap();
    std::fs::write(root.path().join("4.jsonl.gz"), b"no gzip").unwrap();
    let bad = "{\"text\": 3, \"id\": \"a\"}\n[]\n{\"text\": \" \", \"id\": 5}\n{\"id\": \"b\"}\n{\"text\": \"fine\", \"id\": 7}\n{\"text\": \"c\"}\n";
    std::fs::write(root.path().join("5.jsonl"), bad).unwrap();
    let order = order(4, 3);
    let mut whole = stream(root.path(), &order, Place::alone(1), None);
    while whole.cursor().epoch < 1 {
        whole.next_example().unwrap();
    }
    let Counters { used, bad, shards_skipped, .. } = whole.counters();
    assert_eq!((used - 1, shards_skipped >= 2), (16, true));
    assert!((5..=10).contains(&bad), "{bad}");
    let warnings = whole.take_warnings();
    for part in
        ["3.tar", "4.jsonl.gz", "5.jsonl, row 0", "an object in JSON, found a list of 0", "no", "key field `id`"]
    {
        assert!(warnings.iter().any(|warning| warning.contains(part)), "{part}: {warnings:#?}");
    }
    assert_eq!(warnings.len(), 7, "{warnings:#?}");
    // Resumes in every place count as one run does.
    let mut cursor = Cursor::default();
    let mut alone = stream(root.path(), &order, Place::alone(1), None);
    for _ in 0..40 {
        let mut resumed = stream(root.path(), &order, Place::alone(1), Some(cursor.clone()));
        assert_eq!(resumed.next_example().unwrap(), alone.next_example().unwrap());
        cursor = resumed.cursor().clone();
        assert_eq!(&cursor, alone.cursor());
    }
}

#[test]
fn nothing_that_can_be_used_is_an_error_with_the_reason() {
    let root = lines(&[3, 3]);
    let reading = Reading { layout: Layout::Text(TextLayout { text: vec!["txet".into()] }), ..Reading::default() };
    let mut stream = ShardStream::open(&list(root.path()), reading, order(4, 2), (Place::alone(1), None)).unwrap();
    let message = stream.next_example().unwrap_err().to_string();
    assert!(message.contains("2 shards") && message.contains("nearest is `text`"), "{message}");
    assert!(stream.next_example().is_err());
    let empty = tempfile::tempdir().unwrap();
    std::fs::write(empty.path().join("a.jsonl"), "").unwrap();
    let mut stream = ShardStream::open(&list(empty.path()), texts(), order(4, 2), (Place::alone(1), None)).unwrap();
    assert!(stream.next_example().unwrap_err().to_string().contains("a.jsonl"));
}

#[test]
fn a_cursor_of_other_shards_or_another_order_is_refused() {
    let root = lines(&[6, 6]);
    let mut whole = stream(root.path(), &order(4, 2), Place::alone(1), None);
    take(&mut whole, 3);
    let cursor = whole.cursor().clone();
    let open = |order: OrderConfig, seed| {
        ShardStream::open(&list(root.path()), texts(), order, (Place::alone(seed), Some(cursor.clone()))).map(|_| ())
    };
    assert!(open(order(4, 2), 1).is_ok());
    for refused in [open(order(5, 2), 1), open(order(4, 1), 1), open(order(4, 2), 2)] {
        assert!(refused.unwrap_err().to_string().contains("cannot resume"));
    }
    // A shard that has other rows than before is noticed when it is opened.
    std::fs::write(root.path().join("1.jsonl"), "{\"text\": \"x\", \"id\": \"y\"}\n").unwrap();
    let mut changed = stream(root.path(), &order(4, 2), Place::alone(1), Some(cursor.clone()));
    let message = changed.next_example().unwrap_err().to_string();
    assert!(message.contains("cannot resume") && message.contains("1.jsonl"), "{message}");
    std::fs::write(root.path().join("2.jsonl"), "{}").unwrap();
    let refused = ShardStream::open(&list(root.path()), texts(), order(4, 2), (Place::alone(1), Some(cursor)));
    assert!(refused.err().unwrap().to_string().contains("3 shards"));
}

#[test]
fn work_that_fails_or_panics_is_a_bad_example() {
    let root = lines(&[10]);
    let work = |example: Example| match text(&example).as_str() {
        "0/3" => Err("cannot be decoded".into()),
        "0/4" => panic!("a decoder's fault"),
        text => Ok(text.len()),
    };
    let order = OrderConfig { threads: 3, ..order(4, 1) };
    let mut stream = ShardStream::open_with(&list(root.path()), texts(), order, (Place::alone(1), None), work).unwrap();
    let numbers: Vec<u64> = (0..16).map(|_| stream.next_example().unwrap().number).collect();
    assert!(numbers.is_sorted());
    assert_eq!((stream.counters().used, stream.counters().bad), (16, 4));
    let warnings = stream.take_warnings();
    assert!(warnings.iter().any(|warning| warning.contains("`k0-3`: cannot be decoded")), "{warnings:?}");
    let speed = stream.speed();
    assert!(
        speed.examples == 16 && (0.0..=1.0).contains(&speed.waited) && speed.examples_per_second() > 0.0,
        "{speed:?}"
    );
}

#[test]
fn no_more_is_held_ahead_than_was_agreed() {
    let root = lines(&[400]);
    let held = Arc::new(());
    let handle = Arc::clone(&held);
    let work = move |_: Example| Ok(Arc::clone(&handle));
    let order = OrderConfig { threads: 2, ..order(10, 1) };
    let mut stream = ShardStream::open_with(&list(root.path()), texts(), order, (Place::alone(1), None), work).unwrap();
    let first = stream.next_example().unwrap();
    std::thread::sleep(std::time::Duration::from_millis(100));
    // Our own, that of the work, the one that was handed out, the queue, and one that waits for a slot.
    let count = Arc::strong_count(&held);
    assert!(count <= 3 + 8 + 2, "{count}");
    drop((first, stream));
    assert_eq!(Arc::strong_count(&held), 1, "threads end with the stream");
}

#[test]
fn settings_out_of_range_are_refused_before_anything_is_read() {
    let root = lines(&[2]);
    let open = |reading, order, place| {
        ShardStream::open(&list(root.path()), reading, order, (place, None)).err().map(|error| error.to_string())
    };
    let place = Place { rank: 2, ranks: 2, ..Place::alone(1) };
    assert!(open(texts(), order(1, 1), place).unwrap().contains("`rank`"));
    assert!(open(texts(), order(0, 1), Place::alone(1)).unwrap().contains("`window`"));
    let layout = Layout::Captioned(CaptionedLayout { image: vec![" ".into()], ..Default::default() });
    assert!(
        open(Reading { layout, ..Reading::default() }, order(1, 1), Place::alone(1)).unwrap().contains("empty name")
    );
}

#[test]
fn a_row_is_read_again_by_its_place() {
    let root = lines(&[3; 20]);
    let mut stream = stream(root.path(), &order(16, 4), Place::alone(7), None);
    let mut rows = Rows::new(&list(root.path()), texts()).unwrap();
    for _ in 0..130 {
        let found = stream.next_example().unwrap();
        assert_eq!(found.epoch, found.number / 60);
        assert_eq!(rows.read(found.row).unwrap(), found.example);
    }
    let message = |shard, row| {
        Rows::new(&list(root.path()), texts()).unwrap().read(RowPlace { shard, row }).unwrap_err().to_string()
    };
    assert!(message(20, 0).contains("`shard`: expected below 20") && message(1, 3).contains("`row`: expected below 3"));
}

#[test]
fn shards_that_seek_and_shards_that_do_not_mix() {
    let root = lines(&[9, 9, 9]);
    let here = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/parity");
    for name in ["texts.jsonl.gz", "texts.jsonl.zst", "texts.jsonl"] {
        std::fs::copy(here.join(name), root.path().join(name)).unwrap();
    }
    let config = order(50, 6);
    let mut whole = stream(root.path(), &config, Place::alone(2), None);
    let mut cursors = vec![];
    for _ in 0..60 {
        cursors.push(whole.cursor().clone());
        whole.next_example().unwrap();
    }
    let expected: Vec<_> = {
        let mut again = stream(root.path(), &config, Place::alone(2), None);
        take(&mut again, 70)
    };
    for (cut, cursor) in cursors.into_iter().enumerate().step_by(7) {
        let mut resumed = stream(root.path(), &config, Place::alone(2), Some(cursor));
        assert_eq!(take(&mut resumed, 10), expected[cut..cut + 10]);
    }
}
