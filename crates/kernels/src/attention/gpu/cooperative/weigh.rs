//! From scores to weights: what each unit does with its part of the rows of a tile of scores.
//!
//! `masked` is false where every query of the tile sees every key, so that nothing need be compared.

use cubecl::prelude::*;

use super::super::plan::{FlashPlan, VECTOR};
use super::super::ranges::{Places, Range};
use super::super::rows::{QueryColumns, QueryColumnsExpand};
use super::tile::{score_column, score_row};

/// What a query sees.
#[derive(CubeType, Clone, Copy)]
pub(super) struct Sight {
    range: Range,
    /// Where the query stands itself; asked for only where keys are hidden.
    place: i32,
}

#[cube]
impl Sight {
    /// Whether it sees a key of a tile; `order` as [`super::super::rows::load_order`] leaves it.
    fn sees(&self, order: &Shared<[i32]>, key: usize, #[comptime] plan: FlashPlan) -> bool {
        let mut sees = self.range.sees(order[key]);
        if comptime!(plan.hides) {
            sees = sees && self.place < order[comptime!(plan.rows) + key];
        }
        sees
    }
}

/// What a unit's rows of scores see, the rows being queries.
#[derive(CubeType)]
pub(super) struct RowRanges {
    from: Array<i32>,
    until: Array<i32>,
    place: Array<i32>,
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
        let mut place = Array::<i32>::new(comptime!(plan.rows_per_unit()));
        #[unroll]
        for index in 0..comptime!(plan.rows_per_unit()) {
            let row = tile * comptime!(plan.rows) + score_row(index, plan);
            from[index] = places.from(ranges, batch, row);
            until[index] = places.until(ranges, batch, row);
            place[index] = 0i32;
            if comptime!(plan.hides) {
                place[index] = places.place(ranges, batch, row);
            }
        }
        RowRanges { from, until, place }
    }

    pub(super) fn sight(&self, #[comptime] index: usize) -> Sight {
        Sight { range: Range::new(self.from[index], self.until[index]), place: self.place[index] }
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
    sight: &Sight,
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
                if sight.sees(order, first + lane, plan) {
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
    sight: &Sight,
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
            weight.insert(lane, select(sight.sees(order, first + lane, plan), weight.extract(lane), 0f32));
        }
    }
    weight
}

#[cube]
impl QueryColumns {
    /// `e^(s − L)` of a vector of a key's row, 0 where the query does not see the key, whose reading order is `place` and which is
    /// hidden from `hidden_from` on, where keys are hidden.
    pub(super) fn weights<N: Size>(
        &self,
        value: Vector<f32, N>,
        place: i32,
        hidden_from: i32,
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
                let mut sees = self.from[query] <= place && place < self.until[query];
                if comptime!(plan.hides) {
                    sees = sees && self.until[comptime!(plan.rows) + query] < hidden_from;
                }
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
