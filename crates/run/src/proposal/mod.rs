//! A configuration that fits data, time and memory, and the reason of each choice: what `interfuse init` writes.
//!
//! ```text
//! Survey, wishes ─► Facts ─┬─► candidates ─► two of them measured ─► Speed ─┐
//!                          └────────────────────────────────────────────────┴─► Proposal ─► measured itself ─► TOML
//! ```
//!
//! | what | where |
//! |---|---|
//! | what is known | `facts` |
//! | the three kinds of data that presets were tuned on | `recipe` |
//! | patch and model sizes in the order of what they cost | `candidate` |
//! | seconds of a step that was not measured | `speed` |
//! | the rules | `choose` |
//! | steps taken on this machine | [`fit`] |
//! | the file with its comments | `write` |
//!
//! The rules are pure functions of facts and speed. Their numbers are those of the presets in `configs/` and of what LOG.md
//! says was tried; where nothing was measured, the comment in the file says that too.

mod candidate;
mod choose;
mod facts;
mod measure;
mod recipe;
mod speed;
mod write;

#[cfg(test)]
mod tests;

pub use candidate::Candidate;
pub use choose::{Proposal, propose};
pub use facts::{Facts, Size, Wishes, default_size};
pub use measure::{Measured, fit};
pub use recipe::Recipe;
pub use speed::{Speed, Timing};
