//! Rows of heads on their way from memory into tiles, and the reading order of keys.

use cubecl::prelude::*;

use super::plan::FlashPlan;
use super::ranges::Places;

/// The rows of one head in `[B, S, heads, Dh]`.
#[derive(CubeType, Clone, Copy)]
pub(super) struct HeadRows {
    /// The first row of the batch's element.
    pub(super) start: usize,
    /// Rows of the batch's element.
    pub(super) rows: usize,
    pub(super) heads: usize,
    pub(super) head: usize,
}

#[cube]
impl HeadRows {
    /// The queries of a head.
    pub(super) fn of_queries(places: &Places, batch: usize, head: usize, #[comptime] plan: FlashPlan) -> HeadRows {
        HeadRows { start: batch * places.queries, rows: places.queries, heads: comptime!(plan.heads).runtime(), head }
    }

    /// The keys of a key head, or its values.
    pub(super) fn of_keys(places: &Places, batch: usize, head: usize, #[comptime] plan: FlashPlan) -> HeadRows {
        HeadRows {
            start: batch * places.keys,
            rows: places.keys,
            heads: comptime!(plan.heads / plan.group).runtime(),
            head,
        }
    }

    /// The first vector of a row, where a head has `width` of them.
    pub(super) fn place(&self, row: usize, #[comptime] width: usize) -> usize {
        ((self.start + row) * self.heads + self.head) * width
    }
}

/// A unit's part of a tile of heads, on its way from memory: all of it is asked for before any of it is waited for.
#[cube]
pub(super) fn fetch<G: Float, F: Float, N: Size>(
    source: &[Vector<G, N>],
    rows: &HeadRows,
    tile: usize,
    #[comptime] plan: FlashPlan,
) -> Array<Vector<F, N>> {
    let width = comptime!(plan.head_dim / plan.vector);
    let mut values = Array::<Vector<F, N>>::new(comptime!(plan.loads()));
    #[unroll]
    for index in 0..comptime!(plan.loads()) {
        let at = UNIT_POS as usize + comptime!(index * plan.units);
        let (row, column) = (at / width, at % width);
        let mut value = Vector::<F, N>::new(F::new(0.0));
        let global = tile * comptime!(plan.rows) + row;
        // Rows beyond the last are zero.
        if global < rows.rows {
            value = Vector::cast_from(source[rows.place(global, width) + column]);
        }
        values[index] = value;
    }
    values
}

/// Puts what was fetched into shared memory, row by row.
#[cube]
pub(super) fn put_rows<F: Float, N: Size>(
    values: &Array<Vector<F, N>>,
    target: &mut Shared<[Vector<F, N>]>,
    #[comptime] plan: FlashPlan,
) {
    let width = comptime!(plan.head_dim / plan.vector);
    #[unroll]
    for index in 0..comptime!(plan.loads()) {
        let at = UNIT_POS as usize + comptime!(index * plan.units);
        target[at / width * comptime!(plan.head_stride() / plan.vector) + at % width] = values[index];
    }
}

/// Loads the same rows of two sources: those of both are asked for before either are waited for.
#[cube]
pub(super) fn load_both<G: Float, F: Float, N: Size>(
    first: &[Vector<G, N>],
    second: &[Vector<G, N>],
    rows: &HeadRows,
    tile: usize,
    first_target: &mut Shared<[Vector<F, N>]>,
    second_target: &mut Shared<[Vector<F, N>]>,
    #[comptime] plan: FlashPlan,
) {
    let first_values = fetch::<G, F, N>(first, rows, tile, plan);
    let second_values = fetch::<G, F, N>(second, rows, tile, plan);
    put_rows(&first_values, first_target, plan);
    put_rows(&second_values, second_target, plan);
}

/// Loads the reading order of a tile of keys, and where keys are hidden, behind it from where on.
#[cube]
pub(super) fn load_order(
    ranges: &[i32],
    places: &Places,
    batch: usize,
    tile: usize,
    order: &mut Shared<[i32]>,
    #[comptime] plan: FlashPlan,
) {
    let mut at = UNIT_POS as usize;
    while at < comptime!(plan.rows) {
        let row = tile * comptime!(plan.rows) + at;
        order[at] = places.order(ranges, batch, row);
        if comptime!(plan.hides) {
            order[comptime!(plan.rows) + at] = places.hidden_from(ranges, batch, row);
        }
        at += comptime!(plan.units);
    }
}

/// A number of a row; 0 beyond the last row.
#[cube]
pub(super) fn stat(stats: &[f32], start: usize, row: usize, rows: usize) -> f32 {
    let mut value = 0f32;
    if row < rows {
        value = stats[start + row];
    }
    value
}

/// What a tile of queries is for a cube that owns keys: range, `L` and `δ` of each.
#[derive(CubeType)]
pub(super) struct QueryColumns {
    pub(super) from: Shared<[i32]>,
    /// Where keys are hidden, with the places of the queries behind.
    pub(super) until: Shared<[i32]>,
    pub(super) log_sums: Shared<[f32]>,
    pub(super) deltas: Shared<[f32]>,
}

#[cube]
impl QueryColumns {
    pub(super) fn new(#[comptime] plan: FlashPlan) -> QueryColumns {
        QueryColumns {
            from: Shared::<[i32]>::new_slice(comptime!(plan.rows)),
            until: Shared::<[i32]>::new_slice(comptime!(plan.row_numbers())),
            log_sums: Shared::<[f32]>::new_slice(comptime!(plan.rows)),
            deltas: Shared::<[f32]>::new_slice(comptime!(plan.rows)),
        }
    }

    /// Loads those of a head's tile of queries; `stats` has `L` and `δ` of all rows.
    #[allow(clippy::too_many_arguments)] // A kernel's arguments come one by one.
    pub(super) fn load(
        &mut self,
        ranges: &[i32],
        stats: &[f32],
        places: &Places,
        batch: usize,
        head: usize,
        tile: usize,
        #[comptime] plan: FlashPlan,
    ) {
        let heads_before = (batch * comptime!(plan.heads) + head) * places.queries;
        let mut at = UNIT_POS as usize;
        while at < comptime!(plan.rows) {
            let row = tile * comptime!(plan.rows) + at;
            self.from[at] = places.from(ranges, batch, row);
            self.until[at] = places.until(ranges, batch, row);
            if comptime!(plan.hides) {
                self.until[comptime!(plan.rows) + at] = places.place(ranges, batch, row);
            }
            self.log_sums[at] = stat(stats, heads_before, row, places.queries);
            self.deltas[at] = stat(stats, heads_before + stats.len() / 2, row, places.queries);
            at += comptime!(plan.units);
        }
    }
}
