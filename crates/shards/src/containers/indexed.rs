//! A shard that was opened once and is known from then on: readers of it are opened without another pass.

use std::path::{Path, PathBuf};

use super::array::{ArrayPlaces, ArrayShard};
use super::lines::{LineShard, LineStarts};
use super::tar::{Members, TarShard, TarStarts};
use super::{Columns, Kind, Record, Records, Remarks, key_of, known_kind, open_parquet};
use crate::Value;
use crate::error::ShardError;
use crate::example::Example;
use crate::layouts::Reading;

/// What is known of a shard once it was opened: how many rows it has and where they lie, of a tar 8 bytes each. It holds no open
/// file, and may be read by any number of threads.
pub struct IndexedShard {
    path: PathBuf,
    /// What is asked for: everything, and what may be had without images.
    columns: (Columns, Columns),
    known: Known,
    rows: u64,
    blocks: Vec<u64>,
    seeks: bool,
    remarks: Remarks,
}

/// Where the rows of each kind lie.
enum Known {
    Tar(TarStarts),
    Lines(LineStarts),
    Array(ArrayPlaces),
    /// Its footer, which is read again.
    Parquet,
}

/// Hears of a row, by its number, what can be told without its images.
type Describe<'a> = &'a mut dyn FnMut(u64, Result<Example, ShardError>);

impl IndexedShard {
    /// Opens a shard of captioned images, and says of every row its key, captions and class, or why it cannot be used. A tar is
    /// passed once for it, and decompressed once. Of Parquet the footer is read, and the column of keys where one is set: its
    /// captions are not told, and a row without an image or a caption is found when it is read.
    ///
    /// # Errors
    ///
    /// When it cannot be read, is not of a known kind, holds nothing whole, or lacks a column that is asked for.
    pub fn open(path: &Path, reading: &Reading, describe: Describe<'_>) -> Result<Self, ShardError> {
        let mut see = |row, record: Result<Record, ShardError>| {
            describe(row, record.and_then(|record| reading.description(record)));
        };
        let key = || reading.key.clone();
        let (known, mut records): (Known, Box<dyn Records>) = match known_kind(path)? {
            Kind::Tar => {
                let shard = TarShard::open_seeing(path, Some(&mut see))?;
                (Known::Tar(shard.starts()), Box::new(shard))
            }
            Kind::Lines => {
                let shard = LineShard::open(path, key())?;
                (Known::Lines(shard.starts()), Box::new(shard))
            }
            Kind::Array => {
                let shard = ArrayShard::open(path, key())?;
                (Known::Array(shard.places()), Box::new(shard))
            }
            Kind::Parquet => (Known::Parquet, open_parquet(path, &reading.columns())?),
        };
        match known {
            Known::Tar(_) => {}
            Known::Lines(_) | Known::Array(_) => (0..records.rows()).for_each(|row| see(row, records.record(row))),
            Known::Parquet => keys(path, reading, records.rows(), describe)?,
        }
        let remarks = records.remarks().clone();
        Ok(Self {
            path: path.to_path_buf(),
            columns: (reading.columns(), reading.columns_without_images()),
            known,
            rows: records.rows(),
            blocks: records.blocks(),
            seeks: records.seeks(),
            remarks,
        })
    }

    /// The file.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// How many rows there are, at least one.
    pub fn rows(&self) -> u64 {
        self.rows
    }

    /// The first row of each block that can be entered without what precedes it, in ascending order from 0.
    pub fn blocks(&self) -> &[u64] {
        &self.blocks
    }

    /// Whether a row costs no more than itself to read, wherever it lies.
    pub fn seeks(&self) -> bool {
        self.seeks
    }

    /// Whether a row without its images costs less than with them: not where all of a tar is decompressed on the way.
    pub fn passes_over_images(&self) -> bool {
        self.seeks || !matches!(self.known, Known::Tar(_))
    }

    /// Bytes from a row's beginning to the next row, where that is known.
    pub fn bytes(&self, row: u64) -> Option<u64> {
        match &self.known {
            Known::Tar(starts) => {
                let (start, end) = super::tar::span(starts, row);
                Some(end - start)
            }
            Known::Array(places) => Some(u64::from(places[row as usize].1)),
            Known::Lines(_) | Known::Parquet => None,
        }
    }

    /// What was wrong with it when it was opened.
    pub fn remarks(&self) -> &Remarks {
        &self.remarks
    }

    /// Opens the file to read many rows of it.
    ///
    /// # Errors
    ///
    /// When it cannot be opened any more.
    pub fn reader(&self, members: Members) -> Result<Box<dyn Records>, ShardError> {
        Ok(match &self.known {
            Known::Tar(starts) => Box::new(TarShard::known(&self.path, starts, members)?),
            Known::Lines(starts) => Box::new(LineShard::known(&self.path, self.key(), (starts, self.rows))?),
            Known::Array(places) => Box::new(ArrayShard::known(&self.path, self.key(), places)?),
            Known::Parquet => {
                open_parquet(&self.path, if members == Members::All { &self.columns.0 } else { &self.columns.1 })?
            }
        })
    }

    /// Opens the file for the record of a row, which panics where there is none, as a slice does. Where the shard does not seek,
    /// this reads all that precedes the row in its block.
    ///
    /// # Errors
    ///
    /// When it cannot be read, as when the file has changed since it was opened. The other rows are not affected.
    pub fn read(&self, row: u64, members: Members) -> Result<Record, ShardError> {
        match &self.known {
            Known::Tar(starts) => TarShard::for_a_row(&self.path, starts, members)?.record(row),
            _ => self.reader(members)?.record(row),
        }
    }

    fn key(&self) -> Option<String> {
        self.columns.0.key.clone()
    }
}

/// Tells of the keys of Parquet: what their column holds, or else their places in the file, for which nothing is read.
fn keys(path: &Path, reading: &Reading, rows: u64, describe: Describe<'_>) -> Result<(), ShardError> {
    let example = |key| Example { key, ..Example::default() };
    if reading.key.is_none() {
        (0..rows).for_each(|row| describe(row, key_of(path, row, None, &Value::Null).map(example)));
        return Ok(());
    }
    let mut records = open_parquet(path, &Columns { key: reading.key.clone(), ..Columns::default() })?;
    (0..rows).for_each(|row| describe(row, records.record(row).map(|record| example(record.key))));
    Ok(())
}
