//! What is known of a set of shards once it is open: where each image lies, and what was left out.
//!
//! A shard that cannot be read, and a row without an image or a caption, are left out, counted and named, and the rest are used.

use std::path::{Path, PathBuf};

use interfuse_shards::containers::{Members, TarRows};
use interfuse_shards::stream::held_out::place;
use interfuse_shards::{Reading, ShardError, ShardList};
use rayon::prelude::*;

use crate::error::DataError;

/// How many reasons are kept of a shard; the rest are only counted.
const MOST_NAMED: usize = 16;

/// Shards, opened.
pub(super) struct ShardSet {
    pub(super) tars: Vec<TarRows>,
    pub(super) reading: Reading,
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
    tar: TarRows,
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
    /// When a pattern matches nothing, a file is no uncompressed tar by its name, or no captioned image is found.
    pub(super) fn open(patterns: &[String], reading: Reading) -> Result<(Self, Vec<RowIndex>, Vec<f64>), DataError> {
        let list = ShardList::expand(patterns)?;
        if let Some(other) = list.shards.iter().find(|path| !is_plain_tar(path)) {
            let expected = "uncompressed tars (.tar), of which images can be read in any order; decompress .tar.gz and \
                            .tar.zst, and write Parquet and JSON lines as tars";
            return Err(DataError::config("data.source.shards", expected, other.display()));
        }
        let scanned: Vec<_> = list.shards.par_iter().map(|path| scan(path, &reading)).collect();
        Self::of(&list, scanned, reading)
    }

    fn of(
        list: &ShardList,
        scanned: Vec<Result<Scanned, ShardError>>,
        reading: Reading,
    ) -> Result<(Self, Vec<RowIndex>, Vec<f64>), DataError> {
        let (mut tars, mut rows, mut places) = (vec![], vec![], vec![]);
        let mut left_out = LeftOut::missing(&list.missing);
        for scanned in scanned {
            match scanned {
                Ok(Scanned { tar, rows: usable, reasons }) => {
                    left_out.see(&tar, usable.len(), reasons);
                    let shard = tars.len() as u32;
                    rows.extend(usable.iter().map(|&(row, _)| RowIndex { shard, row }));
                    places.extend(usable.iter().map(|&(_, place)| place));
                    tars.push(tar);
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
        Ok((Self { tars, reading, skipped }, rows, places))
    }
}

/// Whether a name is that of a tar that is not compressed.
fn is_plain_tar(path: &Path) -> bool {
    path.extension().is_some_and(|extension| extension.eq_ignore_ascii_case("tar"))
}

/// Reads the headers of a shard, and all of its rows but the images.
fn scan(path: &Path, reading: &Reading) -> Result<Scanned, ShardError> {
    let tar = TarRows::open(path)?;
    let (mut rows, mut reasons) = (vec![], vec![]);
    // No tar has more rows than a number of 32 bits: they would take 4 TB by their headers alone.
    for (row, record) in (0..u32::MAX).zip(tar.records(Members::WithoutImages)?) {
        match record.and_then(|record| reading.description(record)) {
            Ok(example) => rows.push((row, place(&example.key))),
            Err(error) if reasons.len() < MOST_NAMED => reasons.push(error.to_string()),
            Err(_) => {}
        }
    }
    Ok(Scanned { tar, rows, reasons })
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
    fn see(&mut self, tar: &TarRows, usable: usize, reasons: Vec<String>) {
        let remarks = tar.remarks();
        let all = tar.rows() + remarks.lost;
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
