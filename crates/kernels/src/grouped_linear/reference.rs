//! The reference implementation, in Burn primitives: every map over all rows, those of other groups made zero.

use burn::tensor::{Int, Tensor};

use super::RowGroups;

/// [`super::grouped_product`] in Burn primitives, with `G` times the products that are needed where groups differ in size.
pub fn reference(x: Tensor<2>, weight: Tensor<3>, groups: &RowGroups) -> Tensor<2> {
    let weight = weight.cast(x.dtype());
    match groups {
        RowGroups::Equal => batched(x, weight),
        RowGroups::Ends(ends) => {
            let member = members(ends, x.dims()[0]).unsqueeze_dim::<3>(2).cast(x.dtype());
            (x.unsqueeze::<3>() * member).matmul(weight).sum_dim(0).squeeze_dim(0)
        }
    }
}

/// Groups of one size: a batched product.
pub(super) fn batched(x: Tensor<2>, weight: Tensor<3>) -> Tensor<2> {
    let ([rows, d_in], [groups, _, d_out]) = (x.dims(), weight.dims());
    x.reshape([groups, rows / groups, d_in]).matmul(weight).reshape([rows, d_out])
}

/// 1 where a row is of a group, else 0. `[G, N]`
fn members(ends: &Tensor<1, Int>, rows: usize) -> Tensor<2> {
    let [groups] = ends.dims();
    let row = Tensor::<1, Int>::arange(0..rows as i64, &ends.device()).unsqueeze::<2>().expand([groups, rows]);
    let before =
        |bounds: Tensor<1, Int>| row.clone().lower(bounds.unsqueeze_dim::<2>(1).expand([groups, rows])).float();
    before(ends.clone()) - before(starts(ends))
}

/// The first row of each group. `[G]`
pub(super) fn starts(ends: &Tensor<1, Int>) -> Tensor<1, Int> {
    let first = ends.clone().narrow(0, 0, 1).zeros_like();
    match ends.dims() {
        [1] => first,
        [groups] => Tensor::cat(vec![first, ends.clone().narrow(0, 0, groups - 1)], 0),
    }
}
