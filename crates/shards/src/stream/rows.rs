//! Rows by their places, in any order: what was handed out before a resume and is needed again.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use crate::containers::{self, Columns, Records};
use crate::error::ShardError;
use crate::example::Example;
use crate::layouts::Reading;
use crate::list::ShardList;

/// Where a row lies.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RowPlace {
    /// Place of the shard in [`ShardList::shards`], from 0.
    pub shard: u32,
    /// Row of the shard, from 0.
    pub row: u64,
}

/// How many shards are kept open.
const MOST_OPEN: usize = 16;

/// Reads rows by their places.
pub struct Rows {
    shards: Vec<PathBuf>,
    reading: Reading,
    columns: Columns,
    /// Those that were asked for last, the last at the end.
    open: Vec<(u32, Box<dyn Records>)>,
}

impl Rows {
    /// Of the shards of a list; none is opened yet.
    ///
    /// # Errors
    ///
    /// When a setting is out of its range.
    pub fn new(list: &ShardList, reading: Reading) -> Result<Self, ShardError> {
        reading.validate()?;
        Ok(Self { shards: list.shards.clone(), columns: reading.columns(), reading, open: vec![] })
    }

    /// The example of a row.
    ///
    /// # Errors
    ///
    /// When there is no such row, or it cannot be read.
    pub fn read(&mut self, place: RowPlace) -> Result<Example, ShardError> {
        let shard = match self.open.iter().position(|(shard, _)| *shard == place.shard) {
            Some(open) => self.open.remove(open).1,
            None => {
                let expected = || format!("below {}", self.shards.len());
                let path = self.shards.get(place.shard as usize);
                let path = path.ok_or_else(|| ShardError::setting("shard", expected(), place.shard))?;
                containers::open(path, &self.columns)?
            }
        };
        if self.open.len() >= MOST_OPEN {
            self.open.remove(0);
        }
        self.open.push((place.shard, shard));
        let Some((_, shard)) = self.open.last_mut() else {
            return Err(ShardError::setting("shard", "one that is open", place.shard));
        };
        if place.row >= shard.rows() {
            return Err(ShardError::setting("row", format!("below {}", shard.rows()), place.row));
        }
        match shard.read(place.row, &|_| true)? {
            Some(record) => self.reading.example(record),
            None => Err(ShardError::setting("row", "one that is there", place.row)),
        }
    }
}
