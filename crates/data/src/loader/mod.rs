//! Packs the stream of documents into sequences of one row shape, and knows where it stands.
//!
//! Documents wait in a small window. A sequence takes the one that has waited longest, so none waits for ever, and then
//! those that fill it best: so a long caption is packed with short ones.
//!
//! Where images have several sizes, a batch has images of one of them, and a row shape for it: documents wait with their like
//! until one size has enough for a batch. So a size that is rare comes up rarely, and as often as it should.

mod cursor;
#[cfg(test)]
mod tests;
mod window;

use std::sync::Arc;

use interfuse_sequence::{LayoutBuilder, RowShape, SequenceFormat, SequenceLayout};

pub use self::cursor::LoaderCursor;
use self::window::{SizedRows, Window};
use crate::documents::DocumentStream;
use crate::error::DataError;
use crate::packing::Room;
use crate::unique::NewRows;

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

/// Yields batches of sequences.
pub struct Loader {
    window: Window,
    /// Documents of a sequence.
    documents_per_sequence: usize,
    cursor: LoaderCursor,
    /// Batches that were made before anyone asked for them.
    ahead: Option<Ahead>,
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
        let cursor = cursor.counting(format.modalities.len());
        let window = Window::new(documents, format, shape);
        Self { window, documents_per_sequence, cursor, ahead: None }
    }

    /// The same where images have these sizes beside that of the format: sequences of each have room for as many images.
    #[must_use]
    pub fn with_sizes(mut self, latent_shapes: &[[usize; 3]]) -> Self {
        for &latent_shape in latent_shapes {
            let SizedRows { format: base, shape } = &self.window.sizes[0];
            if latent_shape != base.latent_shape {
                let format = Arc::new(base.with_latent_shape(latent_shape));
                let shape = shape.at(base, &format);
                self.window.sizes.push(SizedRows { format, shape });
            }
        }
        self
    }

    /// Where the loader stands: after the batches that were handed out, whatever was made ahead.
    pub fn cursor(&self) -> &LoaderCursor {
        self.ahead.as_ref().map_or(&self.cursor, |ahead| &ahead.before)
    }

    /// How often all of each collection has come up, in the order of the collections, with what waits for a sequence.
    pub fn epochs(&self) -> Vec<f64> {
        self.window.documents.epochs(self.cursor().next)
    }

    /// The row shape of batches; where images have several sizes, of those whose images have the first.
    pub fn shape(&self) -> &RowShape {
        &self.window.sizes[0].shape
    }

    /// What is wrong with the first bad document that has not been named before; each image is named at most once, and
    /// no more than the first few are.
    pub fn take_warning(&mut self) -> Option<String> {
        self.window.first_bad.take()
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
        self.window.first_bad = self.window.first_bad.take().or(ahead.warning);
        if ahead.size == (sequences, count) {
            return ahead.batches;
        }
        self.cursor = ahead.before;
        self.make(sequences, count)
    }

    /// Makes the next `count` batches ahead of time, while their predecessors are trained on.
    pub fn prepare(&mut self, sequences: usize, count: usize) {
        if self.ahead.is_none() {
            let (before, earlier) = (self.cursor.clone(), self.window.first_bad.take());
            let batches = self.make(sequences, count);
            let warning = std::mem::replace(&mut self.window.first_bad, earlier);
            self.ahead = Some(Ahead { size: (sequences, count), batches, before, warning });
        }
    }

    fn make(&mut self, sequences: usize, count: usize) -> Result<Vec<Vec<SequenceLayout>>, DataError> {
        (0..count).map(|_| self.make_batch(sequences)).collect()
    }

    /// A batch; all its images are of one size.
    fn make_batch(&mut self, sequences: usize) -> Result<Vec<SequenceLayout>, DataError> {
        self.window.recall(&mut self.cursor);
        let size = match self.window.sizes.len() {
            1 => 0,
            // All at once, for what comes up meanwhile may be of other sizes.
            _ => {
                let choice = self.room(0).window();
                self.window.fill(sequences * self.documents_per_sequence + choice - 1, &mut self.cursor)?
            }
        };
        (0..sequences).map(|_| self.make_sequence(size)).collect()
    }

    /// What a sequence with images of a size has room for.
    fn room(&self, size: usize) -> Room {
        let capacity = self.window.sizes[size].shape.capacity.clone();
        Room { capacity, documents: self.documents_per_sequence }
    }

    fn make_sequence(&mut self, size: usize) -> Result<SequenceLayout, DataError> {
        let room = self.room(size);
        let mut builder = LayoutBuilder::new(Arc::clone(&self.window.sizes[size].format));
        let mut new = NewRows::default();
        for placed in 0..room.documents {
            if self.window.sizes.len() == 1 {
                let epoch = self.window.documents.epoch().max(1);
                self.window.fill(room.window().min(epoch), &mut self.cursor)?;
            }
            let filled: Vec<usize> = (0..room.capacity.len()).map(|lane| builder.filled(lane)).collect();
            let (places, rows) = self.window.of_size(size);
            let Some(chosen) = room.choose(&rows, &filled, placed) else { break };
            let document = self.window.take(places[chosen], &mut self.cursor);
            builder
                .push_sample(&document.sample, &self.window.sizes[size].shape)
                .map_err(|error| DataError::malformed("document", "what fits the row shape", error.to_string()))?;
            if !self.window.documents.is_repeated(document.sample.id) {
                new.push(&filled, (0..filled.len()).map(|lane| builder.filled(lane)));
            }
        }
        let sequence = builder.finish(&self.window.sizes[size].shape);
        self.cursor.count(&sequence, &new);
        Ok(sequence)
    }
}
