//! Training FLOPs, forward and backward; a multiplication and an addition are two.
//!
//! ```text
//! FLOPs a token = 6 N + 6 L d s + 6 d V
//! ```
//!
//! 6 N of the backbone's matrices (2001.08361, section 2.1), 6 L d s of scores and weighted sums under a causal mask over the s
//! tokens of a document, and 6 d V of a head over V ids. The head is most of a model of a few thousand parameters.

use serde::{Deserialize, Serialize};

use crate::dial::Shape;

/// FLOPs of a run, or of a token.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TrainingFlops {
    /// Of the backbone's matrices, 6 N D.
    pub matrices: f64,
    /// Of attention.
    pub attention: f64,
    /// Of the head.
    pub head: f64,
}

impl TrainingFlops {
    /// Of `tokens` tokens in documents of `document` tokens, with a head over `vocabulary` ids; 0 where it is not known.
    pub fn of(shape: &Shape, tokens: f64, document: f64, vocabulary: f64) -> Self {
        let (layers, d) = (shape.n_layers as f64, shape.d_model as f64);
        Self {
            matrices: 6.0 * shape.params() * tokens,
            attention: 6.0 * layers * d * document * tokens,
            head: 6.0 * d * vocabulary * tokens,
        }
    }

    /// All of them.
    pub fn total(&self) -> f64 {
        self.matrices + self.attention + self.head
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_papers_smallest_model() {
        // Transfusion 0.16B: 16 layers of 768 with a feed-forward of 2,048, sequences of 4,096, 32,000 ids, counted by hand.
        let shape =
            Shape { d_model: 768, n_layers: 16, n_heads: 12, d_ff: 2048, learning_rate: 3e-4, batch_tokens: 2e6 };
        let flops = TrainingFlops::of(&shape, 1.0, 4096.0, 32_000.0);
        let near = |found: f64, expected: f64| assert!((found / expected - 1.0).abs() < 1e-3, "{found} {expected}");
        near(flops.matrices, 6.795e8);
        near(flops.attention, 3.020e8);
        near(flops.head, 1.475e8);
        near(flops.total(), 6.795e8 + 3.020e8 + 1.475e8);
    }
}
