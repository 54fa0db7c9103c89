//! Equal and nearly equal texts, and which texts are held out.
//!
//! A text is known by its words in lower case. Its *place* is a number in [0, 1) that depends on them alone; texts
//! whose place is below the fraction are held out. Of texts that are nearly equal one stays, and those that are held
//! out come first, so that no training text is near one that is held out.

mod near;
mod words;

pub(crate) use near::KeptTexts;
pub use near::{BANDS, MINIMA, Shingles, THRESHOLD};
pub use words::place;
pub(crate) use words::place_of;
pub(crate) use words::word_hashes;
