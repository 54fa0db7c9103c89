//! One stream of documents out of several, in fixed proportions.

use interfuse_sequence::{Sample, SequenceFormat};

use crate::documents::DocumentStream;
use crate::error::DataError;

/// How many documents are reckoned with when sequences are packed.
const RECKONED: usize = 20_000;

/// Several streams as one. Which stream a document is of hangs on its number alone, and they are mixed so evenly that each is
/// within a few documents of its fraction after any number of them; so each has its epochs whatever the others do.
pub struct Mixture {
    parts: Vec<Box<dyn DocumentStream>>,
    /// Of each part, its fraction of the documents that are of it or of a later one.
    fractions: Vec<f64>,
}

impl Mixture {
    /// Streams with their weights, which are above 0; at least one.
    pub fn new(parts: Vec<(Box<dyn DocumentStream>, f64)>) -> Self {
        let weights: Vec<f64> = parts.iter().map(|(_, weight)| *weight).collect();
        let fraction = |place: usize| weights[place] / weights[place..].iter().sum::<f64>();
        let fractions = (0..weights.len()).map(fraction).collect();
        Self { parts: parts.into_iter().map(|(part, _)| part).collect(), fractions }
    }

    /// The part that the document of a number is of, and its number there.
    fn place_of(&self, number: u64) -> (usize, u64) {
        let mut number = number;
        let last = self.fractions.len().saturating_sub(1);
        for (part, fraction) in self.fractions.iter().take(last).enumerate() {
            // Of the first `n` documents of this part and the later ones, so many are of this one.
            let before = |n: u64| (n as f64 * fraction).floor() as u64;
            let (earlier, after) = (before(number), before(number + 1));
            if after > earlier {
                return (part, earlier);
            }
            number -= earlier;
        }
        (last, number)
    }

    /// The fraction of all documents that are of a part.
    fn of_all(&self, part: usize) -> f64 {
        self.fractions[..part].iter().map(|fraction| 1.0 - fraction).product::<f64>() * self.fractions[part]
    }
}

impl DocumentStream for Mixture {
    fn document(&mut self, number: u64) -> Result<Sample, DataError> {
        let (part, place) = self.place_of(number);
        self.parts[part].document(place)
    }

    fn epoch(&self) -> usize {
        let of =
            |(place, epoch): (usize, usize)| (epoch as f64 / self.of_all(place).max(f64::MIN_POSITIVE)).ceil() as usize;
        self.parts.iter().map(|part| part.epoch()).enumerate().map(of).max().unwrap_or(0)
    }

    fn index_of(&mut self, number: u64) -> usize {
        let (part, place) = self.place_of(number);
        let before: usize = self.parts[..part].iter().map(|part| part.epoch()).sum();
        before + self.parts[part].index_of(place)
    }

    fn rows(&self, format: &SequenceFormat) -> Vec<Vec<usize>> {
        let of_parts: Vec<Vec<Vec<usize>>> = self.parts.iter().map(|part| part.rows(format)).collect();
        let count = of_parts.iter().map(Vec::len).sum::<usize>().clamp(1, RECKONED) as u64;
        let mixed = (0..count).filter_map(|number| {
            let (part, place) = self.place_of(number);
            let rows = &of_parts[part];
            // Where the collection is longer than what is reckoned with, a stride meets all of it.
            rows.get((place as usize).wrapping_mul(7919) % rows.len().max(1)).cloned()
        });
        let longest = of_parts.iter().flat_map(|rows| longest(rows));
        mixed.chain(longest).collect()
    }

    fn epochs(&self, next: u64) -> Vec<f64> {
        let last = self.parts.len().saturating_sub(1);
        let (mut left, mut epochs) = (next, vec![]);
        for (place, part) in self.parts.iter().enumerate() {
            // As many as `place_of` gives each part of the documents before.
            let own = if place == last { left } else { (left as f64 * self.fractions[place]).floor() as u64 };
            left -= own;
            epochs.extend(part.epochs(own));
        }
        epochs
    }

    fn is_repeated(&self, number: u64) -> bool {
        let (part, place) = self.place_of(number);
        self.parts[part].is_repeated(place)
    }

    fn cut(&self) -> (usize, usize) {
        self.parts.iter().map(|part| part.cut()).fold((0, 0), |all, part| (all.0 + part.0, all.1 + part.1))
    }
}

/// For each lane the document that needs most of its rows.
fn longest(documents: &[Vec<usize>]) -> Vec<Vec<usize>> {
    let lanes = documents.first().map_or(0, Vec::len);
    (0..lanes).filter_map(|lane| documents.iter().max_by_key(|rows| rows[lane]).cloned()).collect()
}

/// The mean number of rows of documents, of all lanes together.
pub fn mean_rows(documents: &[Vec<usize>]) -> f64 {
    let rows: usize = documents.iter().flatten().sum();
    rows as f64 / documents.len().max(1) as f64
}

#[cfg(test)]
mod tests {
    use super::*;
    use interfuse_sequence::{Modality, Objective, PositionScheme, Segment};

    /// Documents that say of which stream they are and their number there.
    struct Named(u32, usize);

    impl DocumentStream for Named {
        fn document(&mut self, number: u64) -> Result<Sample, DataError> {
            Ok(Sample { id: number, segments: vec![Segment::tokens(0, vec![self.0, number as u32])] })
        }

        fn epoch(&self) -> usize {
            self.1
        }

        fn index_of(&mut self, number: u64) -> usize {
            number as usize % self.1
        }

        fn rows(&self, _: &SequenceFormat) -> Vec<Vec<usize>> {
            vec![vec![self.0 as usize + 1]; self.1]
        }
    }

    fn mixture(weights: &[f64]) -> Mixture {
        let part = |(k, &weight): (usize, &f64)| (Box::new(Named(k as u32, 10)) as Box<dyn DocumentStream>, weight);
        Mixture::new(weights.iter().enumerate().map(part).collect())
    }

    #[test]
    fn parts_come_up_in_their_proportions_and_each_in_its_own_order() {
        for weights in [vec![1.0], vec![1.0, 1.0], vec![0.5, 3.0, 1.5], vec![1.0, 1e-3, 7.0, 2.0]] {
            let mut mixture = mixture(&weights);
            let total: f64 = weights.iter().sum();
            let mut counts = vec![0u32; weights.len()];
            for number in 0..4000u64 {
                let sample = mixture.document(number).unwrap();
                let [part, place] = sample.segments[0].ids().unwrap() else { panic!("two ids") };
                assert_eq!(*place, counts[*part as usize], "weights {weights:?}, document {number}");
                counts[*part as usize] += 1;
                for (count, weight) in counts.iter().zip(&weights) {
                    let expected = (number + 1) as f64 * weight / total;
                    assert!((f64::from(*count) - expected).abs() < weights.len() as f64, "{counts:?} at {number}");
                }
            }
        }
    }

    #[test]
    fn an_epoch_has_everything_and_every_document_has_a_place() {
        let mut mixture = mixture(&[3.0, 1.0]);
        assert_eq!(mixture.epoch(), 40);
        let mut seen: Vec<usize> = (0..40).map(|number| mixture.index_of(number)).collect();
        seen.sort();
        seen.dedup();
        assert_eq!(seen, (0..20).collect::<Vec<_>>());
    }

    #[test]
    fn each_part_has_epochs_of_its_own() {
        let mut mixture = mixture(&[3.0, 1.0]);
        assert_eq!(mixture.epochs(0), [0.0, 0.0]);
        assert_eq!(mixture.epochs(40), [3.0, 1.0]);
        let mut counts = [0u32; 2];
        for number in 0..60u64 {
            assert_eq!(mixture.epochs(number), counts.map(|count| f64::from(count) / 10.0), "before document {number}");
            let sample = mixture.document(number).unwrap();
            let [part, place] = sample.segments[0].ids().unwrap() else { panic!("two ids") };
            assert_eq!(mixture.is_repeated(number), *place >= 10, "document {number}");
            counts[*part as usize] += 1;
        }
    }

    #[test]
    fn rows_are_those_of_the_mixture() {
        let modality = Modality { name: "text".into(), objective: Objective::NextToken, tower: 0 };
        let format = SequenceFormat {
            modalities: vec![modality],
            latent_shape: [0; 3],
            patch_size: 1,
            positions: PositionScheme::Sequential,
        };
        let rows = mixture(&[3.0, 1.0]).rows(&format);
        let long = rows.iter().filter(|rows| rows[0] == 2).count();
        assert_eq!((rows.len(), long), (22, 6), "5 of 20, and the longest of each");
        assert_eq!(mean_rows(&[vec![1, 2], vec![3, 0]]), 3.0);
    }
}
