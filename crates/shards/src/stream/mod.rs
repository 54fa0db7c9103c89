//! The endless stream of examples over all shards, resumable and the same for any number of ranks.
//!
//! `order.rs` says in which order rows come up, `walk.rs` reads them, `ahead.rs` works on them beside the trainer, and what is
//! here hands them out and counts. A cursor moves only when something is handed out, so that what was read ahead is forgotten
//! by a resume.

mod ahead;
mod cursor;
pub mod held_out;
pub mod order;
mod rows;
mod speed;
mod walk;

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use serde::{Deserialize, Serialize};

use self::ahead::{Ahead, Work};
pub use self::cursor::{Counters, Cursor};
pub use self::held_out::Split;
pub use self::order::OrderConfig;
pub use self::rows::{RowPlace, Rows};
use self::speed::Clock;
pub use self::speed::Speed;
use self::walk::{Event, Walk};
use crate::containers::Remarks;
use crate::error::ShardError;
use crate::example::Example;
use crate::layouts::Reading;
use crate::list::ShardList;

/// How many shards and examples that are skipped are named; the rest are only counted.
const MOST_NAMED: usize = 64;

/// Which share of the order is wanted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Place {
    /// What the order is a function of.
    pub seed: u64,
    /// This rank, from 0.
    pub rank: usize,
    /// How many ranks there are, at least 1.
    pub ranks: usize,
    /// Which split.
    pub split: Split,
}

impl Place {
    /// The training split as the only rank.
    pub fn alone(seed: u64) -> Self {
        Self { seed, rank: 0, ranks: 1, split: Split::Train }
    }
}

/// Something that was made of an example, and its number.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Numbered<T> {
    /// Counted from 0 over all ranks and epochs; examples that are skipped have numbers as well.
    pub number: u64,
    /// Passes over all shards before this one.
    pub epoch: u64,
    /// Where it lies; [`Rows`] reads it again.
    pub row: RowPlace,
    /// The example, or what was made of it.
    pub example: T,
}

/// An endless stream of examples, or of what is made of them.
pub struct ShardStream<T = Example> {
    ahead: Ahead<T>,
    cursor: Cursor,
    clock: Clock,
    shards: usize,
    ranks: u64,
    /// Epochs in a row, and what had been used before them, in which nothing could be used.
    idle: (u64, u64),
    named: BTreeSet<String>,
    warnings: Vec<String>,
    first_reason: Option<String>,
    failed: Option<String>,
}

impl ShardStream<Example> {
    /// Opens a stream of raw examples at a cursor, or at the beginning.
    ///
    /// # Errors
    ///
    /// When a setting is out of its range, or the cursor belongs to other shards or another order. Shards are opened later,
    /// beside the caller.
    pub fn open(
        list: &ShardList,
        reading: Reading,
        order: OrderConfig,
        at: (Place, Option<Cursor>),
    ) -> Result<Self, ShardError> {
        Self::open_with(list, reading, order, at, Ok)
    }
}

impl<T: Send + 'static> ShardStream<T> {
    /// Opens a stream of what `work` makes of examples, on the threads of [`OrderConfig::threads`]; an example on which it
    /// fails or panics is bad. It must be a function of the example alone, or a resume does not repeat it.
    ///
    /// # Errors
    ///
    /// As [`ShardStream::open`].
    pub fn open_with(
        list: &ShardList,
        reading: Reading,
        order: OrderConfig,
        (place, cursor): (Place, Option<Cursor>),
        work: impl Fn(Example) -> Result<T, String> + Send + Sync + 'static,
    ) -> Result<Self, ShardError> {
        reading.validate()?;
        order.validate()?;
        if place.rank >= place.ranks {
            return Err(ShardError::setting("rank", format!("below the number of ranks, {}", place.ranks), place.rank));
        }
        if list.shards.is_empty() || u32::try_from(list.shards.len()).is_err() {
            return Err(ShardError::setting("shards", format!("1 to {}", u32::MAX), list.shards.len()));
        }
        let mut cursor = cursor.unwrap_or_default();
        check_order(&mut cursor, list, &order, place.seed)?;
        let stop = Arc::new(AtomicBool::new(false));
        let walk = Walk { shards: list.shards.clone(), reading: Arc::new(reading), order, place, stop };
        let work: Work<T> = Arc::new(work);
        Ok(Self {
            ahead: Ahead::start(walk, cursor.clone(), work)?,
            idle: (0, cursor.counters.used),
            cursor,
            clock: Clock::default(),
            shards: list.shards.len(),
            ranks: place.ranks as u64,
            named: BTreeSet::new(),
            warnings: list
                .missing
                .iter()
                .take(MOST_NAMED)
                .map(|path| format!("`{}` does not exist", path.display()))
                .collect(),
            first_reason: None,
            failed: None,
        })
    }

    /// The next example that can be used; waits until it is ready.
    ///
    /// # Errors
    ///
    /// When nothing could be used in so many passes over all shards as there are ranks, or a shard has changed since the cursor
    /// was made. What cannot be used is no error: it is counted, see [`ShardStream::counters`], and named, see
    /// [`ShardStream::take_warnings`].
    pub fn next_example(&mut self) -> Result<Numbered<T>, ShardError> {
        if let Some(reason) = &self.failed {
            return Err(ShardError::Stopped(reason.clone()));
        }
        loop {
            let ahead = &mut self.ahead;
            let event = self.clock.waiting(|| ahead.next());
            match event.and_then(|event| self.take(event)) {
                Ok(Some(example)) => return Ok(example),
                Ok(None) => {}
                Err(error) => {
                    self.failed = Some(error.to_string());
                    return Err(error);
                }
            }
        }
    }

    /// Counts an event; an example is handed out.
    fn take(&mut self, event: Event<T>) -> Result<Option<Numbered<T>>, ShardError> {
        let counters = &mut self.cursor.counters;
        match event {
            Event::Example { next, facts, example } => {
                counters.used += 1;
                counters.images += u64::from(facts.images);
                counters.images_left_out += u64::from(facts.left_out);
                self.cursor.next = next;
                self.clock.count(facts.images);
                let (number, epoch) = (next - 1, self.cursor.epoch);
                return Ok(Some(Numbered { number, epoch, row: facts.row, example }));
            }
            Event::Bad { next, reason } => {
                counters.bad += 1;
                self.cursor.next = next;
                self.name(reason);
            }
            Event::OtherSplit { next } => {
                counters.other_split += 1;
                self.cursor.next = next;
            }
            Event::Skipped(reason) => {
                counters.shards_skipped += 1;
                self.name(reason);
            }
            Event::Remarked(remarks) => {
                counters.shards_torn += u64::from(remarks.torn);
                counters.lost += remarks.lost;
                counters.out_of_order += remarks.out_of_order;
                counters.repeated += remarks.repeated;
                remarks.sentences.into_iter().for_each(|sentence| self.name(sentence));
            }
            Event::Entered(cursor) => {
                let (order, counters) = (std::mem::take(&mut self.cursor.order), self.cursor.counters);
                self.cursor = Cursor { order, counters, ..cursor };
            }
            Event::EpochEnded => return self.end_epoch().map(|()| None),
            Event::Failed(error) => return Err(error),
        }
        Ok(None)
    }

    fn end_epoch(&mut self) -> Result<(), ShardError> {
        let used = self.cursor.counters.used;
        let (epochs, before) = self.idle;
        self.idle = if used == before { (epochs + 1, used) } else { (0, used) };
        // With more ranks than examples a rank may have none in an epoch, and has one soon.
        if self.idle.0 > self.ranks {
            let reason = self.first_reason.clone();
            let reason = reason.map_or("all are of the other split".into(), |reason| format!("first: {reason}"));
            return Err(ShardError::Nothing { shards: self.shards, reason });
        }
        Ok(())
    }

    fn name(&mut self, reason: String) {
        self.first_reason.get_or_insert_with(|| reason.clone());
        if self.named.len() < MOST_NAMED && self.named.insert(reason.clone()) {
            self.warnings.push(reason);
        }
    }

    /// Where the stream stands: behind what was handed out, whatever was read ahead.
    pub fn cursor(&self) -> &Cursor {
        &self.cursor
    }

    /// What came up so far, what came up before the resume included.
    pub fn counters(&self) -> Counters {
        self.cursor.counters
    }

    /// What was skipped or is not quite as it should be since the last call, a sentence each; everything is named at most once,
    /// and no more than the first few are.
    pub fn take_warnings(&mut self) -> Vec<String> {
        std::mem::take(&mut self.warnings)
    }

    /// How fast examples came.
    pub fn speed(&self) -> Speed {
        self.clock.speed()
    }

    /// Measures the speed from now on.
    pub fn restart_speed(&mut self) {
        self.clock = Clock::default();
    }
}

/// That a cursor belongs to these shards and this order; a new one gets their mark.
fn check_order(cursor: &mut Cursor, list: &ShardList, order: &OrderConfig, seed: u64) -> Result<(), ShardError> {
    let mut names = 0xcbf2_9ce4_8422_2325_u64;
    for shard in &list.shards {
        let name = shard.file_name().unwrap_or_default().as_encoded_bytes();
        for byte in name.iter().chain(b"/") {
            names = (names ^ u64::from(*byte)).wrapping_mul(0x0000_0100_0000_01b3);
        }
    }
    let OrderConfig { window, interleave, held_out, .. } = order;
    let count = list.shards.len();
    let found = format!(
        "{count} shards {names:016x}, seed {seed}, window {window}, interleave {interleave}, held out {held_out}"
    );
    match cursor.order.as_str() {
        "" => cursor.order = found,
        expected if expected == found => {}
        expected => {
            let what = "the shards or their order".into();
            return Err(ShardError::Cursor { what, expected: expected.into(), found });
        }
    }
    Ok(())
}
