//! The reference implementation, in Burn primitives: the rank of an element is the number of those before it.

use burn::tensor::{IndexingUpdateOp, Int, Tensor};

/// Comparisons that are made at a time.
const MOST_COMPARISONS: usize = 1 << 24;

/// [`super::descending_order`] in Burn primitives, by comparing all pairs.
pub fn reference(scores: Tensor<2>) -> Tensor<2, Int> {
    let [rows, count] = scores.dims();
    let scores = scores.detach();
    let place = Tensor::<1, Int>::arange(0..count as i64, &scores.device());
    let share = (MOST_COMPARISONS / (rows * count).max(1)).clamp(1, count.max(1));
    let ranks = (0..count).step_by(share).map(|start| {
        let length = share.min(count - start);
        let shape = [rows, length, count];
        let own = scores.clone().narrow(1, start, length).unsqueeze_dim::<3>(2).expand(shape);
        let other = scores.clone().unsqueeze_dim::<3>(1).expand(shape);
        let own_place = place.clone().narrow(0, start, length).reshape([1, length, 1]).expand(shape);
        let is_earlier = place.clone().reshape([1, 1, count]).expand(shape).lower(own_place).int();
        let before = other.clone().greater(own.clone()).int() + other.equal(own).int() * is_earlier;
        before.sum_dim(2).squeeze_dim::<2>(2)
    });
    let ranks = Tensor::cat(ranks.collect(), 1);
    let places = place.unsqueeze::<2>().expand([rows, count]);
    ranks.zeros_like().scatter(1, ranks, places, IndexingUpdateOp::Add)
}
