//! The next-token loss of one modality.

use burn::tensor::Tensor;
use interfuse_kernels::cross_entropy;
use interfuse_sequence::TokenRows;

/// Sums over the rows of a batch that have a target, in nats.
#[derive(Clone, Debug)]
pub struct NextTokenLoss {
    /// `Σ −log p(target)`. `[1]`
    pub sum: Tensor<1>,
    /// The same with the z-loss added: what is minimised. `[1]`
    pub regularised_sum: Tensor<1>,
    /// Rows with a target.
    pub count: usize,
}

/// Cross-entropy of the rows that have a target; a row without a target (BOI, the last row of a document, padding) costs nothing.
///
/// # Shapes
/// - `logits`: `[B, S, V]`
pub fn next_token_loss(logits: Tensor<3>, rows: &TokenRows, z_loss: f64) -> NextTokenLoss {
    let [batch, count, vocab] = logits.dims();
    let targets = rows.targets.clone().reshape([batch * count]);
    let weights = rows.weights.clone().reshape([batch * count]);
    let loss = cross_entropy(logits.reshape([batch * count, vocab]), targets, weights);
    let regularised_sum = match z_loss {
        0.0 => loss.next_token.clone(),
        weight => loss.next_token.clone() + loss.z.mul_scalar(weight),
    };
    NextTokenLoss { sum: loss.next_token, regularised_sum, count: rows.count }
}
