//! From scores to weights: what each unit does with its part of the rows of a tile of scores.
//!
//! `masked` is false where every query of the tile sees every key, so that nothing need be compared.

use cubecl::prelude::*;

use super::super::plan::{FlashPlan, VECTOR};
use super::super::ranges::{Places, Range};
use super::super::rows::{QueryColumns, QueryColumnsExpand};
use super::tile::{score_column, score_row};

/// The ranges of a unit's rows of scores, the rows being queries.
#[derive(CubeType)]
pub(super) struct RowRanges {
    from: Array<i32>,
    until: Array<i32>,
}

#[cube]
impl RowRanges {
    pub(super) fn new(
        ranges: &[i32],
        places: &Places,
        batch: usize,
        tile: usize,
        #[comptime] plan: FlashPlan,
    ) -> RowRanges {
        let mut from = Array::<i32>::new(comptime!(plan.rows_per_unit()));
        let mut until = Array::<i32>::new(comptime!(plan.rows_per_unit()));
        #[unroll]
        for index in 0..comptime!(plan.rows_per_unit()) {
            let row = tile * comptime!(plan.rows) + score_row(index, plan);
            from[index] = places.from(ranges, batch, row);
            until[index] = places.until(ranges, batch, row);
        }
        RowRanges { from, until }
    }

    pub(super) fn range(&self, #[comptime] index: usize) -> Range {
        Range::new(self.from[index], self.until[index])
    }
}

/// A vector of scores, scaled.
#[cube]
pub(super) fn score<N: Size>(
    scores: &Shared<[Vector<f32, N>]>,
    scale: f32,
    #[comptime] index: usize,
    #[comptime] part: usize,
    #[comptime] plan: FlashPlan,
) -> Vector<f32, N> {
    let (row, column) = (score_row(index, plan), score_column(part, plan));
    scores[row * comptime!(plan.wide_stride() / VECTOR) + column] * Vector::new(scale)
}

/// The largest score that a query's row has, over all units that share it; far below any score if there is none.
#[cube]
pub(super) fn peak<N: Size>(
    scores: &Shared<[Vector<f32, N>]>,
    order: &Shared<[i32]>,
    range: &Range,
    scale: f32,
    #[comptime] index: usize,
    #[comptime] masked: bool,
    #[comptime] plan: FlashPlan,
) -> f32 {
    let mut peak = f32::new(-1e30);
    #[unroll]
    for part in 0..comptime!(plan.vectors_per_unit()) {
        let value = score(scores, scale, index, part, plan);
        let first = score_column(part, plan) * comptime!(VECTOR);
        #[unroll]
        for lane in 0..comptime!(VECTOR) {
            if comptime!(masked) {
                if range.sees(order[first + lane]) {
                    peak = max(peak, value.extract(lane));
                }
            } else {
                peak = max(peak, value.extract(lane));
            }
        }
    }
    shared_max(peak, plan)
}

/// The largest `value` of the units that share a row; they lie side by side in a plane.
#[cube]
fn shared_max(value: f32, #[comptime] plan: FlashPlan) -> f32 {
    let mut most = value;
    #[unroll]
    for power in 0..comptime!(plan.units_per_row().ilog2()) {
        most = max(most, plane_shuffle_xor(most, comptime!(1u32 << power)));
    }
    most
}

/// The sum of `value` over the units that share a row.
#[cube]
pub(super) fn shared_sum(value: f32, #[comptime] plan: FlashPlan) -> f32 {
    let mut sum = value;
    #[unroll]
    for power in 0..comptime!(plan.units_per_row().ilog2()) {
        sum += plane_shuffle_xor(sum, comptime!(1u32 << power));
    }
    sum
}

/// `e^(s − reference)` of a vector of a query's row, 0 where it does not see the key.
#[cube]
pub(super) fn weights_of_query<N: Size>(
    value: Vector<f32, N>,
    order: &Shared<[i32]>,
    range: &Range,
    reference: f32,
    #[comptime] part: usize,
    #[comptime] masked: bool,
    #[comptime] plan: FlashPlan,
) -> Vector<f32, N> {
    let mut weight = (value - Vector::new(reference)).exp();
    if comptime!(masked) {
        let first = score_column(part, plan) * comptime!(VECTOR);
        #[unroll]
        for lane in 0..comptime!(VECTOR) {
            weight.insert(lane, select(range.sees(order[first + lane]), weight.extract(lane), 0f32));
        }
    }
    weight
}

#[cube]
impl QueryColumns {
    /// `e^(s − L)` of a vector of a key's row, 0 where the query does not see the key, whose reading order is `place`.
    pub(super) fn weights<N: Size>(
        &self,
        value: Vector<f32, N>,
        place: i32,
        #[comptime] part: usize,
        #[comptime] masked: bool,
        #[comptime] plan: FlashPlan,
    ) -> Vector<f32, N> {
        let first = score_column(part, plan) * comptime!(VECTOR);
        let mut less = Vector::<f32, N>::new(0f32);
        #[unroll]
        for lane in 0..comptime!(VECTOR) {
            less.insert(lane, self.log_sums[first + lane]);
        }
        let mut weight = (value - less).exp();
        if comptime!(masked) {
            #[unroll]
            for lane in 0..comptime!(VECTOR) {
                let query = first + lane;
                let sees = self.from[query] <= place && place < self.until[query];
                weight.insert(lane, select(sees, weight.extract(lane), 0f32));
            }
        }
        weight
    }

    /// `δ` of a vector's queries.
    pub(super) fn deltas_of<N: Size>(&self, #[comptime] part: usize, #[comptime] plan: FlashPlan) -> Vector<f32, N> {
        let first = score_column(part, plan) * comptime!(VECTOR);
        let mut deltas = Vector::<f32, N>::new(0f32);
        #[unroll]
        for lane in 0..comptime!(VECTOR) {
            deltas.insert(lane, self.deltas[first + lane]);
        }
        deltas
    }
}
