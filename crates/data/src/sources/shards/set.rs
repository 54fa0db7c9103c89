//! What is known of a set of shards once it is open: where each image lies, and what was left out.
//!
//! A shard that cannot be read, and a row without an image or a caption, are left out, counted and named, and the rest are used.

use std::path::{Path, PathBuf};

use interfuse_shards::containers::{self, IndexedShard, Members};
use interfuse_shards::stream::held_out::place;
use interfuse_shards::{Example, Reading, Record, Records, ShardError, ShardList};
use rayon::prelude::*;

use super::descriptions::{Collected, Described, Descriptions};
use crate::error::DataError;

/// How many reasons are kept of a shard; the rest are only counted.
const MOST_NAMED: usize = 16;

/// Shards, opened.
pub(super) struct ShardSet {
    pub(super) shards: Vec<IndexedShard>,
    descriptions: Descriptions,
    /// Of each shard, where its rows are not read without their images.
    described: Vec<Option<Described>>,
    reading: Reading,
    /// What was left out, one sentence each: how much, then the first reasons.
    pub(super) skipped: Vec<String>,
}

/// Where a captioned image lies.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct RowIndex {
    /// Of the shards that are used.
    pub(super) shard: u32,
    /// Of the shard.
    pub(super) row: u32,
}

/// What is found in one shard.
struct Scanned {
    shard: IndexedShard,
    described: Option<Described>,
    /// Rows with an image and captions, and the places of their keys by which some are held out.
    rows: Vec<(u32, f64)>,
    /// Reasons why rows cannot be used, no more than the first.
    reasons: Vec<String>,
}

impl ShardSet {
    /// Opens shards, with the rows that can be used in the order of the files and the places of their keys.
    ///
    /// # Errors
    ///
    /// When a pattern matches nothing, a file is by its name of no kind that is read, or no captioned image is found.
    pub(super) fn open(patterns: &[String], reading: Reading) -> Result<(Self, Vec<RowIndex>, Vec<f64>), DataError> {
        let list = ShardList::expand(patterns)?;
        list.shards.iter().try_for_each(|path| containers::check_kind(path))?;
        let descriptions = Descriptions::default();
        let scanned = list.shards.par_iter().map(|path| scan(path, &reading, &descriptions));
        let scanned: Vec<_> = scanned.collect::<Result<_, DataError>>()?;
        Self::of(&list, scanned, (reading, descriptions))
    }

    fn of(
        list: &ShardList,
        scanned: Vec<Result<Scanned, ShardError>>,
        (reading, descriptions): (Reading, Descriptions),
    ) -> Result<(Self, Vec<RowIndex>, Vec<f64>), DataError> {
        let (mut shards, mut described, mut rows, mut places) = (vec![], vec![], vec![], vec![]);
        let mut left_out = LeftOut::missing(&list.missing);
        for scanned in scanned {
            match scanned {
                Ok(Scanned { shard, described: of_shard, rows: usable, reasons }) => {
                    left_out.see(&shard, usable.len(), reasons);
                    let number = shards.len() as u32;
                    rows.extend(usable.iter().map(|&(row, _)| RowIndex { shard: number, row }));
                    places.extend(usable.iter().map(|&(_, place)| place));
                    shards.push(shard);
                    described.push(of_shard);
                }
                Err(error) => left_out.shard(error.to_string()),
            }
        }
        let skipped = left_out.sentences(list.shards.len() + list.missing.len());
        if rows.is_empty() {
            let reasons = skipped.join("; ");
            let searched =
                format!("searched {} shards for images with captions beside them; {reasons}", list.shards.len());
            return Err(DataError::Empty { searched });
        }
        skipped.iter().for_each(|reason| tracing::warn!("skipped: {reason}"));
        Ok((Self { shards, descriptions, described, reading, skipped }, rows, places))
    }

    /// Whether records may name images that lie in files of their own.
    pub(super) fn names_images(&self) -> bool {
        self.reading.images.is_some()
    }

    /// Which block of its shard a row lies in.
    pub(super) fn block(&self, RowIndex { shard, row }: RowIndex) -> u32 {
        let blocks = self.shards[shard as usize].blocks();
        blocks.partition_point(|&start| start <= u64::from(row)) as u32
    }

    /// How many of some rows, which are in order, lie in each block.
    pub(super) fn block_lengths(&self, rows: &[RowIndex]) -> Vec<u32> {
        let of_one_block = |a: &RowIndex, b: &RowIndex| a.shard == b.shard && self.block(*a) == self.block(*b);
        rows.chunk_by(of_one_block).map(|block| block.len() as u32).collect()
    }

    /// Key, captions and class of a row of a shard that is not read for it; none where it is.
    pub(super) fn described(&self, RowIndex { shard, row }: RowIndex) -> Option<Result<Example, DataError>> {
        let described = self.described[shard as usize].as_ref()?;
        Some(self.descriptions.read(described, row, self.shards[shard as usize].path()))
    }

    /// The example of a row of an open shard; without images key, captions and class.
    pub(super) fn example(&self, reader: &mut dyn Records, row: u32, members: Members) -> Result<Example, ShardError> {
        self.example_of(reader.record(u64::from(row))?, members)
    }

    /// The same of a shard of which any row is read by itself.
    pub(super) fn example_alone(&self, place: RowIndex, members: Members) -> Result<Example, ShardError> {
        self.example_of(self.shards[place.shard as usize].read(u64::from(place.row), members)?, members)
    }

    fn example_of(&self, record: Record, members: Members) -> Result<Example, ShardError> {
        match members {
            Members::All => self.reading.example(record),
            Members::WithoutImages => self.reading.description(record),
        }
    }
}

/// Learns of a shard which rows can be used, and keeps what it says of them where reading it again costs as much as all of it.
fn scan(path: &Path, reading: &Reading, descriptions: &Descriptions) -> Result<Result<Scanned, ShardError>, DataError> {
    let (mut rows, mut reasons) = (vec![], vec![]);
    // Of any other kind a row is read again without its images.
    let mut collected = containers::is_tar(path).then(Collected::default);
    let mut kept = Ok(());
    let shard = IndexedShard::open(path, reading, &mut |row, example| {
        if let (Ok(()), Some(collected)) = (&kept, &mut collected) {
            kept = collected.push(example.as_ref().ok());
        }
        match (u32::try_from(row), example) {
            (Ok(row), Ok(example)) => rows.push((row, place(&example.key))),
            (_, Err(error)) if reasons.len() < MOST_NAMED => reasons.push(error.to_string()),
            // No file has more rows than a number of 32 bits: they would take 4 GB by themselves.
            (Err(_), _) | (_, Err(_)) => {}
        }
    });
    kept.map_err(DataError::io("keep the captions of", path))?;
    let shard = match shard {
        Ok(shard) => shard,
        Err(error) => return Ok(Err(error)),
    };
    let collected = collected.filter(|_| !shard.passes_over_images());
    let described = collected.map(|collected| descriptions.keep(collected)).transpose()?;
    Ok(Ok(Scanned { shard, described, rows, reasons }))
}

/// What is left out of a set.
#[derive(Default)]
struct LeftOut {
    shards: usize,
    /// Rows that cannot be used, and all rows.
    rows: (u64, u64),
    reasons: Vec<String>,
}

impl LeftOut {
    /// Shards that a range names and that do not exist.
    fn missing(paths: &[PathBuf]) -> Self {
        let reasons =
            paths.iter().take(MOST_NAMED).map(|path| format!("`{}` does not exist", path.display())).collect();
        Self { shards: paths.len(), reasons, ..Self::default() }
    }

    /// A shard that cannot be used.
    fn shard(&mut self, reason: String) {
        self.shards += 1;
        self.reasons.push(reason);
    }

    /// A shard with so many rows that can be used.
    fn see(&mut self, shard: &IndexedShard, usable: usize, reasons: Vec<String>) {
        let remarks = shard.remarks();
        let all = shard.rows() + remarks.lost;
        self.rows.0 += all - usable as u64;
        self.rows.1 += all;
        self.reasons.extend(remarks.sentences.iter().cloned().chain(reasons));
    }

    /// How much, if anything, then why.
    fn sentences(self, shards: usize) -> Vec<String> {
        let Self { shards: lost, rows: (unusable, rows), reasons } = self;
        let count = (lost > 0 || unusable > 0)
            .then(|| format!("{lost} of {shards} shards and {unusable} of the other shards' {rows} rows"));
        count.into_iter().chain(reasons).collect()
    }
}
