//! Where a stream stands, in numbers that do not grow with what was read.

use serde::{Deserialize, Serialize};

/// Where a stream stands: all that it needs to go on after a resume.
///
/// It holds positions and no bytes. A resume opens the shards of one group, and reads of them what is left of one window.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Cursor {
    /// Of the names of the shards, the seed, and what else decides the order; empty before anything was read.
    pub order: String,
    /// Passes over all shards before this one.
    pub epoch: u64,
    /// Group of shards of the epoch.
    pub group: u64,
    /// Window of the group.
    pub window: u64,
    /// Rows of each shard of the group; 0 where one is broken.
    pub rows: Vec<u64>,
    /// Number of the window's first row, counted over all ranks and epochs.
    pub window_number: u64,
    /// The least number that was not yet passed.
    pub next: u64,
    /// What was counted by this rank.
    pub counters: Counters,
}

impl Cursor {
    /// The cursor of one rank as one that every rank can begin at, however many there are then: `next` at the end of a round,
    /// in which each of `ranks` ranks passed one number.
    ///
    /// Ranks pass equally many numbers only where none of them meets an example that is skipped. Where one does, keep a
    /// cursor for each rank, or read everything on every rank and part it there.
    #[must_use]
    pub fn of_whole_round(&self, ranks: usize) -> Self {
        let ranks = ranks.max(1) as u64;
        Self { next: self.next.div_ceil(ranks) * ranks, ..self.clone() }
    }
}

/// What came up, exactly, whatever was read ahead.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Counters {
    /// Examples that were handed out.
    pub used: u64,
    /// Images of these.
    pub images: u64,
    /// Examples that could not be read or were refused.
    pub bad: u64,
    /// Examples of the other split.
    pub other_split: u64,
    /// Images that are missing in examples that were handed out.
    pub images_left_out: u64,
    /// Shards that could not be opened, each time that they came up.
    pub shards_skipped: u64,
    /// Shards that end before their end and are used as far as they go, each time that they came up.
    pub shards_torn: u64,
    /// Rows of torn shards of which only a part is there, each time that they came up.
    pub lost: u64,
    /// Members of tars whose key came up before, other keys in between, each time that they came up.
    pub out_of_order: u64,
    /// Members of tars whose name came up twice, each time that they came up.
    pub repeated: u64,
}
