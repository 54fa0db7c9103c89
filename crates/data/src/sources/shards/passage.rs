//! Rows that come up soon, each block of them read from front to back.
//!
//! A block is read when a row of it is first asked for, up to that row and no further, and what is passed on the way waits in
//! memory until it is asked for or another window comes up. So memory holds no more rows than a window has, however many were
//! passed, and a block is decompressed once in an epoch.

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::sync::{Arc, Mutex, PoisonError};

use interfuse_shards::containers::Members;
use interfuse_shards::{Example, Records, ShardError};

use super::set::{RowIndex, ShardSet};

/// Reads rows that were announced.
pub(super) struct Passage {
    members: Members,
    /// The blocks of the window, by shard and block of the shard.
    open: Mutex<BTreeMap<(u32, u32), OpenBlock>>,
}

/// A block of which rows come up.
#[derive(Default)]
struct OpenBlock {
    reader: Option<Box<dyn Records>>,
    /// Rows that were not yet passed, in ascending order.
    ahead: VecDeque<u32>,
    /// Rows that were passed.
    passed: HashMap<u32, Result<Arc<Example>, ShardError>>,
}

impl Passage {
    /// Nothing comes up yet.
    pub(super) fn new(members: Members) -> Self {
        Self { members, open: Mutex::default() }
    }

    /// These rows come up next, and no others.
    pub(super) fn expect(&self, set: &ShardSet, rows: impl Iterator<Item = RowIndex>) {
        let mut blocks: BTreeMap<(u32, u32), Vec<u32>> = BTreeMap::new();
        for place in rows {
            blocks.entry((place.shard, set.block(place))).or_default().push(place.row);
        }
        // A thread that panicked has left no half-made state: what was read is there or is read again.
        let mut open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        let mut before = std::mem::take(&mut *open);
        for (block, mut ahead) in blocks {
            ahead.sort_unstable();
            let reader = before.remove(&block).and_then(|block| block.reader);
            open.insert(block, OpenBlock { reader, ahead: ahead.into(), passed: HashMap::new() });
        }
    }

    /// The example of a row that comes up; none where it is not among them.
    pub(super) fn read(&self, set: &ShardSet, place: RowIndex) -> Option<Result<Arc<Example>, ShardError>> {
        let mut open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        let block = open.get_mut(&(place.shard, set.block(place)))?;
        if block.ahead.binary_search(&place.row).is_ok() {
            self.pass(set, block, place);
        }
        match block.passed.get(&place.row)? {
            Ok(example) => Some(Ok(Arc::clone(example))),
            // Whoever asks once more finds it among those that do not come up, and the reason again.
            Err(_) => block.passed.remove(&place.row),
        }
    }

    /// Reads the rows of a block up to one of them.
    fn pass(&self, set: &ShardSet, block: &mut OpenBlock, to: RowIndex) {
        while let Some(row) = block.ahead.front().copied().filter(|row| *row <= to.row) {
            block.ahead.pop_front();
            let read = match &mut block.reader {
                Some(reader) => set.example(&mut **reader, row, self.members),
                None => set.shards[to.shard as usize].reader(self.members).and_then(|mut reader| {
                    let read = set.example(&mut *reader, row, self.members);
                    block.reader = Some(reader);
                    read
                }),
            };
            block.passed.insert(row, read.map(Arc::new));
        }
    }
}
