//! Packs the stream of documents into sequences of one row shape, and knows where it stands.

use std::collections::BTreeSet;
use std::sync::Arc;

use interfuse_sequence::{LayoutBuilder, RowShape, Sample, SequenceFormat, SequenceLayout};
use serde::{Deserialize, Serialize};

use crate::documents::Documents;
use crate::error::DataError;

/// Where a loader stands: all that it needs to go on after a resume.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct LoaderCursor {
    /// Number of the next document of the stream.
    pub next: u64,
    /// Documents that came up before but did not fit into what was left of their sequence.
    pub waiting: Vec<u64>,
    /// Documents left out because their image or caption is bad.
    pub bad: u64,
    /// Documents left out because they do not fit into an empty sequence.
    pub too_long: u64,
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

/// How many documents may wait for a sequence with more room; more would hold back long captions for long.
const MOST_WAITING: usize = 64;

/// How many bad images are named; the rest are only counted.
const MOST_NAMED: usize = 16;

/// Yields batches of sequences.
pub struct Loader {
    documents: Documents,
    format: Arc<SequenceFormat>,
    shape: RowShape,
    documents_per_sequence: usize,
    cursor: LoaderCursor,
    /// Batches that were made before anyone asked for them.
    ahead: Option<Ahead>,
    /// What is wrong with the first bad document that has not been named before, until someone asks.
    first_bad: Option<String>,
    /// Images that have been named; a bad one comes up again in every epoch.
    named: BTreeSet<usize>,
}

impl Loader {
    /// A loader that goes on at `cursor`.
    pub fn new(
        documents: Documents,
        format: Arc<SequenceFormat>,
        shape: RowShape,
        documents_per_sequence: usize,
        cursor: LoaderCursor,
    ) -> Self {
        let (first_bad, named) = (None, BTreeSet::new());
        Self { documents, format, shape, documents_per_sequence, cursor, ahead: None, first_bad, named }
    }

    /// Where the loader stands: after the batches that were handed out, whatever was made ahead.
    pub fn cursor(&self) -> &LoaderCursor {
        self.ahead.as_ref().map_or(&self.cursor, |ahead| &ahead.before)
    }

    /// The row shape of every batch.
    pub fn shape(&self) -> &RowShape {
        &self.shape
    }

    /// The stream of documents.
    pub fn documents(&self) -> &Documents {
        &self.documents
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
        let mut builder = LayoutBuilder::new(Arc::clone(&self.format));
        let mut placed = 0;
        let waiting = std::mem::take(&mut self.cursor.waiting);
        for number in waiting {
            if placed == self.documents_per_sequence || !self.place(number, &mut builder)? {
                self.cursor.waiting.push(number);
            } else {
                placed += 1;
            }
        }
        let mut attempts = 0;
        while placed < self.documents_per_sequence && self.cursor.waiting.len() < MOST_WAITING {
            attempts += 1;
            if placed == 0 && attempts > 2 * self.documents.source().len() {
                return Err(self.nothing_fits());
            }
            let number = self.cursor.next;
            self.cursor.next += 1;
            let rejected = self.cursor.bad + self.cursor.too_long;
            if self.place(number, &mut builder)? {
                placed += 1;
            } else if self.cursor.bad + self.cursor.too_long == rejected {
                // It fits into an empty sequence, so its turn will come; this one is as full as it gets.
                self.cursor.waiting.push(number);
                break;
            }
        }
        Ok(builder.finish(&self.shape))
    }

    /// Lays out a document; false when it is bad, too long, or does not fit into what is left.
    fn place(&mut self, number: u64, builder: &mut LayoutBuilder) -> Result<bool, DataError> {
        let sample = match self.documents.document(number) {
            Ok(sample) => sample,
            Err(error) => {
                self.cursor.bad += 1;
                self.complain(number, error.to_string());
                return Ok(false);
            }
        };
        if builder.push_sample(&sample, &self.shape).is_ok() {
            return Ok(true);
        }
        if let Err(error) = self.fits_alone(&sample) {
            self.cursor.too_long += 1;
            self.complain(number, error);
        }
        Ok(false)
    }

    fn complain(&mut self, number: u64, reason: String) {
        let image = self.documents.index_of(number);
        if self.first_bad.is_none() && self.named.len() < MOST_NAMED && self.named.insert(image) {
            self.first_bad = Some(reason);
        }
    }

    fn fits_alone(&self, sample: &Sample) -> Result<(), String> {
        let mut empty = LayoutBuilder::new(Arc::clone(&self.format));
        empty.push_sample(sample, &self.shape).map_err(|error| format!("document {}: {error}", sample.id))
    }

    fn nothing_fits(&mut self) -> DataError {
        let reason = self.first_bad.take().unwrap_or_else(|| "the images named above".into());
        let found = format!("{} bad and {} too long; first: {reason}", self.cursor.bad, self.cursor.too_long);
        DataError::malformed("data", "at least one document that fits the row shape in a whole epoch", found)
    }
}
