//! Rows that come up soon, each block of them read from front to back.
//!
//! A block is read when a row of it is first asked for, up to that row and no further, and what is passed on the way waits in
//! memory until it is asked for. With every row that is handed out another is read ahead: first those of this window, then those
//! of the next. So a window is not waited for, memory holds about as many rows as one window has, however many were passed, and a
//! block is decompressed once in an epoch.

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::sync::{Arc, Mutex, PoisonError};

use interfuse_shards::containers::Members;
use interfuse_shards::{Example, Records, ShardError};

use super::set::{RowIndex, ShardSet};

/// Reads rows that were announced, each of which is asked for once.
pub(super) struct Passage {
    members: Members,
    state: Mutex<State>,
}

/// Shard, and block of the shard.
type Block = (u32, u32);

#[derive(Default)]
struct State {
    now: Window,
    next: Window,
    /// Of the blocks of both windows.
    readers: BTreeMap<Block, Box<dyn Records>>,
}

/// Rows that come up together.
#[derive(Default)]
struct Window {
    /// As they were announced.
    rows: Vec<RowIndex>,
    blocks: BTreeMap<Block, Rows>,
}

/// The rows of a block.
#[derive(Default)]
struct Rows {
    /// Those that were not yet passed, in ascending order.
    ahead: VecDeque<u32>,
    /// Those that were passed and not yet asked for.
    passed: HashMap<u32, Result<Arc<Example>, ShardError>>,
}

impl Passage {
    /// Nothing comes up yet.
    pub(super) fn new(members: Members) -> Self {
        Self { members, state: Mutex::default() }
    }

    /// These rows come up now, and then those.
    pub(super) fn expect(&self, set: &ShardSet, now: Vec<RowIndex>, next: Vec<RowIndex>) {
        // A thread that panicked has left no half-made state: what was read is there or is read again.
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        // What was read of the next window is there when it comes up.
        let before = std::mem::take(&mut state.next);
        state.now = if before.rows == now { before } else { Window::of(set, now) };
        state.next = Window::of(set, next);
        let State { now, next, readers } = &mut *state;
        readers.retain(|block, _| now.blocks.contains_key(block) || next.blocks.contains_key(block));
    }

    /// The example of a row that comes up; none where it is not among them or was handed out before.
    pub(super) fn read(&self, set: &ShardSet, place: RowIndex) -> Option<Result<Arc<Example>, ShardError>> {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let State { now, next, readers } = &mut *state;
        let block = (place.shard, set.block(place));
        let rows = now.blocks.get_mut(&block)?;
        if rows.ahead.binary_search(&place.row).is_ok() {
            while rows.ahead.front().is_some_and(|row| *row <= place.row) {
                rows.pass_one((set, self.members), block, readers);
            }
        }
        let found = rows.passed.remove(&place.row)?;
        let mut waiting = now.blocks.iter_mut().chain(&mut next.blocks);
        if let Some((&block, rows)) = waiting.find(|(_, rows)| !rows.ahead.is_empty()) {
            rows.pass_one((set, self.members), block, readers);
        }
        Some(found)
    }
}

impl Window {
    fn of(set: &ShardSet, rows: Vec<RowIndex>) -> Self {
        let mut ahead: BTreeMap<Block, Vec<u32>> = BTreeMap::new();
        for &place in &rows {
            ahead.entry((place.shard, set.block(place))).or_default().push(place.row);
        }
        let sorted = |mut rows: Vec<u32>| {
            rows.sort_unstable();
            Rows { ahead: rows.into(), passed: HashMap::new() }
        };
        Self { rows, blocks: ahead.into_iter().map(|(block, rows)| (block, sorted(rows))).collect() }
    }
}

impl Rows {
    /// Reads the next row of a block.
    fn pass_one(
        &mut self,
        (set, members): (&ShardSet, Members),
        block: Block,
        readers: &mut BTreeMap<Block, Box<dyn Records>>,
    ) {
        let Some(row) = self.ahead.pop_front() else { return };
        let read = match readers.get_mut(&block) {
            Some(reader) => set.example(&mut **reader, row, members),
            None => set.shards[block.0 as usize].reader(members).and_then(|mut reader| {
                let read = set.example(&mut *reader, row, members);
                readers.insert(block, reader);
                read
            }),
        };
        self.passed.insert(row, read.map(Arc::new));
    }
}

#[cfg(test)]
mod tests {
    use interfuse_shards::Reading;

    use super::*;

    /// A set of one compressed tar of so many rows, each an image of one byte and a caption.
    fn set(rows: usize) -> (tempfile::TempDir, ShardSet, Vec<RowIndex>) {
        let root = tempfile::tempdir().unwrap();
        let file = std::fs::File::create(root.path().join("a.tar.gz")).unwrap();
        let mut tar = tar::Builder::new(flate2::write::GzEncoder::new(file, flate2::Compression::fast()));
        for row in 0..rows {
            for (suffix, bytes) in [("jpg", vec![row as u8]), ("txt", format!("caption {row}").into_bytes())] {
                let mut header = tar::Header::new_gnu();
                header.set_size(bytes.len() as u64);
                tar.append_data(&mut header, format!("{row:03}.{suffix}"), bytes.as_slice()).unwrap();
            }
        }
        tar.into_inner().unwrap().finish().unwrap();
        let (set, rows, _) = ShardSet::open(&[root.path().display().to_string()], Reading::default()).unwrap();
        (root, set, rows)
    }

    /// Rows that wait in memory, in this window and in the next.
    fn waiting(passage: &Passage) -> [usize; 2] {
        let state = passage.state.lock().unwrap();
        [&state.now, &state.next].map(|window| window.blocks.values().map(|rows| rows.passed.len()).sum())
    }

    #[test]
    fn the_next_window_is_read_while_this_one_is_handed_out_and_no_more_than_a_window_waits() {
        let (root, set, rows) = set(40);
        let passage = Passage::new(Members::All);
        let windows: Vec<Vec<RowIndex>> = rows.chunks(10).map(<[RowIndex]>::to_vec).collect();
        let mut ahead = 0;
        for pair in windows.windows(2) {
            passage.expect(&set, pair[0].clone(), pair[1].clone());
            assert_eq!(waiting(&passage), [ahead, 0], "what was read of this window is there");
            for (handed_out, place) in (0..10).map(|place| (place, pair[0][place * 7 % 10])) {
                let example = passage.read(&set, place).unwrap().unwrap();
                assert_eq!(example.captions, [format!("caption {}", place.row)]);
                let [now, next] = waiting(&passage);
                assert!(now + next <= 10, "{now} and {next} wait");
                assert!(handed_out > 0 || now > 0);
            }
            // Of ten rows that were read ahead three were of the window itself, beyond what was asked for.
            ahead = 7;
            assert_eq!(waiting(&passage), [0, ahead]);
            // What was handed out, and what does not come up, is not here.
            assert!(passage.read(&set, pair[0][0]).is_none() && passage.read(&set, pair[1][0]).is_none());
        }
        // A file that is gone is opened no more; what was read of it is still there.
        drop(root);
        passage.expect(&set, windows[3].clone(), vec![]);
        assert!(passage.read(&set, windows[3][0]).unwrap().is_ok());
    }

    #[test]
    fn a_row_that_cannot_be_read_is_an_error_of_its_own() {
        let (root, set, rows) = set(4);
        std::fs::remove_file(root.path().join("a.tar.gz")).unwrap();
        let passage = Passage::new(Members::All);
        passage.expect(&set, rows.clone(), vec![]);
        for place in rows {
            let message = passage.read(&set, place).unwrap().unwrap_err().to_string();
            assert!(message.contains("a.tar.gz"), "{message}");
        }
    }
}
