//! How much of what was handed out had not come up before.
//!
//! A document is new when it belongs to the first epoch of its collection. Later epochs may show the same image with another of
//! its captions, or in another order, and are repetitions all the same; so what is counted as new is new.

use std::ops::Range;

use interfuse_sequence::{LaneContent, LaneLayout, SequenceLayout};

/// The rows of a sequence, by lane, that belong to new documents.
#[derive(Default)]
pub(crate) struct NewRows {
    documents: Vec<Vec<Range<usize>>>,
}

impl NewRows {
    /// A new document lies between so many rows of each lane before it and so many with it.
    pub(crate) fn push(&mut self, before: &[usize], with: impl Iterator<Item = usize>) {
        self.documents.push(before.iter().copied().zip(with).map(|(start, end)| start..end).collect());
    }

    /// What of it is learned, by lane: tokens with a target, or images.
    pub(crate) fn learned(&self, sequence: &SequenceLayout) -> Vec<u64> {
        let of = |(lane, layout): (usize, &LaneLayout)| {
            let rows = self.documents.iter().filter_map(|document| document.get(lane).cloned());
            rows.map(|rows| learned(layout, rows)).sum()
        };
        sequence.lanes.iter().enumerate().map(of).collect()
    }
}

/// What of some rows of a lane is learned: tokens with a target, or images.
fn learned(lane: &LaneLayout, rows: Range<usize>) -> u64 {
    let count = match &lane.content {
        LaneContent::NextToken { targets, .. } => targets.get(rows).unwrap_or_default().iter().flatten().count(),
        LaneContent::Denoise { rows_per_image, spans, .. } => {
            let each = (*rows_per_image).max(1);
            spans.get(rows.start / each..rows.end / each).unwrap_or_default().iter().flatten().count()
        }
    };
    count as u64
}
