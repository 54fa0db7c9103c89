//! Who sees whom, in one buffer: reading order of the keys, ranges of the queries, and the bounds of every tile.
//!
//! ```text
//! order [B, Sk] | from [B, Sq] | until [B, Sq] | (first, last) [B, Tk, 2] of keys | (from, until) [B, Tq, 2] of queries
//! ```
//!
//! One buffer, because WebGPU binds eight, and made once for all layers.

use burn::tensor::DType;
use burn_cubecl::tensor::CubeTensor;
use cubecl::prelude::*;

use crate::gpu::launch::{dense_ints, dims, grid, output};

/// The order of a row that nobody sees.
const UNSEEN: i32 = i32::MAX;
/// The same, as kernels take it.
const UNSEEN_PLACE: i64 = UNSEEN as i64;

#[cube]
fn key_bound(order: &[i32], keys: usize, tiles: usize, at: usize, #[comptime] rows: usize) -> i32 {
    let tile = at / 2;
    let (batch, first) = (tile / tiles, tile % tiles * rows);
    let mut least = i32::new(UNSEEN_PLACE);
    let mut most = i32::new(-1);
    for row in first..min(first + rows, keys) {
        let place = order[batch * keys + row];
        if place != UNSEEN {
            least = min(least, place);
            most = max(most, place);
        }
    }
    select(at % 2 == 0, least, most)
}

#[cube]
fn query_bound(from: &[i32], until: &[i32], queries: usize, tiles: usize, at: usize, #[comptime] rows: usize) -> i32 {
    let tile = at / 2;
    let (batch, first) = (tile / tiles, tile % tiles * rows);
    let mut least = i32::new(UNSEEN_PLACE);
    let mut most = i32::new(-1);
    for row in first..min(first + rows, queries) {
        let (start, end) = (from[batch * queries + row], until[batch * queries + row]);
        if start < end {
            least = min(least, start);
            most = max(most, end);
        }
    }
    select(at % 2 == 0, least, most)
}

#[cube(launch)]
fn pack(
    order: &[i32],
    from: &[i32],
    until: &[i32],
    ranges: &mut [i32],
    keys: u32,
    queries: u32,
    #[comptime] rows: usize,
) {
    let (keys, queries) = (keys as usize, queries as usize);
    let (all_keys, all_queries) = (order.len(), from.len());
    let key_tiles = (keys + rows - 1) / rows;
    let query_tiles = (queries + rows - 1) / rows;
    let key_bounds = all_keys / keys * key_tiles * 2;
    let at = ABSOLUTE_POS;
    if at < ranges.len() {
        let mut value = order[min(at, all_keys - 1)];
        if at >= all_keys && at < all_keys + all_queries {
            value = from[at - all_keys];
        } else if at >= all_keys && at < all_keys + 2 * all_queries {
            value = until[at - all_keys - all_queries];
        } else if at >= all_keys && at < all_keys + 2 * all_queries + key_bounds {
            value = key_bound(order, keys, key_tiles, at - all_keys - 2 * all_queries, rows);
        } else if at >= all_keys {
            let place = at - all_keys - 2 * all_queries - key_bounds;
            value = query_bound(from, until, queries, query_tiles, place, rows);
        }
        ranges[at] = value;
    }
}

/// Elements of the buffer.
pub(crate) fn length(batch: usize, keys: usize, queries: usize, rows: usize) -> usize {
    batch * (keys + 2 * queries + 2 * keys.div_ceil(rows) + 2 * queries.div_ceil(rows))
}

/// `order`: `[B, Sk]`; `from`, `until`: `[B, Sq]`; tiles of `rows` rows.
pub(crate) fn packed(order: CubeTensor, from: CubeTensor, until: CubeTensor, rows: usize) -> CubeTensor {
    let [order, from, until] = [order, from, until].map(dense_ints);
    let ([batch, keys], queries) = ([dims(&order)[0], dims(&order)[1]], dims(&from)[1]);
    let count = length(batch, keys, queries, rows);
    let ranges = output(&order, [count], DType::I32);
    let (cubes, dim) = grid(&order, count);
    pack::launch(
        &order.client.clone(),
        cubes,
        dim,
        order.into_buffer_arg(),
        from.into_buffer_arg(),
        until.into_buffer_arg(),
        ranges.clone().into_buffer_arg(),
        keys as u32,
        queries as u32,
        rows,
    );
    ranges
}

/// Where each part of the buffer begins, and how many rows and tiles there are.
#[derive(CubeType, Clone, Copy)]
pub(super) struct Places {
    pub(super) queries: usize,
    pub(super) keys: usize,
    pub(super) query_tiles: usize,
    pub(super) key_tiles: usize,
    from: usize,
    until: usize,
    key_bounds: usize,
    query_bounds: usize,
}

#[cube]
impl Places {
    pub(super) fn new(batches: u32, queries: u32, keys: u32, #[comptime] rows: usize) -> Places {
        let (batches, queries, keys) = (batches as usize, queries as usize, keys as usize);
        let query_tiles = (queries + rows - 1) / rows;
        let key_tiles = (keys + rows - 1) / rows;
        let from = batches * keys;
        let until = from + batches * queries;
        let key_bounds = until + batches * queries;
        let query_bounds = key_bounds + batches * key_tiles * 2;
        Places { queries, keys, query_tiles, key_tiles, from, until, key_bounds, query_bounds }
    }

    /// Whether any query of a tile may see any key of another.
    pub(super) fn meet(&self, ranges: &[i32], batch: usize, query_tile: usize, key_tile: usize) -> bool {
        let key = self.key_bounds + (batch * self.key_tiles + key_tile) * 2;
        let query = self.query_bounds + (batch * self.query_tiles + query_tile) * 2;
        ranges[key + 1] >= ranges[query] && ranges[key] < ranges[query + 1]
    }

    /// The reading order of a key; beyond the last key, that of a row that nobody sees.
    pub(super) fn order(&self, ranges: &[i32], batch: usize, row: usize) -> i32 {
        let mut order = i32::new(UNSEEN_PLACE);
        if row < self.keys {
            order = ranges[batch * self.keys + row];
        }
        order
    }

    /// Where a query's range begins.
    pub(super) fn from(&self, ranges: &[i32], batch: usize, row: usize) -> i32 {
        let mut from = 0i32;
        if row < self.queries {
            from = ranges[self.from + batch * self.queries + row];
        }
        from
    }

    /// Where a query's range ends; beyond the last query it is empty.
    pub(super) fn until(&self, ranges: &[i32], batch: usize, row: usize) -> i32 {
        let mut until = 0i32;
        if row < self.queries {
            until = ranges[self.until + batch * self.queries + row];
        }
        until
    }
}
