//! The masks of CM3 in a vocabulary: `<mask:0>` to `<mask:15>` (Aghajanyan et al. 2022, arXiv 2201.07520).

use tokenizers::AddedToken;

use super::tokenizer::Tokenizer;
use crate::error::DataError;

/// How many masks there are, as in the paper.
pub(crate) const MASKS: u32 = interfuse_corpora::causal_masking::MOST_MASKS;

fn name(mask: u32) -> String {
    format!("<mask:{mask}>")
}

impl Tokenizer {
    /// The id of `<mask:0>`, which the others follow; nothing where the vocabulary has not all of them in a row.
    pub fn first_mask(&self) -> Option<u32> {
        let first = self.inner.token_to_id(&name(0))?;
        (1..MASKS).all(|mask| self.inner.token_to_id(&name(mask)) == first.checked_add(mask)).then_some(first)
    }

    /// The number of a mask by its id.
    pub fn mask_of(&self, id: u32) -> Option<u32> {
        id.checked_sub(self.first_mask()?).filter(|mask| *mask < MASKS)
    }

    /// The same with the masks behind its ids; one that has them all stays as it is. No text ever turns into a mask.
    ///
    /// # Errors
    /// Some of the masks are there and others are not, or their ids do not follow one another.
    pub fn with_masks(mut self) -> Result<Self, DataError> {
        let known = (0..MASKS).filter(|mask| self.inner.token_to_id(&name(*mask)).is_some()).count();
        if known > 0 && self.first_mask().is_none() {
            let expected =
                format!("all of {} to {} with ids that follow one another, or none", name(0), name(MASKS - 1));
            return Err(DataError::malformed("the tokenizer", expected, format!("{known} of {MASKS}")));
        }
        // Those that are there are marked as special, which they may not be.
        let masks: Vec<AddedToken> = (0..MASKS).map(|mask| AddedToken::from(name(mask), true)).collect();
        let added = self.inner.add_special_tokens(masks);
        added.map_err(|error| DataError::Tokenizer(format!("cannot add `{}`: {error}", name(0))))?;
        match self.first_mask() {
            Some(first) if known > 0 || first as usize >= self.vocab_size => {
                self.vocab_size = self.vocab_size.max((first + MASKS) as usize);
                Ok(self)
            }
            found => {
                let expected = format!("ids from {} on for masks", self.vocab_size);
                Err(DataError::malformed("the tokenizer", expected, format!("{found:?}")))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn trained() -> Tokenizer {
        Tokenizer::train(["red apple", "green apple"].into_iter(), 270).unwrap()
    }

    #[test]
    fn masks_stand_behind_the_ids_and_are_in_the_file() {
        let plain = trained();
        assert_eq!(plain.first_mask(), None);
        let masked = plain.clone().with_masks().unwrap();
        assert_eq!(masked.first_mask(), Some(plain.vocab_size() as u32));
        assert_eq!(masked.vocab_size(), plain.vocab_size() + 16);
        assert_eq!(masked.special(), plain.special());
        let first = masked.first_mask().unwrap();
        assert_eq!(
            [first - 1, first, first + 15, first + 16].map(|id| masked.mask_of(id)),
            [None, Some(0), Some(15), None]
        );
        assert_eq!(masked.token(first + 15).as_deref(), Some("<mask:15>"));
        let bytes = masked.to_bytes().unwrap();
        let again = Tokenizer::from_bytes(&bytes).unwrap();
        assert_eq!((again.first_mask(), again.vocab_size()), (masked.first_mask(), masked.vocab_size()));
        assert_eq!(again.with_masks().unwrap().to_bytes().unwrap(), bytes, "they are added once");
    }

    #[test]
    fn text_that_spells_a_mask_stays_text_and_a_mask_has_none() {
        let masked = trained().with_masks().unwrap();
        let first = masked.first_mask().unwrap();
        let ids = masked.encode("red <mask:0> apple").unwrap();
        assert!(ids.iter().all(|id| *id < first), "{ids:?}");
        assert_eq!(masked.decode(&ids).unwrap(), "red <mask:0> apple");
        let mut with_mask = masked.encode("red").unwrap();
        with_mask.push(first);
        assert_eq!(masked.decode(&with_mask).unwrap(), "red");
    }

    #[test]
    fn half_of_the_masks_is_refused() {
        let text = String::from_utf8(trained().with_masks().unwrap().to_bytes().unwrap()).unwrap();
        let torn = Tokenizer::from_bytes(text.replace("<mask:7>", "<other>").as_bytes()).unwrap();
        assert_eq!(torn.first_mask(), None);
        let message = torn.with_masks().unwrap_err().to_string();
        assert!(message.contains("<mask:0> to <mask:15>") && message.contains("15 of 16"), "{message}");
    }
}
