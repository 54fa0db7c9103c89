//! Texts to ids by the folder's own `tokenizer.json`.

use std::path::Path;

use ndarray::Array2;
use tokenizers::{Tokenizer, TruncationParams};

use super::config::TextConfig;
use crate::error::EvaluationError;

/// Which row of a text speaks for it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Pooling {
    /// The first of the highest id. OpenAI's configurations say `eos_token_id: 2`, which no text ends with; transformers takes
    /// that number for this rule, because the end of a text is the last id of their vocabulary.
    HighestId,
    /// The first of this id; the first row where there is none, as in transformers.
    FirstOf(u32),
}

impl Pooling {
    /// The rule of a configuration.
    fn of(eos_token_id: u32) -> Self {
        if eos_token_id == 2 { Self::HighestId } else { Self::FirstOf(eos_token_id) }
    }

    /// The row of a text.
    fn row(self, ids: &[u32]) -> usize {
        let sought = match self {
            Self::HighestId => ids.iter().copied().max().unwrap_or_default(),
            Self::FirstOf(id) => id,
        };
        ids.iter().position(|&id| id == sought).unwrap_or_default()
    }
}

/// A tokenizer that cuts texts to what the tower takes.
pub(super) struct Texts {
    tokenizer: Tokenizer,
    pooling: Pooling,
}

impl Texts {
    /// Reads `tokenizer.json`.
    ///
    /// # Errors
    /// When it is missing or no tokenizer, or has ids that the tower has not.
    pub(super) fn read(folder: &Path, config: &TextConfig) -> Result<Self, EvaluationError> {
        let path = folder.join("tokenizer.json");
        let unfit = |reason: String| EvaluationError::Weights { path: path.clone(), reason };
        if !path.is_file() {
            return Err(unfit("expected the tokenizer.json of a CLIP model, found no such file".into()));
        }
        let bytes = std::fs::read(&path).map_err(|error| unfit(error.to_string()))?;
        // The library panics at some of what is no JSON.
        serde_json::from_slice::<serde_json::Value>(&bytes).map_err(|error| unfit(error.to_string()))?;
        let mut tokenizer = Tokenizer::from_bytes(&bytes).map_err(|error| unfit(error.to_string()))?;
        let found = tokenizer.get_vocab_size(true);
        if found > config.vocab_size {
            return Err(unfit(format!("expected at most {} ids, the tower's, found {found}", config.vocab_size)));
        }
        let max_length = config.max_position_embeddings;
        let truncation = TruncationParams { max_length, ..TruncationParams::default() };
        tokenizer.with_truncation(Some(truncation)).map_err(|error| unfit(error.to_string()))?;
        tokenizer.with_padding(None);
        Ok(Self { tokenizer, pooling: Pooling::of(config.eos_token_id) })
    }

    /// Ids `[count, longest]`, and the row of each text that speaks for it.
    ///
    /// Texts are padded with the first id: what lies behind the row that speaks is not seen by it.
    ///
    /// # Errors
    /// When a text cannot be encoded.
    pub(super) fn encode(&self, texts: &[String]) -> Result<(Array2<u32>, Vec<usize>), EvaluationError> {
        let fail = |error: tokenizers::Error| EvaluationError::Device(format!("the tokenizer: {error}"));
        let encoded: Vec<Vec<u32>> = texts
            .iter()
            .map(|text| self.tokenizer.encode(text.as_str(), true).map(|encoding| encoding.get_ids().to_vec()))
            .collect::<Result<_, _>>()
            .map_err(fail)?;
        let longest = encoded.iter().map(Vec::len).max().unwrap_or(0).max(1);
        let ids = Array2::from_shape_fn((encoded.len(), longest), |(row, column)| {
            encoded[row].get(column).copied().unwrap_or_default()
        });
        let rows = encoded.iter().map(|ids| self.pooling.row(ids)).collect();
        Ok((ids, rows))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// As `modeling_clip.py` of transformers: `ids.argmax()` for 2, `(ids == eos).int().argmax()` for anything else.
    #[test]
    fn the_row_that_speaks_is_found_as_in_transformers() {
        assert_eq!(Pooling::of(2).row(&[7, 3, 9, 9, 9]), 2);
        assert_eq!(Pooling::of(2).row(&[7, 9, 8, 2]), 1);
        assert_eq!(Pooling::of(8).row(&[7, 9, 8, 8]), 2);
        assert_eq!(Pooling::of(8).row(&[7, 9]), 0);
    }
}
