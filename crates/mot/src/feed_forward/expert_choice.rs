//! Expert choice (Zhou et al., 2202.09368, section 3.2): every expert takes the rows that suit it best.
//!
//! Dimensions: `B` sequences, `S` rows of the part's stream, `E` experts, `n` rows of a sequence that are not padding,
//! `c` capacity, `K = ⌈S · c / E⌉` places of an expert in a sequence.
//!
//! ```text
//! P = softmax over experts of X W        G, I = the k = ⌈n · c / E⌉ largest of each column of P, and their rows
//! ```
//!
//! Rows are ranked within their sequence, those of all its documents together, so a sequence does not depend on the batch.
//! It does depend on itself: whether an expert takes a row is decided by the rows behind it as well. In training and in
//! held-out losses text is thus predicted by a model that has seen some of the future, and the losses are too good (the paper
//! names this as its limitation, and Mixture-of-Transformers reports no captions of such models for that reason). In
//! sampling the rows of one pass are ranked among themselves, because the future is not there: an image's rows much as in
//! training, but a token that comes alone is taken by all experts. So what is sampled against a cache is not what the whole
//! sequence gives at once.

use burn::tensor::{IndexingUpdateOp, Int, Tensor};
use interfuse_kernels::{RowGroups, descending_order};

use super::moe::Places;

/// The rows that each expert takes.
///
/// # Shapes
/// - `probabilities`: of each row, over experts. `[B, S, E]`
/// - `filled`: 1 for a row, 0 for padding. `[B, S]`
pub(super) fn places(probabilities: &Tensor<3>, filled: &Tensor<2>, capacity: f64) -> Places {
    let [batch, rows, experts] = probabilities.dims();
    let count = most_places(rows, experts, capacity);
    let device = probabilities.device();
    let by_expert = probabilities.clone().swap_dims(1, 2);
    // Padding comes last of all.
    let padding = filled.clone().equal_elem(0.0).unsqueeze_dim::<3>(1).expand([batch, experts, rows]);
    let scores = by_expert.clone().mask_fill(padding, -1.0).reshape([batch * experts, rows]);
    let order = descending_order(scores).narrow(1, 0, count).reshape([batch, experts, count]);

    // The place j of an expert is taken if j · E < n · c, so that k = ⌈n · c / E⌉ are.
    let place = Tensor::<1, Int>::arange_step(0..(count * experts) as i64, experts, &device).float();
    let limit = filled.clone().sum_dim(1).mul_scalar(capacity).reshape([batch, 1, 1]).expand([batch, 1, count]);
    let is_taken = place.reshape([1, 1, count]).expand([batch, 1, count]).lower(limit).float();
    let is_taken = is_taken.expand([batch, experts, count]);
    let gates = by_expert.gather(2, order.clone()) * is_taken.clone();

    let first = Tensor::<1, Int>::arange(0..batch as i64, &device).mul_scalar(rows as i64).reshape([batch, 1, 1]);
    let order = order + first.expand([batch, experts, count]);
    let total = experts * batch * count;
    Places {
        rows: order.swap_dims(0, 1).reshape([total]),
        gates: gates.swap_dims(0, 1).reshape([total]),
        groups: RowGroups::Equal,
        taken: is_taken.sum_dim(2).reshape([batch, experts]),
    }
}

/// Places of an expert in a sequence of `rows` rows, if none is padding.
fn most_places(rows: usize, experts: usize, capacity: f64) -> usize {
    ((rows as f64 * capacity / experts as f64).ceil() as usize).clamp(1, rows)
}

/// The number of rows that no expert took. `[1]`
pub(super) fn unrouted(places: &Places, filled: &Tensor<2>) -> Tensor<1> {
    let [batch, rows] = filled.dims();
    let is_taken = places.gates.clone().detach().greater_elem(0.0).float();
    let hits = Tensor::<1>::zeros([batch * rows], &filled.device());
    let hits = hits.select_assign(0, places.rows.clone(), is_taken, IndexingUpdateOp::Add);
    (hits.equal_elem(0.0).float() * filled.clone().reshape([batch * rows])).sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn there_is_a_place_for_every_share_of_the_rows() {
        assert_eq!(most_places(320, 4, 1.0), 80);
        assert_eq!(most_places(5, 4, 1.0), 2);
        assert_eq!(most_places(1, 4, 1.0), 1);
        assert_eq!(most_places(8, 4, 4.0), 8);
    }
}
