//! Captions as ids.

mod special_tokens;
mod tokenizer;

pub use special_tokens::SpecialTokens;
pub use tokenizer::Tokenizer;
