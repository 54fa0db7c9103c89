//! Captions as ids.

mod masks;
mod special_tokens;
mod tokenizer;

pub(crate) use masks::MASKS;
pub use special_tokens::SpecialTokens;
pub use tokenizer::Tokenizer;
