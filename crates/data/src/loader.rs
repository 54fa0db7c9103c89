//! Packs the stream of documents into sequences of one row shape, and knows where it stands.
//!
//! Documents wait in a small window. A sequence takes the one that has waited longest, so none waits for ever, and then
//! those that fill it best: so a long caption is packed with short ones.

use std::collections::BTreeSet;
use std::sync::Arc;

use interfuse_sequence::{LayoutBuilder, RowShape, Sample, SequenceFormat, SequenceLayout};
use serde::{Deserialize, Serialize};

use crate::documents::DocumentStream;
use crate::error::DataError;
use crate::packing::Room;
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
    fn counting(mut self, lanes: usize) -> Self {
        if self.next == 0 {
            (self.seen, self.unique) = (vec![0; lanes], vec![0; lanes]);
        }
        if (self.seen.len(), self.unique.len()) != (lanes, lanes) {
            (self.seen, self.unique) = (vec![], vec![]);
        }
        self
    }

    fn count(&mut self, sequence: &SequenceLayout, new: &NewRows) {
        let seen = (0..sequence.lanes.len()).map(|lane| (sequence.targets(lane) + sequence.images(lane)) as u64);
        self.seen.iter_mut().zip(seen).for_each(|(count, more)| *count += more);
        self.unique.iter_mut().zip(new.learned(sequence)).for_each(|(count, more)| *count += more);
    }
}

/// Batches made ahead of time.
struct Ahead {
    /// Sequences of a batch, and batches.
    size: (usize, usize),
    batches: Result<Vec<Vec<SequenceLayout>>, DataError>,
    /// Where the loader stood before them: for everyone else, it still stands there.
    before: LoaderCursor,
    /// What there was to complain of in them, which is said when they are handed out.
    warning: Option<String>,
}

/// How many bad images are named; the rest are only counted.
const MOST_NAMED: usize = 16;

/// Yields batches of sequences.
pub struct Loader {
    documents: Box<dyn DocumentStream>,
    format: Arc<SequenceFormat>,
    shape: RowShape,
    room: Room,
    cursor: LoaderCursor,
    /// The documents of `cursor.waiting`, each of which fits into an empty sequence.
    waiting: Vec<Waiting>,
    /// Batches that were made before anyone asked for them.
    ahead: Option<Ahead>,
    /// What is wrong with the first bad document that has not been named before, until someone asks.
    first_bad: Option<String>,
    /// Images, or whatever documents are made of, that have been named; a bad one comes up again in every epoch.
    named: BTreeSet<usize>,
}

/// A document on its way into a sequence.
struct Waiting {
    sample: Sample,
    /// Rows that it needs in each lane.
    rows: Vec<usize>,
}

impl Loader {
    /// A loader that goes on at `cursor`.
    pub fn new(
        documents: Box<dyn DocumentStream>,
        format: Arc<SequenceFormat>,
        shape: RowShape,
        documents_per_sequence: usize,
        cursor: LoaderCursor,
    ) -> Self {
        let (first_bad, named) = (None, BTreeSet::new());
        let (waiting, cursor) = (vec![], cursor.counting(format.modalities.len()));
        let room = Room { capacity: shape.capacity.clone(), documents: documents_per_sequence };
        Self { documents, format, shape, room, cursor, waiting, ahead: None, first_bad, named }
    }

    /// Where the loader stands: after the batches that were handed out, whatever was made ahead.
    pub fn cursor(&self) -> &LoaderCursor {
        self.ahead.as_ref().map_or(&self.cursor, |ahead| &ahead.before)
    }

    /// How often all of each collection has come up, in the order of the collections, with what waits for a sequence.
    pub fn epochs(&self) -> Vec<f64> {
        self.documents.epochs(self.cursor().next)
    }

    /// The row shape of every batch.
    pub fn shape(&self) -> &RowShape {
        &self.shape
    }

    /// What is wrong with the first bad document that has not been named before; each image is named at most once, and
    /// no more than the first few are.
    pub fn take_warning(&mut self) -> Option<String> {
        self.first_bad.take()
    }

    /// The next batch.
    ///
    /// # Errors
    /// When a whole epoch holds no document that fits.
    pub fn next_batch(&mut self, sequences: usize) -> Result<Vec<SequenceLayout>, DataError> {
        Ok(self.next_batches(sequences, 1)?.remove(0))
    }

    /// The next `count` batches.
    ///
    /// # Errors
    /// When a whole epoch holds no document that fits.
    pub fn next_batches(&mut self, sequences: usize, count: usize) -> Result<Vec<Vec<SequenceLayout>>, DataError> {
        let Some(ahead) = self.ahead.take() else {
            return self.make(sequences, count);
        };
        self.first_bad = self.first_bad.take().or(ahead.warning);
        if ahead.size == (sequences, count) {
            return ahead.batches;
        }
        self.cursor = ahead.before;
        self.make(sequences, count)
    }

    /// Makes the next `count` batches ahead of time, while their predecessors are trained on.
    pub fn prepare(&mut self, sequences: usize, count: usize) {
        if self.ahead.is_none() {
            let (before, earlier) = (self.cursor.clone(), self.first_bad.take());
            let batches = self.make(sequences, count);
            let warning = std::mem::replace(&mut self.first_bad, earlier);
            self.ahead = Some(Ahead { size: (sequences, count), batches, before, warning });
        }
    }

    fn make(&mut self, sequences: usize, count: usize) -> Result<Vec<Vec<SequenceLayout>>, DataError> {
        (0..count).map(|_| (0..sequences).map(|_| self.next_sequence()).collect()).collect()
    }

    fn next_sequence(&mut self) -> Result<SequenceLayout, DataError> {
        self.recall()?;
        let mut builder = LayoutBuilder::new(Arc::clone(&self.format));
        let mut new = NewRows::default();
        for placed in 0..self.room.documents {
            self.fill_window()?;
            let filled: Vec<usize> = (0..self.room.capacity.len()).map(|lane| builder.filled(lane)).collect();
            let waiting: Vec<&[usize]> = self.waiting.iter().map(|document| document.rows.as_slice()).collect();
            let Some(place) = self.room.choose(&waiting, &filled, placed) else { break };
            self.cursor.waiting.remove(place);
            let document = self.waiting.remove(place);
            builder
                .push_sample(&document.sample, &self.shape)
                .map_err(|error| DataError::malformed("document", "what fits the row shape", error.to_string()))?;
            if !self.documents.is_repeated(document.sample.id) {
                new.push(&filled, (0..filled.len()).map(|lane| builder.filled(lane)));
            }
        }
        let sequence = builder.finish(&self.shape);
        self.cursor.count(&sequence, &new);
        Ok(sequence)
    }

    /// Makes the documents that wait, after a resume or when what was made ahead is not what is asked for.
    fn recall(&mut self) -> Result<(), DataError> {
        if self.waiting.iter().map(|document| document.sample.id).eq(self.cursor.waiting.iter().copied()) {
            return Ok(());
        }
        self.waiting.clear();
        for number in std::mem::take(&mut self.cursor.waiting) {
            self.admit(number);
        }
        Ok(())
    }

    /// Lets documents come up until enough wait.
    fn fill_window(&mut self) -> Result<(), DataError> {
        let mut attempts = 0;
        while self.waiting.len() < self.room.window().min(self.documents.epoch().max(1)) {
            if attempts > 2 * self.documents.epoch() {
                return if self.waiting.is_empty() { Err(self.nothing_fits()) } else { Ok(()) };
            }
            attempts += 1;
            let number = self.cursor.next;
            self.cursor.next += 1;
            self.admit(number);
        }
        Ok(())
    }

    /// Lets a document wait, unless it is bad or does not fit into an empty sequence.
    fn admit(&mut self, number: u64) {
        let sample = match self.documents.document(number) {
            Ok(sample) => sample,
            Err(error) => {
                self.cursor.bad += 1;
                return self.complain(number, error.to_string());
            }
        };
        let rows = match LayoutBuilder::new(Arc::clone(&self.format)).fit(&sample, &self.shape) {
            Ok(rows) => rows,
            Err(error) => {
                self.cursor.too_long += 1;
                return self.complain(number, format!("document {number}: {error}"));
            }
        };
        self.cursor.waiting.push(number);
        self.waiting.push(Waiting { sample: Sample { id: number, ..sample }, rows });
    }

    fn complain(&mut self, number: u64, reason: String) {
        let origin = self.documents.index_of(number);
        if self.first_bad.is_none() && self.named.len() < MOST_NAMED && self.named.insert(origin) {
            self.first_bad = Some(reason);
        }
    }

    fn nothing_fits(&mut self) -> DataError {
        let reason = self.first_bad.take().unwrap_or_else(|| "the images named above".into());
        let found = format!("{} bad and {} too long; first: {reason}", self.cursor.bad, self.cursor.too_long);
        DataError::malformed("data", "at least one document that fits the row shape in a whole epoch", found)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::documents::MARKERS;
    use crate::packing::{MOST_WAITING, Packed, Packing};
    use interfuse_sequence::{LatentImage, Modality, Objective, PositionScheme, Segment};
    use ndarray::Array3;

    /// Documents of text and one image each, of given lengths of captions.
    struct Lengths(Vec<usize>);

    impl DocumentStream for Lengths {
        fn document(&mut self, number: u64) -> Result<Sample, DataError> {
            let index = self.index_of(number);
            let ids = vec![1; self.0[index] + MARKERS];
            let image = LatentImage { x_0: Arc::new(Array3::zeros((1, 2, 2))), precedes_caption: false };
            Ok(Sample { id: number, segments: vec![Segment::tokens(1, ids), Segment::image(0, image)] })
        }

        fn epoch(&self) -> usize {
            self.0.len()
        }

        fn index_of(&mut self, number: u64) -> usize {
            number as usize % self.0.len()
        }

        fn rows(&self, format: &SequenceFormat) -> Vec<Vec<usize>> {
            self.0.iter().map(|tokens| vec![format.rows_per_image(), tokens + MARKERS]).collect()
        }
    }

    /// 737 captions of 3 to 86 tokens, 10 on average, the long ones here and there.
    fn stamps() -> Vec<usize> {
        (0..737).map(|k| if k % 23 == 0 { 40 + (k * 7) % 47 } else { 3 + (k * 5) % 11 }).collect()
    }

    fn loader(lengths: &[usize], packing: Packing, cursor: LoaderCursor) -> Loader {
        let modality = |name: &str, objective, tower| Modality { name: name.into(), objective, tower };
        let modalities = vec![modality("image", Objective::Denoise, 0), modality("text", Objective::NextToken, 1)];
        let format = SequenceFormat {
            modalities,
            latent_shape: [1, 2, 2],
            patch_size: 1,
            positions: PositionScheme::Sequential,
        };
        let count = packing.documents_per_sequence;
        let shape = RowShape { capacity: packing.rows };
        Loader::new(Box::new(Lengths(lengths.to_vec())), Arc::new(format), shape, count, cursor)
    }

    fn packing(lengths: &[usize]) -> Packing {
        let rows: Vec<Vec<usize>> = lengths.iter().map(|tokens| vec![4, tokens + MARKERS]).collect();
        Packing::choose(Packed { documents: &rows, multiples: &[4, 1] }, 24)
    }

    #[test]
    fn both_lanes_are_nearly_full_where_captions_differ_in_length() {
        let lengths = stamps();
        let mean = lengths.iter().sum::<usize>() as f64 / lengths.len() as f64;
        assert!((9.0..11.0).contains(&mean) && *lengths.iter().max().unwrap() == 86, "{mean}");
        let packing = packing(&lengths);
        let mut loader = loader(&lengths, packing.clone(), LoaderCursor::default());
        let sequences = loader.next_batch(500).unwrap();
        for lane in 0..2 {
            let filled: usize = sequences.iter().map(|sequence| sequence.lanes[lane].filled()).sum();
            let fill = filled as f64 / (500 * loader.shape().capacity[lane]) as f64;
            assert!(fill >= 0.85, "lane {lane}: {fill:.3} of {packing:?}");
        }
    }

    #[test]
    fn every_document_comes_up_and_none_waits_for_long() {
        let lengths = stamps();
        let mut loader = loader(&lengths, packing(&lengths), LoaderCursor::default());
        let mut longest_wait = 0;
        for _ in 0..400 {
            loader.next_batch(1).unwrap();
            let cursor = loader.cursor();
            assert!(cursor.waiting.len() <= MOST_WAITING);
            longest_wait = longest_wait.max(cursor.next - cursor.waiting.first().copied().unwrap_or(cursor.next));
        }
        assert!(longest_wait < 20 * MOST_WAITING as u64, "{longest_wait} documents overtook one");
        let cursor = loader.cursor().clone();
        assert_eq!((cursor.bad, cursor.too_long), (0, 0));
    }

    #[test]
    fn a_resumed_loader_goes_on_with_the_same_sequences() {
        let lengths = stamps();
        let text = |sequences: &[SequenceLayout]| -> Vec<usize> {
            sequences.iter().map(|sequence| sequence.targets(1) * 100 + sequence.images(0)).collect()
        };
        let mut whole = loader(&lengths, packing(&lengths), LoaderCursor::default());
        whole.next_batch(7).unwrap();
        let cursor = whole.cursor().clone();
        whole.prepare(5, 1);
        assert_eq!(*whole.cursor(), cursor, "what is made ahead is not yet handed out");
        let expected = whole.next_batch(5).unwrap();
        let resumed = loader(&lengths, packing(&lengths), cursor).next_batch(5).unwrap();
        assert_eq!(text(&resumed), text(&expected));
    }

    #[test]
    fn what_is_seen_again_is_not_unique() {
        let lengths = stamps();
        let total: u64 = lengths.iter().map(|tokens| (tokens + MARKERS - 1) as u64).sum();
        let mut loader = loader(&lengths, packing(&lengths), LoaderCursor::default());
        let mut seen = [0u64; 2];
        let mut hand_out = |loader: &mut Loader, sequences: usize| {
            for sequence in loader.next_batch(sequences).unwrap() {
                seen[0] += sequence.images(0) as u64;
                seen[1] += sequence.targets(1) as u64;
            }
            assert_eq!(loader.cursor().seen, seen);
        };
        hand_out(&mut loader, 10);
        assert_eq!(loader.cursor().unique, loader.cursor().seen, "an epoch has nothing twice");
        loader.prepare(10, 1);
        let before = loader.cursor().clone();
        assert_eq!(before.seen, loader.cursor().seen, "what is made ahead is not yet handed out");
        while loader.epochs()[0] < 2.5 {
            hand_out(&mut loader, 10);
        }
        // Lane 0 has images, lane 1 their captions: every one of the first epoch, once.
        assert_eq!(loader.cursor().unique, [737, total]);
        assert!(loader.cursor().seen[1] > 2 * total);
        // A resume counts on; a checkpoint that did not count leaves it.
        let mut resumed = self::loader(&lengths, packing(&lengths), before.clone());
        resumed.next_batch(10).unwrap();
        assert!(resumed.cursor().seen[0] > before.seen[0] && resumed.cursor().unique[1] > before.unique[1]);
        let earlier = LoaderCursor { seen: vec![], unique: vec![], ..before };
        let mut earlier = self::loader(&lengths, packing(&lengths), earlier);
        earlier.next_batch(1).unwrap();
        assert!(earlier.cursor().seen.is_empty() && earlier.cursor().unique.is_empty());
    }

    #[test]
    fn a_waiting_document_that_no_longer_fits_is_left_out() {
        let lengths = [5, 60, 6, 7];
        let small = Packing { documents_per_sequence: 2, rows: vec![8, 30] };
        let cursor = LoaderCursor { next: 2, waiting: vec![1, 0], ..Default::default() };
        let mut loader = loader(&lengths, small, cursor);
        loader.next_batch(3).unwrap();
        assert!(loader.cursor().too_long > 0);
        assert!(loader.cursor().waiting.iter().all(|number| number % 4 != 1));
        assert!(loader.take_warning().unwrap().contains("needs 64"));
    }
}
