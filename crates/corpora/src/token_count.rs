//! How many unique tokens a corpus has, split by split.
//!
//! Equal and nearly equal texts are dropped when a corpus is opened, so every text counts once.

use rayon::prelude::*;
use serde::{Deserialize, Serialize};

use crate::corpus::Corpus;
use crate::error::CorpusError;
use crate::texts::Texts;

/// How much a split holds.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct TokenCount {
    /// The name of the split; empty for a sum of texts without one.
    pub split: String,
    /// Texts.
    pub documents: u64,
    /// Bytes of UTF-8.
    pub bytes: u64,
    /// Tokens, without markers of beginning and end.
    pub tokens: u64,
}

impl Texts {
    /// Counts tokens; `tokens` says how many a text has. Texts are read side by side.
    ///
    /// # Errors
    /// When a text cannot be read.
    pub fn count_tokens(&self, tokens: impl Fn(&str) -> usize + Sync) -> Result<TokenCount, CorpusError> {
        let count = |number: usize| self.text(number).map(|text| tokens(&text) as u64);
        let tokens = (0..self.len()).into_par_iter().map(count).try_reduce(|| 0, |a, b| Ok(a + b))?;
        Ok(TokenCount { split: String::new(), documents: self.len() as u64, bytes: self.bytes(), tokens })
    }
}

impl Corpus {
    /// Counts the tokens of every split, training first.
    ///
    /// # Errors
    /// When a text cannot be read.
    pub fn count_tokens(&self, tokens: impl Fn(&str) -> usize + Sync) -> Result<Vec<TokenCount>, CorpusError> {
        let count = |(split, texts): (&str, &Texts)| {
            Ok(TokenCount { split: split.to_string(), ..texts.count_tokens(&tokens)? })
        };
        self.splits().map(count).collect()
    }
}
