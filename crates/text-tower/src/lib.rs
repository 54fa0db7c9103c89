//! The autoregressive end: ids in, next-token logits and loss out.
//!
//! One [`TextTower`] serves one vocabulary: text, speech units, or text and image codes together. Between its two ends lies the
//! backbone.

pub mod next_token;
pub mod tower;

pub use next_token::{NextTokenLoss, next_token_loss};
pub use tower::{TextTower, TextTowerConfig};
