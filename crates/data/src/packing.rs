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
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Packing {
    /// Documents of a full sequence.
    pub documents_per_sequence: usize,
    /// Rows of a sequence, by lane.
    pub rows: Vec<usize>,
}

/// Documents that packing is tried on.
#[derive(Clone, Copy, Debug)]
pub struct Packed<'a> {
    /// The rows that each document needs, by lane, as often as such documents come up.
    pub documents: &'a [Vec<usize>],
    /// Of what the rows of each lane are a multiple: the rows of an image, or 1.
    pub multiples: &'a [usize],
}

impl Packing {
    /// The fewest documents a sequence, dividing `batch_size`, of which all lanes get full; where none does, the number of
    /// which they get fullest. Packing is tried, not estimated.
    pub fn choose(documents: Packed<'_>, batch_size: usize) -> Self {
        let counts = (1..=batch_size.max(1)).filter(|count| batch_size.max(1).is_multiple_of(*count));
        let mut tried = vec![];
        for count in counts {
            let (packing, fill) = documents.fullest(count);
            if fill >= GOOD_FILL {
                return packing;
            }
            tried.push((packing, fill));
        }
        let best = tried.into_iter().reduce(|best, other| if other.1 >= best.1 { other } else { best });
        best.map_or_else(|| Self::of(documents, 1), |(packing, _)| packing)
    }

    /// Room for `documents_per_sequence` documents of average length and for the longest, by the margin that fills it best.
    pub fn of(documents: Packed<'_>, documents_per_sequence: usize) -> Self {
        documents.fullest(documents_per_sequence).0
    }
}

impl Packed<'_> {
    /// The packing of so many documents a sequence by the margin that fills it best, and how full it gets.
    fn fullest(&self, documents_per_sequence: usize) -> (Packing, f64) {
        let with = |margin: f64| {
            let lanes = 0..self.multiples.len();
            let rows = lanes.map(|lane| self.room(lane, documents_per_sequence, margin)).collect();
            let packing = Packing { documents_per_sequence, rows };
            let fill = self.fill(&packing);
            (packing, fill)
        };
        let tried = MARGINS.into_iter().map(with).max_by(|a, b| a.1.total_cmp(&b.1));
        tried.unwrap_or_else(|| with(MARGIN))
    }

    /// Rows of a lane with room for so many average documents and for the longest, and never for more than they can fill.
    fn room(&self, lane: usize, count: usize, margin: f64) -> usize {
        let of_lane = || self.documents.iter().map(|document| document[lane]);
        let longest = of_lane().max().unwrap_or(self.multiples[lane]);
        let mean = of_lane().sum::<usize>() as f64 / self.documents.len().max(1) as f64;
        let expected = (count as f64 * mean * margin).ceil() as usize;
        expected.next_multiple_of(self.multiples[lane].max(1)).clamp(longest, count * longest)
    }

    /// The fraction of rows that are filled, in the lane that is emptiest.
    fn fill(&self, packing: &Packing) -> f64 {
        let all = self.documents.len();
        if all == 0 {
            return 0.0;
        }
        let room = Room { capacity: packing.rows.clone(), documents: packing.documents_per_sequence };
        // Files often lie sorted, training never meets them so: a stride that few lengths are a multiple of mixes them.
        let mut stream = (0..).map(|k: usize| &self.documents[(k * 7919) % all]);
        let mut waiting: Vec<&Vec<usize>> = vec![];
        let mut filled = vec![0; room.capacity.len()];
        for _ in 0..TRIED {
            let mut taken = vec![0; room.capacity.len()];
            for placed in 0..room.documents {
                waiting.extend(stream.by_ref().take(room.window().saturating_sub(waiting.len())));
                let rows: Vec<&[usize]> = waiting.iter().map(|rows| rows.as_slice()).collect();
                let Some(place) = room.choose(&rows, &taken, placed) else { break };
                let document = waiting.remove(place);
                taken.iter_mut().zip(document).for_each(|(taken, rows)| *taken += rows);
            }
            filled.iter_mut().zip(taken).for_each(|(filled, taken)| *filled += taken);
        }
        // A lane that no document has rows in is not empty but absent.
        let lanes = filled.iter().zip(&room.capacity).filter(|(_, rows)| **rows > 0);
        lanes.map(|(filled, rows)| *filled as f64 / (TRIED * rows) as f64).fold(1.0, f64::min)
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

    /// Documents of text of given lengths with an image of 16 rows each.
    fn with_images(lengths: &[usize]) -> Vec<Vec<usize>> {
        lengths.iter().map(|&length| vec![16, length]).collect()
    }

    fn packed(documents: &[Vec<usize>]) -> Packed<'_> {
        Packed { documents, multiples: &[16, 1] }
    }

    #[test]
    fn documents_of_like_length_have_a_sequence_each() {
        let packing = Packing::choose(packed(&with_images(&[12, 11, 12, 12])), 8);
        assert_eq!(packing, Packing { documents_per_sequence: 1, rows: vec![16, 12] });
    }

    #[test]
    fn one_long_document_among_short_ones_is_packed_with_many() {
        let mut lengths = vec![12; 60];
        lengths[7] = 90;
        let documents = with_images(&lengths);
        let packing = Packing::choose(packed(&documents), 24);
        assert!(packing.documents_per_sequence > 1 && packing.rows[1] >= 90, "{packing:?}");
        assert_eq!(packing.rows[0], 16 * packing.documents_per_sequence);
        let fill = packed(&documents).fill(&packing);
        assert!(fill > 0.8, "{packing:?}: {fill}");
    }

    #[test]
    fn the_batch_is_the_most_and_the_longest_always_fits() {
        let packing = Packing::choose(packed(&with_images(&[10, 10, 500])), 6);
        assert!(packing.documents_per_sequence <= 6 && packing.rows[1] >= 500);
        assert_eq!(Packing::of(packed(&with_images(&[3, 3])), 4).rows[1], 12, "no room that nothing can fill");
        assert_eq!(Packing::choose(packed(&[]), 0).documents_per_sequence, 1);
    }

    #[test]
    fn documents_of_different_kinds_share_sequences() {
        // Every third has an image, the others a stretch of some eighty rows of a third lane.
        let kinds = |k: usize| if k.is_multiple_of(3) { vec![16, 9, 0] } else { vec![0, 12, 60 + k % 40] };
        let documents: Vec<_> = (0..300).map(kinds).collect();
        let packed = Packed { documents: &documents, multiples: &[16, 1, 1] };
        let packing = Packing::choose(packed, 24);
        assert!(packing.rows[0].is_multiple_of(16) && packing.rows[2] >= 99, "{packing:?}");
        let fill = packed.fill(&packing);
        assert!(fill > 0.85, "{packing:?}: {fill}");
    }
}
