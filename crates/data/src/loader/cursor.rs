//! Where a loader stands.

use interfuse_sequence::SequenceLayout;
use serde::{Deserialize, Serialize};

use crate::unique::NewRows;

/// Where a loader stands: all that it needs to go on after a resume.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct LoaderCursor {
    /// Number of the next document of the stream.
    pub next: u64,
    /// Numbers of the documents that came up before and wait for a sequence, the oldest first.
    pub waiting: Vec<u64>,
    /// Documents left out because their image or caption is bad.
    pub bad: u64,
    /// Documents left out because they do not fit into an empty sequence.
    pub too_long: u64,
    /// Tokens with a target, or images, that were handed out, by lane; empty where earlier steps did not count them.
    #[serde(default)]
    pub seen: Vec<u64>,
    /// Those of them that came up for the first time, by lane; empty as `seen` is.
    #[serde(default)]
    pub unique: Vec<u64>,
}

impl LoaderCursor {
    /// Begins to count where nothing was handed out yet; a checkpoint of an earlier version does not know its counts, and half
    /// of a count would be a wrong one.
    pub(super) fn counting(mut self, lanes: usize) -> Self {
        if self.next == 0 {
            (self.seen, self.unique) = (vec![0; lanes], vec![0; lanes]);
        }
        if (self.seen.len(), self.unique.len()) != (lanes, lanes) {
            (self.seen, self.unique) = (vec![], vec![]);
        }
        self
    }

    pub(super) fn count(&mut self, sequence: &SequenceLayout, new: &NewRows) {
        let seen = (0..sequence.lanes.len()).map(|lane| (sequence.targets(lane) + sequence.images(lane)) as u64);
        self.seen.iter_mut().zip(seen).for_each(|(count, more)| *count += more);
        self.unique.iter_mut().zip(new.learned(sequence)).for_each(|(count, more)| *count += more);
    }
}
