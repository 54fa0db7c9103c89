//! Groups of any size in a batched product of fixed shape, without asking the host how large they are.
//!
//! Rows are laid into blocks of `T` rows, each block of one group, whose last block may not be full. `N` rows of `G` groups
//! take fewer than `N / T + G` blocks, so that many are there whatever the groups are (block-sparse products of MegaBlocks,
//! 2211.15841, section 5, as one batched product).

use burn::tensor::{IndexingUpdateOp, Int, Tensor};

use super::RowGroups;
use super::reference::{batched, starts};

/// Blocks of a group of average size: more of them multiply less padding, and copy the weights more often.
const BLOCKS_OF_A_GROUP: usize = 4;

/// [`super::grouped_product`] in Burn primitives, with at most a quarter more products than are needed.
pub fn in_blocks(x: Tensor<2>, weight: Tensor<3>, groups: &RowGroups) -> Tensor<2> {
    let weight = weight.cast(x.dtype());
    let RowGroups::Ends(ends) = groups else { return batched(x, weight) };
    let ([rows, d_in], [count, _, d_out]) = (x.dims(), weight.dims());
    let block = rows.div_ceil(BLOCKS_OF_A_GROUP * count).max(1);
    let blocks = rows / block + count;
    let Places { of_row, group_of_block } = places(ends, rows, block, blocks);

    // The last row is for rows that belong to no group.
    let laid = Tensor::zeros([blocks * block + 1, d_in], (&x.device(), x.dtype()));
    let laid = laid.select_assign(0, of_row.clone(), x, IndexingUpdateOp::Add);
    let laid = laid.narrow(0, 0, blocks * block).reshape([blocks, block, d_in]);
    let y = laid.matmul(weight.select(0, group_of_block)).reshape([blocks * block, d_out]);
    let nothing = Tensor::zeros([1, d_out], (&y.device(), y.dtype()));
    Tensor::cat(vec![y, nothing], 0).select(0, of_row)
}

struct Places {
    /// Where each row lies among the rows of all blocks; one past them all for a row of no group. `[N]`
    of_row: Tensor<1, Int>,
    /// `[blocks]`
    group_of_block: Tensor<1, Int>,
}

fn places(ends: &Tensor<1, Int>, rows: usize, block: usize, blocks: usize) -> Places {
    let [groups] = ends.dims();
    let device = ends.device();
    let starts = starts(ends);
    let blocks_of_group = (ends.clone() - starts.clone()).add_scalar(block as i64 - 1).div_scalar(block as i64);
    let last_block = blocks_of_group.clone().cumsum(0);
    let first_block = last_block.clone() - blocks_of_group;

    let group_of_row = count_at_or_below(ends, rows);
    let is_of_none = group_of_row.clone().equal_elem(groups as i64);
    let shift = first_block.mul_scalar(block as i64) - starts;
    let shift = shift.select(0, group_of_row.clamp_max(groups as i64 - 1));
    let of_row = (Tensor::arange(0..rows as i64, &device) + shift).mask_fill(is_of_none, (blocks * block) as i64);
    // A block that no group needs holds zeros; any map will do.
    let group_of_block = count_at_or_below(&last_block, blocks).clamp_max(groups as i64 - 1);
    Places { of_row, group_of_block }
}

/// For each of `0..count`, how many of the bounds are at or below it. `[count]`
fn count_at_or_below(bounds: &Tensor<1, Int>, count: usize) -> Tensor<1, Int> {
    let [groups] = bounds.dims();
    let number = Tensor::<1, Int>::arange(0..count as i64, &bounds.device()).unsqueeze_dim::<2>(1);
    let bounds = bounds.clone().unsqueeze::<2>().expand([count, groups]);
    bounds.lower_equal(number.expand([count, groups])).int().sum_dim(1).squeeze_dim(1)
}
