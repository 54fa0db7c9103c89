//! Rows that nobody announced: single ones here and there, and passes over all of them in the order of their numbers.

use std::sync::{Arc, Mutex, PoisonError};

use interfuse_shards::containers::Members;
use interfuse_shards::{Example, Records, ShardError};

use super::set::{RowIndex, ShardSet};

/// How many files are kept open.
const MOST_OPEN: usize = 4;

/// Files in which a pass may go on, those that were asked for last at the end.
#[derive(Default)]
pub(super) struct Lookup {
    open: Mutex<Vec<OpenShard>>,
}

struct OpenShard {
    shard: u32,
    members: Members,
    reader: Box<dyn Records>,
    /// What was read last: an image's name, captions and class are asked for one after the other.
    last: Option<(u32, Arc<Example>)>,
}

impl Lookup {
    /// The example of a row. In a shard that does not seek, a row behind the one before it is found by going on, any other by
    /// beginning again.
    pub(super) fn read(&self, set: &ShardSet, place: RowIndex, members: Members) -> Result<Arc<Example>, ShardError> {
        let RowIndex { shard, row } = place;
        let mut open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        let found = open.iter().position(|open| (open.shard, open.members) == (shard, members));
        let mut here = match found {
            Some(found) => open.remove(found),
            None => OpenShard { shard, members, reader: set.shards[shard as usize].reader(members)?, last: None },
        };
        let last = here.last.take().filter(|(last, _)| *last == row);
        let read = match last {
            Some((_, example)) => Ok(example),
            None => set.example(&mut *here.reader, row, members).map(Arc::new),
        };
        here.last = read.as_ref().ok().map(|example| (row, Arc::clone(example)));
        if open.len() >= MOST_OPEN {
            open.remove(0);
        }
        open.push(here);
        read
    }
}
