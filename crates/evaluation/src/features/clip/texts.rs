//! Texts to ids by the folder's own `tokenizer.json`.

use std::path::Path;

use ndarray::Array2;
use tokenizers::{Tokenizer, TruncationParams};

use super::config::TextConfig;
use crate::error::EvaluationError;

/// The end of a text in every CLIP vocabulary.
const END: &str = "<|endoftext|>";

/// A tokenizer that cuts texts to what the tower takes.
pub(super) struct Texts {
    tokenizer: Tokenizer,
    end: u32,
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
        let mut tokenizer = Tokenizer::from_file(&path).map_err(|error| unfit(error.to_string()))?;
        let found = tokenizer.get_vocab_size(true);
        if found > config.vocab_size {
            return Err(unfit(format!("expected at most {} ids, the tower's, found {found}", config.vocab_size)));
        }
        let max_length = config.max_position_embeddings;
        let truncation = TruncationParams { max_length, ..TruncationParams::default() };
        tokenizer.with_truncation(Some(truncation)).map_err(|error| unfit(error.to_string()))?;
        tokenizer.with_padding(None);
        // Old configurations say 2 where they mean the last id of the vocabulary.
        let end = tokenizer.token_to_id(END).unwrap_or(config.eos_token_id);
        Ok(Self { tokenizer, end })
    }

    /// Ids `[count, longest]`, padded with ends, and the place of each text's end.
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
            encoded[row].get(column).copied().unwrap_or(self.end)
        });
        let ends = encoded
            .iter()
            .map(|ids| ids.iter().position(|&id| id == self.end).unwrap_or(ids.len().saturating_sub(1)))
            .collect();
        Ok((ids, ends))
    }
}
