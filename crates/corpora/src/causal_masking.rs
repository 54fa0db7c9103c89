//! The causally masked objective of CM3 (Aghajanyan and others 2022, arXiv 2201.07520, section 2), on the ids of a
//! document.
//!
//! ```text
//! a b c d e f g   →   a <mask:0> d e <mask:1> g   <mask:0> b c   <mask:1> f   end
//! ```
//!
//! "For a document of size s we select n ∼ Clamp(Poisson(1), 1, 16) masks and for each of those masks we select span m
//! ∼ (Uniform(0, s), Uniform(0, s)) which does not intersect with any other m." Spans are in the order in which they
//! appear, each is replaced with an enumerated mask token, and they move "to the end of the document followed by a
//! unique end of document token". The loss of predicting mask tokens is 0, "as they are placed at random locations
//! which carry no information".
//!
//! What the paper leaves open is as in the code that its authors published (metaseq): a span begins at the lower of two
//! uniform numbers, rounded down, and ends at the higher, rounded to the nearest; of n² candidates for n spans those
//! that intersect none before are taken, so there may be fewer than n, and empty spans are none. In two things that
//! code differs from the paper and this follows the paper: there a document may have no mask at all, and every moved
//! span is followed by the end.
//!
//! Collections of texts are masked by it in training, where their settings ask for that; `interfuse-data` sets the markers.

use rand::Rng as _;
use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::SeedableRng as _;
use serde::{Deserialize, Serialize};

use crate::error::CorpusError;

/// The most masks of a document.
pub const MOST_MASKS: u32 = 16;

/// How documents are masked.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CausalMasking {
    /// The id of `<mask:0>`; the others follow it.
    pub first_sentinel: u32,
    /// How many there are, from 1 to [`MOST_MASKS`], which the paper has.
    pub sentinels: u32,
    /// The id of the end of a document; nothing is put behind the last span where there is none.
    pub end: Option<u32>,
    /// Fraction, from 0 to 1, of documents that stay as they are: plain next-token prediction. The paper has 0.
    pub plain: f64,
}

impl CausalMasking {
    /// Checks every value; `key` is where the table stands.
    ///
    /// # Errors
    /// Names the key, what was expected and what was found.
    pub fn validate(&self, key: &str) -> Result<(), CorpusError> {
        if !(1..=MOST_MASKS).contains(&self.sentinels) {
            let expected = format!("1 to {MOST_MASKS}");
            return Err(CorpusError::setting(format!("{key}.sentinels"), expected, self.sentinels));
        }
        if self.first_sentinel.checked_add(self.sentinels).is_none() {
            let expected = "an id that the others can follow";
            return Err(CorpusError::setting(format!("{key}.first_sentinel"), expected, self.first_sentinel));
        }
        if self.end.is_some_and(|end| self.mask_of(end).is_some()) {
            let expected = "an id that is no mask";
            return Err(CorpusError::setting(format!("{key}.end"), expected, self.end.unwrap_or_default()));
        }
        match (0.0..=1.0).contains(&self.plain) {
            true => Ok(()),
            false => Err(CorpusError::setting(format!("{key}.plain"), "a fraction from 0 to 1", self.plain)),
        }
    }

    /// The number of a mask by its id. Where this is some number, predicting the id has no loss.
    pub fn mask_of(&self, id: u32) -> Option<u32> {
        id.checked_sub(self.first_sentinel).filter(|mask| *mask < self.sentinels)
    }

    /// The ids of document `number` as they are learned: a function of the ids, the seed and the number.
    ///
    /// A document stays as it is by `plain`, or when no span came out that is not empty, as may happen to short ones.
    ///
    /// # Errors
    /// When an id of the document is a mask or the end, for then the document could not be told from its masks.
    pub fn masked(&self, ids: &[u32], seed: u64, number: u64) -> Result<Vec<u32>, CorpusError> {
        if let Some(place) = ids.iter().position(|&id| self.mask_of(id).is_some() || Some(id) == self.end) {
            let name = format!("document {number}, id {place}");
            return Err(CorpusError::malformed(name, "no mask and no end of a document", ids[place]));
        }
        let mut rng = ChaCha8Rng::seed_from_u64(seed);
        rng.set_stream(number);
        if uniform(&mut rng) < self.plain {
            return Ok(ids.to_vec());
        }
        let spans = self.spans(ids.len(), &mut rng);
        if spans.is_empty() {
            return Ok(ids.to_vec());
        }
        Ok(self.rotated(ids, &spans))
    }

    /// Spans that do not intersect, in the order in which they appear.
    fn spans(&self, size: usize, rng: &mut ChaCha8Rng) -> Vec<(usize, usize)> {
        let masks = poisson(rng).clamp(1, self.sentinels.min(MOST_MASKS)) as usize;
        let mut spans: Vec<(usize, usize)> = vec![];
        for _ in 0..masks * masks {
            let (a, b) = (uniform(rng), uniform(rng));
            let start = (a.min(b) * size as f64) as usize;
            let end = ((a.max(b) * size as f64 + 0.5) as usize).min(size);
            let apart = spans.iter().all(|&(other, other_end)| end <= other || other_end <= start);
            if start < end && apart && spans.len() < masks {
                spans.push((start, end));
            }
        }
        spans.sort_unstable();
        spans
    }

    /// The document with its spans moved to the end. There are at most as many spans as masks.
    fn rotated(&self, ids: &[u32], spans: &[(usize, usize)]) -> Vec<u32> {
        let mut out = Vec::with_capacity(ids.len() + 2 * spans.len() + 1);
        let mut place = 0;
        for (mask, &(start, end)) in (self.first_sentinel..).zip(spans) {
            out.extend_from_slice(&ids[place..start]);
            out.push(mask);
            place = end;
        }
        out.extend_from_slice(&ids[place..]);
        for (mask, &(start, end)) in (self.first_sentinel..).zip(spans) {
            out.push(mask);
            out.extend_from_slice(&ids[start..end]);
        }
        out.extend(self.end);
        out
    }

    /// The document that [`CausalMasking::masked`] made this of.
    ///
    /// # Errors
    /// When masks do not come once in the document and once behind it, in rising order from 0, or the end is missing.
    pub fn restored(&self, ids: &[u32]) -> Result<Vec<u32>, CorpusError> {
        let wrong = |expected: &str| CorpusError::malformed("masked document", expected, format!("{} ids", ids.len()));
        let masks: Vec<(usize, u32)> =
            ids.iter().enumerate().filter_map(|(place, &id)| Some((place, self.mask_of(id)?))).collect();
        if masks.is_empty() {
            return Ok(ids.to_vec());
        }
        let count = masks.len() / 2;
        let rising = masks.iter().enumerate().all(|(index, &(_, mask))| mask as usize == index % count.max(1));
        if count == 0 || !masks.len().is_multiple_of(2) || !rising {
            return Err(wrong("every mask twice, in rising order"));
        }
        let body = match (self.end, ids.split_last()) {
            (None, _) => ids,
            (Some(end), Some((&last, body))) if last == end => body,
            _ => return Err(wrong("the end of a document behind the last span")),
        };
        let moved = &masks[count..];
        let mut out = Vec::with_capacity(ids.len());
        for &id in &ids[..moved[0].0] {
            match self.mask_of(id) {
                None => out.push(id),
                Some(mask) => {
                    let mask = mask as usize;
                    let end = moved.get(mask + 1).map_or(body.len(), |(place, _)| *place);
                    out.extend_from_slice(&body[moved[mask].0 + 1..end]);
                }
            }
        }
        Ok(out)
    }
}

/// Uniform in [0, 1) with 53 bits.
fn uniform(rng: &mut ChaCha8Rng) -> f64 {
    (rng.next_u64() >> 11) as f64 / (1_u64 << 53) as f64
}

/// A number with Poisson's distribution of mean 1, by inversion; at most 20, beyond which lies less than 1e-19.
fn poisson(rng: &mut ChaCha8Rng) -> u32 {
    let place = uniform(rng);
    let (mut number, mut probability) = (0, (-1.0_f64).exp());
    let mut below = probability;
    while place >= below && number < 20 {
        number += 1;
        probability /= f64::from(number);
        below += probability;
    }
    number
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const PAPER: CausalMasking = CausalMasking { first_sentinel: 1000, sentinels: 16, end: Some(999), plain: 0.0 };

    #[test]
    fn spans_are_replaced_and_moved() {
        let ids = [1, 2, 3, 4, 5, 6, 7];
        let masked = PAPER.rotated(&ids, &[(1, 3), (5, 6)]);
        assert_eq!(masked, [1, 1000, 4, 5, 1001, 7, 1000, 2, 3, 1001, 6, 999]);
        assert_eq!(PAPER.restored(&masked).unwrap(), ids);
        assert_eq!(PAPER.rotated(&ids, &[(0, 7)]), [1000, 1000, 1, 2, 3, 4, 5, 6, 7, 999]);
    }

    #[test]
    fn masks_are_as_many_and_as_long_as_published() {
        let ids: Vec<u32> = (0..900).collect();
        let (mut counts, mut moved) = ([0_usize; 4], 0);
        for number in 0..4000 {
            let masked = PAPER.masked(&ids, 7, number).unwrap();
            let places: Vec<usize> =
                (0..masked.len()).filter(|&place| PAPER.mask_of(masked[place]).is_some()).collect();
            counts[(places.len() / 2).min(3)] += 1;
            moved += places.get(places.len() / 2).map_or(0, |first| masked.len() - 1 - first - places.len() / 2);
        }
        // By the same algorithm in numpy, 100,000 documents of 900 ids: 1, 2, and 3 or more masks in .816, .142
        // and .042 of them, and .374 of the ids moved.
        for (count, fraction) in counts.iter().zip([0.0001, 0.8163, 0.1418, 0.0417]) {
            let found = *count as f64 / 4000.0;
            assert!((found - fraction).abs() < 0.02, "{counts:?}");
        }
        assert!((moved as f64 / (4000.0 * 900.0) - 0.374).abs() < 0.01, "{moved}");
        let mut rng = ChaCha8Rng::seed_from_u64(1);
        let drawn: Vec<u32> = (0..20_000).map(|_| poisson(&mut rng)).collect();
        for (value, probability) in [(0, 0.3679), (1, 0.3679), (2, 0.1839), (3, 0.0613)] {
            let found = drawn.iter().filter(|&&number| number == value).count() as f64 / 20_000.0;
            assert!((found - probability).abs() < 0.011, "{value}: {found}");
        }
    }

    #[test]
    fn some_documents_stay_plain() {
        let half = CausalMasking { plain: 0.5, ..PAPER };
        let ids: Vec<u32> = (0..100).collect();
        let plain = (0..2000).filter(|&number| half.masked(&ids, 3, number).unwrap() == ids).count();
        assert!((920..=1100).contains(&plain), "{plain}");
        let all = CausalMasking { plain: 1.0, ..PAPER };
        assert!((0..50).all(|number| all.masked(&ids, 3, number).unwrap() == ids));
        assert!(PAPER.masked(&[], 3, 0).unwrap().is_empty());
    }

    #[test]
    fn what_is_wrong_is_named() {
        assert!(PAPER.masked(&[1, 1003], 0, 5).unwrap_err().to_string().contains("document 5, id 1"));
        assert!(PAPER.masked(&[999], 0, 5).is_err());
        for wrong in
            [&[1, 1000, 2][..], &[1000, 1000, 2], &[1001, 1001, 999], &[1000, 1001, 1, 1000, 1001, 2], &[1000; 3]]
        {
            assert!(PAPER.restored(wrong).is_err(), "{wrong:?}");
        }
        for (wrong, key) in [
            (CausalMasking { sentinels: 0, ..PAPER }, "k.sentinels"),
            (CausalMasking { sentinels: 17, ..PAPER }, "k.sentinels"),
            (CausalMasking { first_sentinel: u32::MAX, ..PAPER }, "k.first_sentinel"),
            (CausalMasking { end: Some(1015), ..PAPER }, "k.end"),
            (CausalMasking { plain: f64::NAN, ..PAPER }, "k.plain"),
        ] {
            assert!(wrong.validate("k").unwrap_err().to_string().contains(key));
        }
        PAPER.validate("k").unwrap();
    }

    proptest! {
        #[test]
        fn every_id_is_kept_once_and_can_be_put_back(
            ids in prop::collection::vec(0_u32..900, 0..200),
            seed: u64,
            number: u64,
            sentinels in 1_u32..=16,
            end in prop::option::of(Just(999_u32)),
        ) {
            let masking = CausalMasking { sentinels, end, ..PAPER };
            let masked = masking.masked(&ids, seed, number).unwrap();
            prop_assert_eq!(&masked, &masking.masked(&ids, seed, number).unwrap());
            let mut kept: Vec<u32> = masked.iter().copied().filter(|&id| id < 900).collect();
            let mut sorted = ids.clone();
            kept.sort_unstable();
            sorted.sort_unstable();
            prop_assert_eq!(kept, sorted);
            prop_assert_eq!(masking.restored(&masked).unwrap(), ids);
        }

        #[test]
        fn anything_can_be_asked_to_be_restored(ids in prop::collection::vec(995_u32..1005, 0..12)) {
            let _ = PAPER.restored(&ids);
        }

        #[test]
        fn spans_lie_apart_in_order(size in 0_usize..300, seed: u64) {
            let spans = PAPER.spans(size, &mut ChaCha8Rng::seed_from_u64(seed));
            prop_assert!(spans.iter().all(|&(start, end)| start < end && end <= size));
            prop_assert!(spans.windows(2).all(|pair| pair[0].1 <= pair[1].0));
        }
    }
}
