//! The forward pass, as [`super::super::passes`] has its formulas.

use cubecl::ir::ElemType;
use cubecl::prelude::*;

use super::super::passes::{BLIND, UNSET};
use super::super::plan::FlashPlan;
use super::super::ranges::{APART, Places, Range, WHOLLY, survey_keys};
use super::super::rows::{HeadRows, fetch, load_both, load_order, put_rows};
use super::fragments::{
    BLOCK, Sums, accumulate, accumulators, as_left, column_of, lefts, push_scores, row_max, row_of, row_sum, write,
};

/// The lowest reference that is subtracted: far below any score, far above [`UNSET`].
const LOWEST: f32 = -1e20;

/// What a unit knows of the two rows that it holds parts of.
#[derive(CubeType)]
struct Rows {
    from: Array<i32>,
    until: Array<i32>,
    /// What is subtracted from their scores: the largest so far.
    references: Array<f32>,
    /// Of this unit's weights alone.
    sums: Array<f32>,
}

#[cube]
impl Rows {
    fn new(ranges: &[i32], places: &Places, batch: usize, tile: usize, #[comptime] plan: FlashPlan) -> Rows {
        let mut from = Array::<i32>::new(2usize);
        let mut until = Array::<i32>::new(2usize);
        let mut references = Array::<f32>::new(2usize);
        let mut sums = Array::<f32>::new(2usize);
        #[unroll]
        for half in 0..2usize {
            let row = tile * comptime!(plan.rows) + row_of(half);
            from[half] = places.from(ranges, batch, row);
            until[half] = places.until(ranges, batch, row);
            references[half] = f32::new(UNSET);
            sums[half] = 0f32;
        }
        Rows { from, until, references, sums }
    }
}

/// Puts the scores of keys that their query does not see far below any.
#[cube]
fn mask<P: Size>(scores: &mut Sums<P>, order: &Shared<[i32]>, rows: &Rows, #[comptime] index: usize) {
    let column = column_of(index);
    let (first, second) = (order[column], order[column + 1]);
    #[unroll]
    for half in 0..2usize {
        let range = Range::new(rows.from[half], rows.until[half]);
        let mut value = scores[half];
        value.insert(0usize, select(range.sees(first), value.extract(0usize), f32::new(UNSET)));
        value.insert(1usize, select(range.sees(second), value.extract(1usize), f32::new(UNSET)));
        scores[half] = value;
    }
}

/// Raises the references of both rows to their largest score, and scales down what was gathered under lower ones.
#[cube]
fn raise<P: Size>(
    rows: &mut Rows,
    scores: &Sequence<Sums<P>>,
    gathered: &mut Sequence<Sums<P>>,
    scale: f32,
    #[comptime] plan: FlashPlan,
) {
    #[unroll]
    for half in 0..2usize {
        let mut most = f32::new(UNSET);
        #[unroll]
        for index in 0..comptime!(plan.rows / 8) {
            let value = scores.index(index)[half];
            most = max(most, max(value.extract(0usize), value.extract(1usize)));
        }
        let peak = max(rows.references[half], row_max(most) * scale);
        let factor = (rows.references[half] - peak).exp();
        rows.references[half] = peak;
        rows.sums[half] = rows.sums[half] * factor;
        #[unroll]
        for index in 0..comptime!(plan.head_dim / 8) {
            let sums = gathered.index_mut(index);
            sums[half] = sums[half] * Vector::new(factor);
        }
    }
}

/// Turns scores into weights and adds those to the sums of their rows.
#[cube]
fn weigh<P: Size>(scores: &mut Sums<P>, rows: &mut Rows, scale: f32) {
    #[unroll]
    for half in 0..2usize {
        // The scores of a row that has seen nothing yet are as low as its reference, and must weigh nothing all the same.
        let reference = max(rows.references[half], f32::new(LOWEST));
        let weight = (scores[half] * Vector::new(scale) - Vector::new(reference)).exp();
        rows.sums[half] = rows.sums[half] + weight.extract(0usize) + weight.extract(1usize);
        scores[half] = weight;
    }
}

#[cube(launch_unchecked)]
pub(in super::super) fn attend<G: Float, F: Float, N: Size, P: Size>(
    q: &[Vector<G, N>],
    k: &[Vector<G, N>],
    v: &[Vector<G, N>],
    ranges: &[i32],
    out: &mut [Vector<G, P>],
    log_sums: &mut [f32],
    query_count: u32,
    key_count: u32,
    scale: f32,
    #[comptime] plan: FlashPlan,
    #[define(G, F)] _dtypes: [ElemType; 2],
) {
    let (tile, head, batch) = (CUBE_POS_X as usize, CUBE_POS_Y as usize, CUBE_POS_Z as usize);
    let places = Places::new(CUBE_COUNT_Z, query_count, key_count, plan);
    let queries = HeadRows::of_queries(&places, batch, head, plan);
    let keys = HeadRows::of_keys(&places, batch, head / comptime!(plan.group), plan);
    let vectors = comptime!(plan.rows * plan.head_stride() / plan.vector);
    let mut key_tile = Shared::<[Vector<F, N>]>::new_aligned_slice(vectors, 16usize);
    let mut value_tile = Shared::<[Vector<F, N>]>::new_aligned_slice(vectors, 16usize);
    let mut order = Shared::<[i32]>::new_slice(comptime!(plan.rows));
    let mut meetings = Shared::<[u32]>::new_slice(comptime!(plan.units));

    let query_rows = fetch::<G, F, N>(q, &queries, tile, plan);
    put_rows(&query_rows, &mut key_tile, plan);
    sync_cube();
    let query = lefts::<F, N, P>(&key_tile, plan);

    let mut rows = Rows::new(ranges, &places, batch, tile, plan);
    let mut gathered = accumulators::<P>(plan);
    // How the tiles meet is found out by all units at once, as many tiles at a time as there are units.
    for chunk in 0..(places.key_tiles + comptime!(plan.units - 1)) / comptime!(plan.units) {
        let start = chunk * comptime!(plan.units);
        survey_keys(ranges, &places, batch, tile, start, &mut meetings);
        for index in 0..min(places.key_tiles - start, comptime!(plan.units)) {
            let (other, meeting) = (start + index, meetings[index]);
            if meeting != APART {
                sync_cube();
                load_both(k, v, &keys, other, &mut key_tile, &mut value_tile, plan);
                load_order(ranges, &places, batch, other, &mut order, plan);
                sync_cube();
                let mut scores = Sequence::<Sums<P>>::new();
                #[unroll]
                for block in 0..comptime!(plan.rows / BLOCK) {
                    push_scores::<F, N, P>(&query, &key_tile, &mut scores, block, plan);
                }
                if meeting != WHOLLY {
                    #[unroll]
                    for index in 0..comptime!(plan.rows / 8) {
                        mask(scores.index_mut(index), &order, &rows, index);
                    }
                }
                raise(&mut rows, &scores, &mut gathered, scale, plan);
                #[unroll]
                for block in 0..comptime!(plan.rows / BLOCK) {
                    weigh(scores.index_mut(comptime!(2 * block)), &mut rows, scale);
                    weigh(scores.index_mut(comptime!(2 * block + 1)), &mut rows, scale);
                    let weights = as_left::<F, P>(&scores, comptime!(2 * block));
                    accumulate::<F, N, P>(&mut gathered, &weights, &value_tile, block, plan);
                }
            }
        }
    }

    let mut factors = Array::<f32>::new(2usize);
    #[unroll]
    for half in 0..2usize {
        let sum = row_sum(rows.sums[half]);
        let mut log = f32::new(BLIND);
        factors[half] = 0f32;
        if sum > 0f32 {
            log = rows.references[half] + sum.ln();
            factors[half] = 1f32 / sum;
        }
        let row = tile * comptime!(plan.rows) + row_of(half);
        if UNIT_POS_PLANE % 4 == 0 && row < places.queries {
            log_sums[(batch * comptime!(plan.heads) + head) * places.queries + row] = log;
        }
    }
    write(&gathered, &factors, out, &queries, tile, plan);
}
