//! What a loader does with documents of text and images.

use super::*;
use crate::documents::MARKERS;
use crate::packing::{MOST_WAITING, Packed, Packing};
use interfuse_sequence::{LaneContent, LatentImage, Modality, Objective, PositionScheme, Sample, Segment};
use ndarray::Array3;

/// Documents of text and one image each, of given lengths of captions; every third image is of another size where there are two.
struct Lengths(Vec<usize>, bool);

impl DocumentStream for Lengths {
    fn document(&mut self, number: u64) -> Result<Sample, DataError> {
        let index = self.index_of(number);
        let ids = vec![1; self.0[index] + MARKERS];
        let rows = if self.1 && index.is_multiple_of(3) { 3 } else { 2 };
        let image = LatentImage { x_0: Arc::new(Array3::zeros((1, rows, 2))), precedes_caption: false };
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

fn format() -> SequenceFormat {
    let modality = |name: &str, objective, tower| Modality { name: name.into(), objective, tower };
    let modalities = vec![modality("image", Objective::Denoise, 0), modality("text", Objective::NextToken, 1)];
    SequenceFormat { modalities, latent_shape: [1, 2, 2], patch_size: 1, positions: PositionScheme::Sequential }
}

fn loader(lengths: &[usize], packing: Packing, cursor: LoaderCursor) -> Loader {
    let count = packing.documents_per_sequence;
    let shape = RowShape { capacity: packing.rows };
    Loader::new(Box::new(Lengths(lengths.to_vec(), false)), Arc::new(format()), shape, count, cursor)
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

/// Images of two by two and, a third of them, of three by two.
fn of_two_sizes(documents_per_sequence: usize, cursor: LoaderCursor) -> Loader {
    let lengths = stamps();
    let rows: Vec<Vec<usize>> = lengths.iter().map(|tokens| vec![4, tokens + MARKERS]).collect();
    let packing = Packing::of(Packed { documents: &rows, multiples: &[4, 1] }, documents_per_sequence);
    let shape = RowShape { capacity: packing.rows };
    let documents = Box::new(Lengths(lengths, true));
    Loader::new(documents, Arc::new(format()), shape, documents_per_sequence, cursor)
        .with_sizes(&[[1, 2, 2], [1, 3, 2]])
}

/// Height of the images of a batch, rows of its lane of images, and how many images it has.
fn sizes(batch: &[SequenceLayout]) -> (usize, usize, usize) {
    let of = |sequence: &SequenceLayout| match &sequence.lanes[0].content {
        LaneContent::Denoise { latent_shape, spans, .. } => {
            assert!(spans.iter().flatten().all(|span| span.x_0.dim().1 == latent_shape[1]));
            (latent_shape[1], sequence.lanes[0].len())
        }
        LaneContent::NextToken { .. } => panic!("images"),
    };
    let (height, rows) = of(&batch[0]);
    assert!(batch.iter().all(|sequence| of(sequence) == (height, rows)), "a batch has one size");
    (height, rows, batch.iter().map(|sequence| sequence.images(0)).sum())
}

#[test]
fn a_batch_has_images_of_one_size_and_every_size_comes_up_as_often_as_it_should() {
    for per_sequence in [1, 8] {
        let mut loader = of_two_sizes(per_sequence, LoaderCursor::default());
        let slots = loader.shape().capacity[0] / 4;
        let mut images = [0; 2];
        for _ in 0..120 {
            let (height, rows, count) = sizes(&loader.next_batch(4).unwrap());
            assert_eq!(rows, slots * height * 2, "as many images, whatever their size");
            assert!(count >= 3 * per_sequence, "{count} images of 4 × {per_sequence}");
            images[height - 2] += count;
            assert!(loader.cursor().waiting.len() < 2 * (4 * per_sequence + MOST_WAITING));
        }
        let share = images[1] as f64 / images.iter().sum::<usize>() as f64;
        assert!((0.25..0.42).contains(&share), "{share} of {images:?}");
        assert_eq!((loader.cursor().bad, loader.cursor().too_long), (0, 0));
    }
}

#[test]
fn a_resume_goes_on_with_the_same_batches_of_the_same_sizes() {
    let mut whole = of_two_sizes(8, LoaderCursor::default());
    whole.next_batches(4, 5).unwrap();
    let cursor = whole.cursor().clone();
    whole.prepare(4, 6);
    let expected: Vec<_> = whole.next_batches(4, 6).unwrap().iter().map(|batch| sizes(batch)).collect();
    let resumed = of_two_sizes(8, cursor).next_batches(4, 6).unwrap();
    assert_eq!(resumed.iter().map(|batch| sizes(batch)).collect::<Vec<_>>(), expected);
    assert!(expected.iter().any(|(height, ..)| *height == 2) && expected.iter().any(|(height, ..)| *height == 3));
}

#[test]
fn an_image_of_a_size_that_nobody_named_is_left_out_and_said() {
    let documents = Box::new(Lengths(vec![5; 6], true));
    let shape = RowShape { capacity: vec![4, 9] };
    let mut loader = Loader::new(documents, Arc::new(format()), shape, 1, LoaderCursor::default());
    loader.next_batch(4).unwrap();
    assert!(loader.cursor().too_long > 0);
    assert!(loader.take_warning().unwrap().contains("[1, 3, 2]"));
}
