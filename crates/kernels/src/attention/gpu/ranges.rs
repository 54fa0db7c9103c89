//! Who sees whom, in one buffer: reading order of the keys, ranges of the queries, and the bounds of every tile.
//!
//! ```text
//! order [B, Sk] | from [B, Sq] | until [B, Sq] | bounds [B, Tk, 4] of keys | bounds [B, Tq, 4] of queries
//! ```
//!
//! Of a tile of keys the bounds are the least and the largest order of those that anybody sees, and both again, such that no
//! query sees all of them if the tile has a row that nobody sees; of a tile of queries the least `from`, the largest `until`,
//! the largest `from` and the least `until`. So two tiles meet where the first two say so, and every query sees every key
//! where the last two do.
//!
//! One buffer, because WebGPU binds eight, and made once for all layers. Where keys are hidden, what [`super::hidden`] makes lies
//! behind all of this.

use burn::tensor::DType;
use burn_cubecl::tensor::CubeTensor;
use cubecl::prelude::*;

use super::plan::FlashPlan;
use crate::gpu::launch::{dense_ints, dims, grid, output};

/// Bounds of a tile.
pub(super) const BOUNDS: usize = 4;

/// The order of a row that nobody sees.
const UNSEEN: i32 = i32::MAX;
/// The same, as kernels take it.
pub(super) const UNSEEN_PLACE: i64 = UNSEEN as i64;

#[cube]
fn key_bound(order: &[i32], keys: usize, tiles: usize, at: usize, #[comptime] rows: usize) -> i32 {
    let tile = at / BOUNDS;
    let (batch, first) = (tile / tiles, tile % tiles * rows);
    let mut least = i32::new(UNSEEN_PLACE);
    let mut most = i32::new(-1);
    let mut complete = first + rows <= keys;
    for row in first..min(first + rows, keys) {
        let place = order[batch * keys + row];
        if place != UNSEEN {
            least = min(least, place);
            most = max(most, place);
        } else {
            complete = false;
        }
    }
    let which = at % BOUNDS;
    let mut bound = least;
    if which == 1 {
        bound = most;
    } else if which == 2 {
        bound = select(complete, least, i32::new(-1));
    } else if which == 3 {
        bound = select(complete, most, i32::new(UNSEEN_PLACE));
    }
    bound
}

#[cube]
fn query_bound(from: &[i32], until: &[i32], queries: usize, tiles: usize, at: usize, #[comptime] rows: usize) -> i32 {
    let tile = at / BOUNDS;
    let (batch, first) = (tile / tiles, tile % tiles * rows);
    let mut first_from = i32::new(UNSEEN_PLACE);
    let mut last_until = i32::new(-1);
    let mut last_from = i32::new(-1);
    let mut first_until = i32::new(UNSEEN_PLACE);
    for row in first..min(first + rows, queries) {
        let (start, end) = (from[batch * queries + row], until[batch * queries + row]);
        if start < end {
            first_from = min(first_from, start);
            last_until = max(last_until, end);
        }
        last_from = max(last_from, start);
        first_until = min(first_until, end);
    }
    let which = at % BOUNDS;
    let mut bound = first_from;
    if which == 1 {
        bound = last_until;
    } else if which == 2 {
        bound = last_from;
    } else if which == 3 {
        bound = first_until;
    }
    bound
}

#[cube(launch_unchecked)]
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
    let key_tiles = keys.div_ceil(rows);
    let query_tiles = queries.div_ceil(rows);
    let key_bounds = all_keys / keys * key_tiles * BOUNDS;
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
pub(super) fn length(batch: usize, keys: usize, queries: usize, rows: usize) -> usize {
    batch * (keys + 2 * queries + BOUNDS * (keys.div_ceil(rows) + queries.div_ceil(rows)))
}

/// `order`: `[B, Sk]`; `from`, `until`: `[B, Sq]`; tiles of `rows` rows.
pub(super) fn packed(order: CubeTensor, from: CubeTensor, until: CubeTensor, rows: usize) -> CubeTensor {
    let [order, from, until] = [order, from, until].map(dense_ints);
    let ([batch, keys], queries) = ([dims(&order)[0], dims(&order)[1]], dims(&from)[1]);
    let count = length(batch, keys, queries, rows);
    let ranges = output(&order, [count], DType::I32);
    let (cubes, dim) = grid(&order, count);
    // SAFETY: see [`crate::gpu`].
    unsafe {
        pack::launch_unchecked(
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
        )
    }
    ranges
}

/// The range of reading order that a query sees.
#[derive(CubeType, Clone, Copy)]
pub(super) struct Range {
    from: i32,
    until: i32,
}

#[cube]
impl Range {
    pub(super) fn new(from: i32, until: i32) -> Range {
        Range { from, until }
    }

    /// Whether it holds a key of this reading order.
    pub(super) fn sees(&self, place: i32) -> bool {
        self.from <= place && place < self.until
    }
}

/// How two tiles meet: nobody sees anybody, or everybody sees everybody; 1 is anything between.
pub(super) const APART: u32 = 0;
pub(super) const WHOLLY: u32 = 2;

/// Where each part of the buffer begins, and how many rows and tiles there are.
#[derive(CubeType, Clone, Copy)]
pub(super) struct Places {
    pub(super) queries: usize,
    pub(super) keys: usize,
    pub(super) query_tiles: usize,
    pub(super) key_tiles: usize,
    pub(super) batches: usize,
    from: usize,
    until: usize,
    key_bounds: usize,
    pub(super) query_bounds: usize,
    /// Whether keys are hidden.
    #[cube(comptime)]
    hides: bool,
}

#[cube]
impl Places {
    pub(super) fn new(batches: u32, queries: u32, keys: u32, #[comptime] plan: FlashPlan) -> Places {
        let rows = comptime!(plan.rows);
        let hides = comptime!(plan.hides);
        let (batches, queries, keys) = (batches as usize, queries as usize, keys as usize);
        let query_tiles = queries.div_ceil(rows);
        let key_tiles = keys.div_ceil(rows);
        let from = batches * keys;
        let until = from + batches * queries;
        let key_bounds = until + batches * queries;
        let query_bounds = key_bounds + batches * key_tiles * BOUNDS;
        Places { queries, keys, query_tiles, key_tiles, batches, from, until, key_bounds, query_bounds, hides }
    }

    /// How a tile of queries meets one of keys.
    pub(super) fn meeting(&self, ranges: &[i32], batch: usize, query_tile: usize, key_tile: usize) -> u32 {
        let (query, key) = (self.query_bound(batch, query_tile), self.key_bound(batch, key_tile));
        let some = ranges[key + 1] >= ranges[query] && ranges[key] < ranges[query + 1];
        let all = ranges[query + 2] <= ranges[key + 2] && ranges[key + 3] < ranges[query + 3];
        let mut meeting = 0u32;
        if some {
            meeting = 1u32;
            if all {
                meeting = 2u32;
            }
        }
        if comptime!(self.hides) {
            meeting = self.less_hidden(ranges, batch, query_tile, key_tile, meeting);
        }
        meeting
    }

    fn key_bound(&self, batch: usize, tile: usize) -> usize {
        self.key_bounds + (batch * self.key_tiles + tile) * BOUNDS
    }

    fn query_bound(&self, batch: usize, tile: usize) -> usize {
        self.query_bounds + (batch * self.query_tiles + tile) * BOUNDS
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

/// Notes how a tile of queries meets those of keys from `start` on, one tile for each unit.
#[cube]
pub(super) fn survey_keys(
    ranges: &[i32],
    places: &Places,
    batch: usize,
    query_tile: usize,
    start: usize,
    meetings: &mut Shared<[u32]>,
) {
    let tile = start + UNIT_POS as usize;
    let mut meeting = 0u32;
    if tile < places.key_tiles {
        meeting = places.meeting(ranges, batch, query_tile, tile);
    }
    note(meeting, meetings);
}

/// Notes how a tile of keys meets those of queries from `start` on, one tile for each unit.
#[cube]
pub(super) fn survey_queries(
    ranges: &[i32],
    places: &Places,
    batch: usize,
    key_tile: usize,
    start: usize,
    meetings: &mut Shared<[u32]>,
) {
    let tile = start + UNIT_POS as usize;
    let mut meeting = 0u32;
    if tile < places.query_tiles {
        meeting = places.meeting(ranges, batch, tile, key_tile);
    }
    note(meeting, meetings);
}

#[cube]
fn note(meeting: u32, meetings: &mut Shared<[u32]>) {
    // Whoever still reads those before is done first.
    sync_cube();
    meetings[UNIT_POS as usize] = meeting;
    sync_cube();
}
