//! Keys that are hidden from some of those who have them in their range, behind the ranges in the same buffer:
//!
//! ```text
//! hidden_from [B, Sk] | order [B, Sq] of queries | bounds [B, Tk, 2] of keys | bounds [B, Tq, 2] of queries
//! ```
//!
//! The bounds of a tile are the least and the largest `hidden_from` of its keys, or `order` of its queries. So all keys of a tile
//! are hidden from all queries of another where the least order is not below the largest `hidden_from`, and none from any where
//! the largest order is below the least.

use burn::tensor::DType;
use burn_cubecl::tensor::CubeTensor;
use cubecl::prelude::*;

use super::ranges::{BOUNDS, Places, PlacesExpand, UNSEEN_PLACE};
use crate::gpu::launch::{dense_ints, dims, grid, output};

/// Bounds of a tile.
const ENDS: usize = 2;

/// The least of a tile's numbers where `at` is even, the largest where it is odd.
#[cube]
fn end(numbers: &[i32], count: usize, tiles: usize, at: usize, #[comptime] rows: usize) -> i32 {
    let tile = at / ENDS;
    let (batch, first) = (tile / tiles, tile % tiles * rows);
    let mut least = i32::new(UNSEEN_PLACE);
    let mut most = i32::new(-1);
    for row in first..min(first + rows, count) {
        let number = numbers[batch * count + row];
        least = min(least, number);
        most = max(most, number);
    }
    select(at % ENDS == 0, least, most)
}

#[cube(launch_unchecked)]
fn pack(hidden_from: &[i32], order: &[i32], packed: &mut [i32], keys: u32, queries: u32, #[comptime] rows: usize) {
    let (keys, queries) = (keys as usize, queries as usize);
    let (all_keys, all_queries) = (hidden_from.len(), order.len());
    let key_tiles = keys.div_ceil(rows);
    let query_tiles = queries.div_ceil(rows);
    let rows_end = all_keys + all_queries;
    let key_end = rows_end + all_keys / keys * key_tiles * ENDS;
    let at = ABSOLUTE_POS;
    if at < packed.len() {
        let mut value = hidden_from[min(at, all_keys - 1)];
        if at >= all_keys && at < rows_end {
            value = order[at - all_keys];
        } else if at >= rows_end && at < key_end {
            value = end(hidden_from, keys, key_tiles, at - rows_end, rows);
        } else if at >= key_end {
            value = end(order, queries, query_tiles, at - key_end, rows);
        }
        packed[at] = value;
    }
}

/// Elements of this part of the buffer.
pub(super) fn length(batch: usize, keys: usize, queries: usize, rows: usize) -> usize {
    batch * (keys + queries + ENDS * (keys.div_ceil(rows) + queries.div_ceil(rows)))
}

/// `order`: `[B, Sq]`; `hidden_from`: `[B, Sk]`; tiles of `rows` rows.
pub(super) fn packed(order: CubeTensor, hidden_from: CubeTensor, rows: usize) -> CubeTensor {
    let [order, hidden_from] = [order, hidden_from].map(dense_ints);
    let ([batch, keys], queries) = ([dims(&hidden_from)[0], dims(&hidden_from)[1]], dims(&order)[1]);
    let count = length(batch, keys, queries, rows);
    let packed = output(&order, [count], DType::I32);
    let (cubes, dim) = grid(&order, count);
    // SAFETY: see [`crate::gpu`].
    unsafe {
        pack::launch_unchecked(
            &order.client.clone(),
            cubes,
            dim,
            hidden_from.into_buffer_arg(),
            order.into_buffer_arg(),
            packed.clone().into_buffer_arg(),
            keys as u32,
            queries as u32,
            rows,
        )
    }
    packed
}

#[cube]
impl Places {
    /// Where this part of the buffer begins: behind the bounds of the queries' tiles.
    fn hidden_part(&self) -> usize {
        self.query_bounds + self.batches * self.query_tiles * BOUNDS
    }

    /// The first place that does not see a key; beyond the last key there is nothing to hide.
    pub(super) fn hidden_from(&self, ranges: &[i32], batch: usize, row: usize) -> i32 {
        let mut place = i32::new(UNSEEN_PLACE);
        if row < self.keys {
            place = ranges[self.hidden_part() + batch * self.keys + row];
        }
        place
    }

    /// Where a query stands in reading order; beyond the last query at its end.
    pub(super) fn place(&self, ranges: &[i32], batch: usize, row: usize) -> i32 {
        let mut place = i32::new(UNSEEN_PLACE);
        if row < self.queries {
            place = ranges[self.hidden_part() + self.batches * self.keys + batch * self.queries + row];
        }
        place
    }

    /// How a tile of queries meets one of keys of which some may be hidden; `meeting` says how it would if none were.
    pub(super) fn less_hidden(
        &self,
        ranges: &[i32],
        batch: usize,
        query_tile: usize,
        key_tile: usize,
        meeting: u32,
    ) -> u32 {
        let bounds = self.hidden_part() + self.batches * (self.keys + self.queries);
        let key = bounds + (batch * self.key_tiles + key_tile) * ENDS;
        let query = bounds + (self.batches * self.key_tiles + batch * self.query_tiles + query_tile) * ENDS;
        let mut left = meeting;
        if ranges[query] >= ranges[key + 1] {
            left = 0u32;
        } else if meeting == 2u32 && ranges[query + 1] >= ranges[key] {
            left = 1u32;
        }
        left
    }
}
