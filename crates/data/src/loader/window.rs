//! Documents that wait for a sequence, and those that are left out.

use std::collections::BTreeSet;
use std::sync::Arc;

use interfuse_sequence::{LayoutBuilder, RowShape, Sample, SequenceFormat};

use super::cursor::LoaderCursor;
use crate::documents::DocumentStream;
use crate::error::DataError;

/// How many bad images are named; the rest are only counted.
const MOST_NAMED: usize = 16;

/// What documents with images of one size are laid out against.
pub(super) struct SizedRows {
    pub(super) format: Arc<SequenceFormat>,
    pub(super) shape: RowShape,
}

/// A document on its way into a sequence.
pub(super) struct Waiting {
    pub(super) sample: Sample,
    /// Rows that it needs in each lane.
    pub(super) rows: Vec<usize>,
    /// The size of its images among those there are; none where it has no images, so that it goes with any.
    size: Option<usize>,
}

impl Waiting {
    fn goes_with(&self, size: usize) -> bool {
        self.size.is_none_or(|own| own == size)
    }
}

/// Documents that came up and wait.
pub(super) struct Window {
    pub(super) documents: Box<dyn DocumentStream>,
    /// By size; the first is that of documents without images.
    pub(super) sizes: Vec<SizedRows>,
    /// The documents of the cursor's `waiting`, each of which fits into an empty sequence.
    waiting: Vec<Waiting>,
    /// What is wrong with the first bad document that has not been named before, until someone asks.
    pub(super) first_bad: Option<String>,
    /// Images, or whatever documents are made of, that have been named; a bad one comes up again in every epoch.
    named: BTreeSet<usize>,
}

impl Window {
    pub(super) fn new(documents: Box<dyn DocumentStream>, format: Arc<SequenceFormat>, shape: RowShape) -> Self {
        let sizes = vec![SizedRows { format, shape }];
        Self { documents, sizes, waiting: vec![], first_bad: None, named: BTreeSet::new() }
    }

    /// Where the documents that go with a size stand among those that wait, the oldest first, and the rows that they need.
    pub(super) fn of_size(&self, size: usize) -> (Vec<usize>, Vec<&[usize]>) {
        let of_size = self.waiting.iter().enumerate().filter(|(_, document)| document.goes_with(size));
        of_size.map(|(place, document)| (place, document.rows.as_slice())).unzip()
    }

    /// Takes a document out.
    pub(super) fn take(&mut self, place: usize, cursor: &mut LoaderCursor) -> Waiting {
        cursor.waiting.remove(place);
        self.waiting.remove(place)
    }

    /// Makes the documents that wait, after a resume or when what was made ahead is not what is asked for.
    pub(super) fn recall(&mut self, cursor: &mut LoaderCursor) {
        if self.waiting.iter().map(|document| document.sample.id).eq(cursor.waiting.iter().copied()) {
            return;
        }
        self.waiting.clear();
        for number in std::mem::take(&mut cursor.waiting) {
            self.admit(number, cursor);
        }
    }

    /// Lets documents come up until `wanted` of one size wait, where there are as many, and says which size that is.
    ///
    /// # Errors
    /// When a whole epoch holds no document that fits.
    pub(super) fn fill(&mut self, wanted: usize, cursor: &mut LoaderCursor) -> Result<usize, DataError> {
        let epoch = self.documents.epoch();
        let patience = 2 * epoch + if self.sizes.len() > 1 { wanted * self.sizes.len() } else { 0 };
        let mut attempts = 0;
        loop {
            let counts = (0..self.sizes.len()).map(|size| (size, self.count(size)));
            // Of several alike the first.
            let (size, count) = counts.rev().max_by_key(|(_, count)| *count).unwrap_or_default();
            if count >= wanted || (attempts > patience && count > 0) {
                return Ok(size);
            }
            if attempts > patience {
                return Err(self.nothing_fits(cursor));
            }
            attempts += 1;
            let number = cursor.next;
            cursor.next += 1;
            self.admit(number, cursor);
        }
    }

    fn count(&self, size: usize) -> usize {
        self.waiting.iter().filter(|document| document.goes_with(size)).count()
    }

    /// Lets a document wait, unless it is bad or does not fit into an empty sequence.
    fn admit(&mut self, number: u64, cursor: &mut LoaderCursor) {
        let sample = match self.documents.document(number) {
            Ok(sample) => sample,
            Err(error) => {
                cursor.bad += 1;
                return self.complain(number, error.to_string());
            }
        };
        let size = sample
            .latent_shape()
            .map(|shape| self.sizes.iter().position(|size| size.format.latent_shape == shape).unwrap_or_default());
        let SizedRows { format, shape } = &self.sizes[size.unwrap_or_default()];
        let rows = match LayoutBuilder::new(Arc::clone(format)).fit(&sample, shape) {
            Ok(rows) => rows,
            Err(error) => {
                cursor.too_long += 1;
                return self.complain(number, format!("document {number}: {error}"));
            }
        };
        cursor.waiting.push(number);
        self.waiting.push(Waiting { sample: Sample { id: number, ..sample }, rows, size });
    }

    fn complain(&mut self, number: u64, reason: String) {
        let origin = self.documents.index_of(number);
        if self.first_bad.is_none() && self.named.len() < MOST_NAMED && self.named.insert(origin) {
            self.first_bad = Some(reason);
        }
    }

    fn nothing_fits(&mut self, cursor: &LoaderCursor) -> DataError {
        let reason = self.first_bad.take().unwrap_or_else(|| "the images named above".into());
        let found = format!("{} bad and {} too long; first: {reason}", cursor.bad, cursor.too_long);
        DataError::malformed("data", "at least one document that fits the row shape in a whole epoch", found)
    }
}
