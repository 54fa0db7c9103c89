//! How many documents share a sequence, how many rows of text a sequence has, and which document goes next: so that little of
//! a sequence is padding.
//!
//! A lane has room for a fixed number of rows. If one document had a sequence to itself, the longest caption would size all of
//! them: captions of 3 to 86 tokens, 10 on average, fill a seventh of such a lane. Several documents a sequence, some long and
//! some short, fill nearly all of it.

/// Room beyond the mean that is tried. With little, sequences are often full of text before they have all their images; with
/// much, text is padded.
const MARGINS: [f64; 4] = [1.0, 1.05, 1.1, 1.2];
/// The margin that a choice among documents reckons with.
const MARGIN: f64 = 1.1;
/// How full each lane should be.
const GOOD_FILL: f64 = 0.88;
/// The most documents that wait to be packed; more would fill sequences hardly better.
pub(crate) const MOST_WAITING: usize = 64;
/// Sequences that are packed to see how full they get.
const TRIED: usize = 256;

/// How documents are packed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Packing {
    /// Documents of a full sequence.
    pub documents_per_sequence: usize,
    /// Rows of a sequence for text.
    pub text_rows: usize,
}

impl Packing {
    /// For documents of one image each and of `lengths` rows of text: the fewest a sequence, dividing `batch_size`, of which
    /// both lanes get full; where none does, the number of which they get fullest. Packing is tried, not estimated.
    pub fn choose(lengths: &[usize], batch_size: usize) -> Self {
        let counts = (1..=batch_size.max(1)).filter(|count| batch_size.max(1).is_multiple_of(*count));
        let tried: Vec<(Self, f64)> = counts.map(|count| Self::fullest(lengths, count)).collect();
        let good = tried.iter().find(|(_, fill)| *fill >= GOOD_FILL);
        let best = good.or_else(|| tried.iter().max_by(|a, b| a.1.total_cmp(&b.1)));
        best.map_or_else(|| Self::of(lengths, 1), |(packing, _)| *packing)
    }

    /// Room for `documents_per_sequence` documents of average length and for the longest, by the margin that fills it best.
    pub fn of(lengths: &[usize], documents_per_sequence: usize) -> Self {
        Self::fullest(lengths, documents_per_sequence).0
    }

    /// The same, and how full it gets.
    fn fullest(lengths: &[usize], documents_per_sequence: usize) -> (Self, f64) {
        let longest = lengths.iter().copied().max().unwrap_or(1);
        let mean = lengths.iter().sum::<usize>() as f64 / lengths.len().max(1) as f64;
        let with = |margin: f64| {
            let expected = (documents_per_sequence as f64 * mean * margin).ceil() as usize;
            let packing =
                Self { documents_per_sequence, text_rows: expected.clamp(longest, documents_per_sequence * longest) };
            (packing, packing.fill(lengths))
        };
        let tried = MARGINS.into_iter().map(with).max_by(|a, b| a.1.total_cmp(&b.1));
        tried.unwrap_or_else(|| with(MARGIN))
    }

    /// The fraction of rows that are filled, in the lane that is emptier.
    fn fill(&self, lengths: &[usize]) -> f64 {
        if lengths.is_empty() {
            return 0.0;
        }
        let room = Room {
            capacity: vec![self.text_rows, self.documents_per_sequence],
            documents: self.documents_per_sequence,
        };
        // Files often lie sorted, training never meets them so: a stride that few lengths are a multiple of mixes them.
        let mut stream = (0..).map(|k: usize| vec![lengths[(k * 7919) % lengths.len()], 1]);
        let mut waiting: Vec<Vec<usize>> = vec![];
        let mut filled = [0, 0];
        for _ in 0..TRIED {
            let mut taken = [0, 0];
            for placed in 0..self.documents_per_sequence {
                waiting.extend(stream.by_ref().take(room.window().saturating_sub(waiting.len())));
                let rows: Vec<&[usize]> = waiting.iter().map(Vec::as_slice).collect();
                let Some(place) = room.choose(&rows, &taken, placed) else { break };
                let document = waiting.remove(place);
                taken = [taken[0] + document[0], taken[1] + document[1]];
            }
            filled = [filled[0] + taken[0], filled[1] + taken[1]];
        }
        let of = |lane: usize| filled[lane] as f64 / (TRIED * room.capacity[lane]).max(1) as f64;
        of(0).min(of(1))
    }
}

/// What a sequence has room for.
#[derive(Clone, Debug)]
pub(crate) struct Room {
    /// Rows, by lane.
    pub(crate) capacity: Vec<usize>,
    /// Documents.
    pub(crate) documents: usize,
}

impl Room {
    /// How many documents wait to be chosen from. Where each has a sequence to itself there is no choice.
    pub(crate) fn window(&self) -> usize {
        if self.documents == 1 { 1 } else { MOST_WAITING }
    }

    /// Which of the `waiting` documents, by the rows they need in each lane, the oldest first, goes next into a sequence with
    /// `filled` rows and `placed` documents.
    ///
    /// The first of a sequence is the oldest, so that none waits for ever. Then it is the longest that leaves room for as many
    /// average ones as are due, so that long ones do not gather; where none does, the shortest, if that still fits.
    pub(crate) fn choose(&self, waiting: &[&[usize]], filled: &[usize], placed: usize) -> Option<usize> {
        if placed == 0 {
            return (!waiting.is_empty()).then_some(0);
        }
        let free: Vec<usize> =
            self.capacity.iter().zip(filled).map(|(rows, filled)| rows.saturating_sub(*filled)).collect();
        let followers = self.documents.saturating_sub(placed + 1) as f64;
        let reserved = |rows: &usize| (followers * *rows as f64 / (self.documents as f64 * MARGIN)) as usize;
        let reserved: Vec<usize> = self.capacity.iter().map(reserved).collect();
        let fits = |place: &usize, reserve: bool| {
            let mut lanes = waiting[*place].iter().zip(&reserved).zip(&free);
            lanes.all(|((rows, reserved), free)| rows + if reserve { *reserved } else { 0 } <= *free)
        };
        let total = |place: &usize| waiting[*place].iter().sum::<usize>();
        // Of several alike the oldest: the last of the greatest, the first of the least.
        let longest = (0..waiting.len()).rev().filter(|place| fits(place, true)).max_by_key(total);
        longest.or_else(|| (0..waiting.len()).filter(|place| fits(place, false)).min_by_key(total))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn documents_of_like_length_have_a_sequence_each() {
        let packing = Packing::choose(&[12, 11, 12, 12], 8);
        assert_eq!(packing, Packing { documents_per_sequence: 1, text_rows: 12 });
    }

    #[test]
    fn one_long_document_among_short_ones_is_packed_with_many() {
        let mut lengths = vec![12; 60];
        lengths[7] = 90;
        let packing = Packing::choose(&lengths, 24);
        assert!(packing.documents_per_sequence > 1 && packing.text_rows >= 90, "{packing:?}");
        assert!(packing.fill(&lengths) > 0.8, "{packing:?}: {}", packing.fill(&lengths));
    }

    #[test]
    fn the_batch_is_the_most_and_the_longest_always_fits() {
        let packing = Packing::choose(&[10, 10, 500], 6);
        assert!(packing.documents_per_sequence <= 6 && packing.text_rows >= 500);
        assert_eq!(Packing::of(&[3, 3], 4).text_rows, 12, "no room that nothing can fill");
        assert_eq!(Packing::choose(&[], 0).documents_per_sequence, 1);
    }
}
