//! Documents of text under the causally masked objective of CM3 (Aghajanyan et al. 2022, arXiv 2201.07520, section 2).
//!
//! ```text
//! BOS a <mask:0> d e <mask:1> g   <mask:0> b c   <mask:1> f EOS
//! ```
//!
//! A mask is read and never predicted, because it stands where chance put it: what stands before one has no target. EOS follows
//! the last span also where the text goes on after the piece, for it ends the span.

use interfuse_corpora::CausalMasking;
use interfuse_sequence::Segment;

use crate::assembly::{Assembly, Element, Ending};
use crate::error::DataError;
use crate::text::MASKS;

/// How documents of a collection are masked.
#[derive(Clone, Debug)]
pub(super) struct Masks {
    masking: CausalMasking,
    seed: u64,
}

impl Masks {
    /// The most rows that masks add to a document: each stands twice.
    pub(super) const MOST_ROWS: usize = 2 * MASKS as usize;
    /// The rows that they add to most documents: 8 of 10 have one mask.
    pub(super) const USUAL_ROWS: usize = 2;

    /// Of a fraction of documents, with the ids of masks from `first_sentinel` on.
    pub(super) fn new(fraction: f64, first_sentinel: u32, seed: u64) -> Self {
        let masking = CausalMasking { first_sentinel, sentinels: MASKS, end: None, plain: 1.0 - fraction };
        Self { masking, seed }
    }

    /// The segments of document `number`: a function of its ids, the seed and the number.
    pub(super) fn segments(
        &self,
        ids: Vec<u32>,
        number: u64,
        assembly: &Assembly,
        ending: Ending,
    ) -> Result<Vec<Segment>, DataError> {
        let masked = self.masking.masked(&ids, self.seed, number)?;
        if masked.len() == ids.len() {
            return Ok(assembly.segments(vec![Element::Text(ids)], ending));
        }
        let whole = assembly.segments(vec![Element::Text(masked)], Ending::Closed);
        Ok(whole.iter().flat_map(|segment| self.apart(segment)).collect())
    }

    /// A segment with its masks as segments of their own, in the order of its ids.
    fn apart(&self, segment: &Segment) -> Vec<Segment> {
        let is_mask = |id: &u32| self.masking.mask_of(*id).is_some();
        let runs = segment.ids().unwrap_or_default().chunk_by(|one, next| is_mask(one) == is_mask(next));
        let of = |run: &[u32]| {
            // Masks stand where chance put them, so nobody is to predict one.
            Segment::tokens(segment.modality, run.to_vec()).with_given(run.first().is_some_and(is_mask))
        };
        runs.map(of).collect()
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use interfuse_sequence::{Modality, Objective, PositionScheme, SequenceFormat};
    use tempfile::TempDir;

    use super::*;
    use crate::documents::DocumentStream as _;
    use crate::mixture::{TextDocuments, TextSet, TextsConfig};
    use crate::text::Tokenizer;

    /// Documents of one text of 40 words, of which a fraction is masked, and the folder that they are read from.
    fn documents(fraction: f64, tokenizer: &Tokenizer, seed: u64) -> Result<(TextDocuments, TempDir), DataError> {
        let folder = tempfile::tempdir().unwrap();
        let words: Vec<String> = (0..40).map(|word| format!("word{word}")).collect();
        std::fs::write(folder.path().join("a.txt"), words.join(" ")).unwrap();
        let text = format!(
            "corpus = {{ kind = 'folder', path = {:?}, held_out = 0.0 }}\ndocument_bytes = 64\ncausal_masking = {fraction:?}",
            folder.path()
        );
        let config: TextsConfig = toml::from_str(&text).unwrap();
        let set = TextSet::open(&config, "data.mixture[0].content").unwrap();
        Ok((TextDocuments::new(Arc::clone(&set.train), tokenizer.clone(), 0, &config, seed)?, folder))
    }

    fn tokenizer() -> Tokenizer {
        Tokenizer::train(["word0 word1"].into_iter(), 262).unwrap()
    }

    fn ids(segments: &[Segment]) -> Vec<u32> {
        segments.iter().flat_map(|segment| segment.ids().unwrap().to_vec()).collect()
    }

    #[test]
    fn masked_documents_hold_their_piece_once_and_predict_no_mask() {
        let tokenizer = tokenizer().with_masks().unwrap();
        let (first, special) = (tokenizer.first_mask().unwrap(), tokenizer.special());
        let masking = CausalMasking { first_sentinel: first, sentinels: MASKS, end: None, plain: 0.0 };
        let (mut documents, _folder) = documents(1.0, &tokenizer, 3).unwrap();
        let modality = Modality { name: "text".into(), objective: Objective::NextToken, tower: 0 };
        let positions = PositionScheme::Sequential;
        let format = SequenceFormat { modalities: vec![modality], latent_shape: [0; 3], patch_size: 1, positions };
        let longest = documents.rows(&format).iter().map(|rows| rows[0]).max().unwrap();
        let mut unmasked = 0;
        for number in 0..60 {
            let segments = documents.document(number).unwrap().segments;
            let all = ids(&segments);
            assert!(all.len() <= longest);
            for segment in &segments {
                let of_masks = segment.ids().unwrap().iter().filter(|id| **id >= first).count();
                assert_eq!(of_masks, if segment.given { segment.ids().unwrap().len() } else { 0 });
            }
            let masks = all.iter().filter(|id| **id >= first).count();
            unmasked += usize::from(masks == 0);
            assert_eq!(all[0], special.bos);
            assert!(masks == 0 || all.last() == Some(&special.eos), "EOS ends the last span");
            // Without masks it is a permutation of its piece, and it can be put back.
            let inner: Vec<u32> = all.iter().copied().filter(|id| !special.contains(*id)).collect();
            let index = documents.index_of(number);
            let plain = ids(&documents.plain_document(index).unwrap().segments);
            let plain: Vec<u32> = plain.into_iter().filter(|id| !special.contains(*id)).collect();
            assert_eq!(masking.restored(&inner).unwrap(), plain, "document {number}");
        }
        assert!(unmasked < 6, "only where no span is left, {unmasked} of 60");
    }

    #[test]
    fn masks_are_a_function_of_seed_and_number_and_of_a_fraction() {
        let tokenizer = tokenizer().with_masks().unwrap();
        let shown = |fraction: f64, seed: u64| -> Vec<Vec<u32>> {
            let (mut documents, _folder) = documents(fraction, &tokenizer, seed).unwrap();
            (0..400).map(|number| ids(&documents.document(number).unwrap().segments)).collect()
        };
        assert_eq!(shown(1.0, 5), shown(1.0, 5));
        assert_ne!(shown(1.0, 5), shown(1.0, 6));
        let first = tokenizer.first_mask().unwrap();
        let masked = |documents: &[Vec<u32>]| documents.iter().filter(|ids| ids.iter().any(|id| *id >= first)).count();
        assert_eq!(masked(&shown(0.0, 5)), 0);
        assert!((60..140).contains(&masked(&shown(0.25, 5))), "a quarter of 400");
    }

    #[test]
    fn a_tokenizer_without_masks_is_refused_where_there_are_some() {
        let message = documents(0.5, &tokenizer(), 5).err().unwrap().to_string();
        assert!(message.contains("causal_masking") && message.contains("<mask:15>"), "{message}");
        assert!(documents(0.0, &tokenizer(), 5).is_ok());
    }
}
