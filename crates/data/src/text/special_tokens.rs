//! The five tokens that structure a mixed sequence, and what they are called in the wild.

use serde::{Deserialize, Serialize};
use tokenizers::{AddedToken, Tokenizer as Inner};

use crate::error::DataError;

/// What tokenizers in use call the tokens, in the order of preference.
const BOS: &[&str] = &["<bos>", "<s>", "<|begin_of_text|>", "<|startoftext|>", "<|endoftext|>", "[BOS]", "[CLS]"];
const EOS: &[&str] = &["<eos>", "</s>", "<|end_of_text|>", "<|endoftext|>", "<|im_end|>", "[EOS]", "[SEP]"];
const BOI: &[&str] = &["<boi>", "<|vision_start|>", "<start_of_image>", "<|image_start|>", "<|boi|>", "<img>"];
const EOI: &[&str] = &["<eoi>", "<|vision_end|>", "<end_of_image>", "<|image_end|>", "<|eoi|>", "</img>"];
const PAD: &[&str] = &["<pad>", "<|pad|>", "<|padding|>", "<|finetune_right_pad_id|>", "[PAD]"];

/// The ids of the tokens that structure a mixed sequence.
///
/// `bos` and `eos` may be one token, as in GPT-2, and `pad`, which is never predicted, may be
/// `eos`. The others differ.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SpecialTokens {
    /// Opens a document.
    pub bos: u32,
    /// Closes a document.
    pub eos: u32,
    /// Opens an image ("beginning of image").
    pub boi: u32,
    /// Closes an image ("end of image").
    pub eoi: u32,
    /// Fills unused places.
    pub pad: u32,
}

impl SpecialTokens {
    /// Looks the tokens up by their common names, and marks them as special where they are not.
    ///
    /// `name` and `vocab_size` are for the message.
    ///
    /// # Errors
    ///
    /// When one is missing. A missing `pad` is no error: it is `eos` then.
    pub(crate) fn find(inner: &mut Inner, name: &str, vocab_size: usize) -> Result<Self, DataError> {
        let mut find = |role, names: &[&str]| {
            let found = names.iter().find_map(|&name| Some((name, inner.token_to_id(name)?)));
            let Some((token, id)) = found else {
                let (tokenizer, tried) = (name.to_string(), names.join(" "));
                let next_id = vocab_size;
                return Err(DataError::MissingSpecialToken { tokenizer, role, tried, next_id });
            };
            // One that is not marked would be found in a caption that happens to spell its name.
            if !inner.get_added_tokens_decoder().get(&id).is_some_and(|added| added.special) {
                inner
                    .add_special_tokens([AddedToken::from(token, true)])
                    .map_err(|error| DataError::Tokenizer(format!("`{name}` cannot mark `{token}`: {error}")))?;
            }
            Ok(id)
        };
        let (bos, eos) = (find("bos", BOS)?, find("eos", EOS)?);
        let (boi, eoi) = (find("boi", BOI)?, find("eoi", EOI)?);
        let pad = find("pad", PAD).unwrap_or(eos);
        Ok(Self { bos, eos, boi, eoi, pad })
    }

    /// Adds what opens and closes an image where there is nothing like it.
    pub(crate) fn add_image_markers(inner: &mut Inner) -> Result<(), DataError> {
        for names in [BOI, EOI] {
            let is_known = names.iter().any(|name| inner.token_to_id(name).is_some());
            let Some(first) = names.first().filter(|_| !is_known) else { continue };
            inner
                .add_special_tokens([AddedToken::from(*first, true)])
                .map_err(|error| DataError::Tokenizer(format!("cannot add `{first}`: {error}")))?;
        }
        Ok(())
    }

    /// Whether an id is one of the five.
    pub fn contains(&self, id: u32) -> bool {
        [self.bos, self.eos, self.boi, self.eoi, self.pad].contains(&id)
    }
}
