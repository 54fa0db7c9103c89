//! Walks over the rows in their order, reads those of one rank and one split, and tells what happens as a line of events.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;

use super::cursor::Cursor;
use super::order::{self, OrderConfig, WindowPlace};
use super::rows::RowPlace;
use super::{Place, Remarks};
use crate::containers::{self, Columns, Record, Records};
use crate::error::ShardError;
use crate::example::Example;
use crate::layouts::Reading;

/// What happens on the way, in order.
#[derive(Debug)]
pub(super) enum Event<T> {
    /// A shard of a group that is entered could not be opened.
    Skipped(String),
    /// A shard of a group that is entered is not quite as it should be.
    Remarked(Remarks),
    /// A window is entered: the cursor without its counters.
    Entered(Cursor),
    /// An example, whose number precedes `next`.
    Example { next: u64, facts: Facts, example: T },
    /// An example that cannot be used.
    Bad { next: u64, reason: String },
    /// An example of the other split.
    OtherSplit { next: u64 },
    /// All shards were passed.
    EpochEnded,
    /// Nothing can come any more.
    Failed(ShardError),
}

/// What is counted of an example.
#[derive(Clone, Copy, Debug)]
pub(super) struct Facts {
    pub(super) row: RowPlace,
    pub(super) images: u32,
    pub(super) left_out: u32,
}

/// What the walk needs to know.
pub(super) struct Walk {
    pub(super) shards: Vec<PathBuf>,
    pub(super) reading: Arc<Reading>,
    pub(super) order: OrderConfig,
    pub(super) place: Place,
    pub(super) stop: Arc<AtomicBool>,
}

/// The shards of a group; none where one is broken.
type Shards = Vec<Option<Box<dyn Records>>>;
type Opened = Vec<Result<Box<dyn Records>, ShardError>>;
/// Takes an event; false once nobody wants more.
type Tell<'a> = &'a mut dyn FnMut(Event<Example>) -> bool;

/// Rows that are read at once from shards that seek: so many wait in memory, however large the window is.
const ROWS_AT_ONCE: usize = 64;

/// A row of this rank.
struct Own {
    number: u64,
    /// The shard's place in the group, and the row in it.
    row: (usize, u64),
    read: Option<Read>,
}

/// What was read of a row; nothing where its key is of the other split.
type Read = Result<Option<Example>, ShardError>;

impl Walk {
    /// Walks from a cursor for ever, or until nobody listens.
    pub(super) fn run(&self, mut cursor: Cursor, tell: Tell<'_>) {
        let mut resumed = !cursor.rows.is_empty();
        let mut ahead: Option<JoinHandle<Opened>> = None;
        loop {
            let opened = match ahead.take() {
                Some(opening) => opening.join().unwrap_or_default(),
                None => open(&self.paths(cursor.epoch, cursor.group), &self.reading.columns()),
            };
            let (next_epoch, next_group) = self.after(&cursor);
            ahead = self.open_ahead(next_epoch, next_group);
            if ahead.is_none() {
                let _ = tell(Event::Failed(ShardError::Stopped("no thread could be started".into())));
                return;
            }
            if !self.group(opened, &mut cursor, resumed, tell) {
                return;
            }
            resumed = false;
            if next_epoch != cursor.epoch && !tell(Event::EpochEnded) {
                return;
            }
            (cursor.epoch, cursor.group, cursor.window) = (next_epoch, next_group, 0);
        }
    }

    /// The group after that of the cursor.
    fn after(&self, cursor: &Cursor) -> (u64, u64) {
        match cursor.group + 1 < order::groups(self.shards.len(), self.order.interleave) {
            true => (cursor.epoch, cursor.group + 1),
            false => (cursor.epoch + 1, 0),
        }
    }

    /// The shards of a group by their places in the list.
    fn indices(&self, epoch: u64, group: u64) -> Vec<usize> {
        let shuffled = order::shuffled(self.place.seed, epoch, self.shards.len());
        order::group(&shuffled, self.order.interleave, group).iter().map(|&shard| shard as usize).collect()
    }

    fn paths(&self, epoch: u64, group: u64) -> Vec<PathBuf> {
        self.indices(epoch, group).into_iter().map(|shard| self.shards[shard].clone()).collect()
    }

    /// Opens the next group while this one is read.
    fn open_ahead(&self, epoch: u64, group: u64) -> Option<JoinHandle<Opened>> {
        let (paths, columns) = (self.paths(epoch, group), self.reading.columns());
        std::thread::Builder::new().name("shards-open".into()).spawn(move || open(&paths, &columns)).ok()
    }

    /// Walks over a group from the window of the cursor; whether anybody wants more.
    fn group(&self, opened: Opened, cursor: &mut Cursor, resumed: bool, tell: Tell<'_>) -> bool {
        let rows: Vec<u64> = opened.iter().map(|shard| shard.as_ref().map_or(0, |shard| shard.rows())).collect();
        if resumed && rows != cursor.rows {
            let what = format!("the rows of shards {}", self.names(cursor));
            let (expected, found) = (format!("{:?}", cursor.rows), format!("{rows:?}"));
            let _ = tell(Event::Failed(ShardError::Cursor { what, expected, found }));
            return false;
        }
        let mut shards = Shards::new();
        for shard in opened {
            let event = match &shard {
                Err(error) => Some(Event::Skipped(error.to_string())),
                Ok(shard) if *shard.remarks() != Remarks::default() => Some(Event::Remarked(shard.remarks().clone())),
                Ok(_) => None,
            };
            // What a resume opens again was counted before.
            if let Some(event) = event.filter(|_| !resumed)
                && !tell(event)
            {
                return false;
            }
            shards.push(shard.ok());
        }
        cursor.rows.clone_from(&rows);
        while cursor.window < order::windows(&rows, self.order.window) {
            if !self.window(&mut shards, cursor, tell) {
                return false;
            }
            cursor.window += 1;
        }
        true
    }

    fn names(&self, cursor: &Cursor) -> String {
        let names: Vec<String> =
            self.paths(cursor.epoch, cursor.group).iter().map(|path| format!("`{}`", path.display())).collect();
        names.join(", ")
    }

    /// Reads what is left of a window for this rank, and tells it in order.
    fn window(&self, shards: &mut Shards, cursor: &mut Cursor, tell: Tell<'_>) -> bool {
        let place =
            WindowPlace { seed: self.place.seed, epoch: cursor.epoch, group: cursor.group, window: cursor.window };
        let rows = order::window(&cursor.rows, place, self.order.window);
        if !tell(Event::Entered(Cursor { order: String::new(), counters: Default::default(), ..cursor.clone() })) {
            return false;
        }
        let first = cursor.window_number;
        let own = |number: &u64| *number >= cursor.next && number % self.place.ranks as u64 == self.place.rank as u64;
        let numbers = (first..first + rows.len() as u64).filter(own);
        let mut own: Vec<Own> =
            numbers.map(|number| Own { number, row: rows[(number - first) as usize], read: None }).collect();
        // Shards that can only be passed from front to back are passed once, and what is read of them waits in memory.
        if !self.read_sorted(shards, &mut own, |shard| !shard.seeks()) {
            return false;
        }
        let group = self.indices(cursor.epoch, cursor.group);
        for rows in own.chunks_mut(ROWS_AT_ONCE) {
            if !self.read_sorted(shards, rows, |shard| shard.seeks()) {
                return false;
            }
            for Own { number, row: (slot, row), read } in rows {
                let Some(read) = read.take() else { continue };
                cursor.next = *number + 1;
                if !tell(event(cursor.next, RowPlace { shard: group[*slot] as u32, row: *row }, read)) {
                    return false;
                }
            }
        }
        cursor.window_number = first + rows.len() as u64;
        cursor.next = cursor.next.max(cursor.window_number);
        true
    }

    /// Reads rows of some shards in the order of the files, whatever the order in which they come up; false to stop.
    fn read_sorted(&self, shards: &mut Shards, own: &mut [Own], which: impl Fn(&dyn Records) -> bool) -> bool {
        let mut places: Vec<usize> = (0..own.len()).collect();
        places.sort_unstable_by_key(|&place| own[place].row);
        for place in places {
            if self.stop.load(Ordering::Relaxed) {
                return false;
            }
            let (slot, row) = own[place].row;
            if let Some(shard) = shards[slot].as_mut().filter(|shard| which(&***shard)) {
                own[place].read = Some(self.read(&mut **shard, row));
            }
        }
        true
    }

    fn read(&self, shard: &mut dyn Records, row: u64) -> Read {
        let wanted = |key: &str| self.place.split.has(key, self.order.held_out);
        let record: Option<Record> = shard.read(row, &wanted)?;
        record.map(|record| self.reading.example(record)).transpose()
    }
}

fn open(paths: &[PathBuf], columns: &Columns) -> Opened {
    paths.iter().map(|path| containers::open(path, columns)).collect()
}

fn event(next: u64, row: RowPlace, read: Read) -> Event<Example> {
    match read {
        Ok(Some(example)) => {
            let facts = Facts { row, images: example.images() as u32, left_out: example.images_left_out };
            Event::Example { next, facts, example }
        }
        Ok(None) => Event::OtherSplit { next },
        Err(error) => Event::Bad { next, reason: error.to_string() },
    }
}
