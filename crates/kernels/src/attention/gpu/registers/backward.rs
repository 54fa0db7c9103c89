//! The backward pass, as [`super::super::passes`] has its formulas: gradients of the queries by cubes that own queries, those of
//! keys and values by cubes that own keys. Both take the other side's rows 16 at a time, so few scores are held at once.

use cubecl::ir::ElemType;
use cubecl::prelude::*;

use super::super::plan::FlashPlan;
use super::super::ranges::{APART, Places, Range, WHOLLY, survey_keys, survey_queries};
use super::super::rows::{HeadRows, QueryColumns, QueryColumnsExpand, load_both, load_order, stat};
use super::fragments::{BLOCK, Sums, accumulate, accumulators, as_left, column_of, lefts, push_scores, row_of, write};

/// What a unit knows of the two queries whose rows it holds parts of.
#[derive(CubeType)]
struct Queries {
    from: Array<i32>,
    until: Array<i32>,
    log_sums: Array<f32>,
    deltas: Array<f32>,
}

#[cube]
impl Queries {
    #[allow(clippy::too_many_arguments)] // A kernel's arguments come one by one.
    fn new(
        ranges: &[i32],
        stats: &[f32],
        places: &Places,
        batch: usize,
        head: usize,
        tile: usize,
        #[comptime] plan: FlashPlan,
    ) -> Queries {
        let heads_before = (batch * comptime!(plan.heads) + head) * places.queries;
        let mut from = Array::<i32>::new(2usize);
        let mut until = Array::<i32>::new(2usize);
        let mut log_sums = Array::<f32>::new(2usize);
        let mut deltas = Array::<f32>::new(2usize);
        #[unroll]
        for half in 0..2usize {
            let row = tile * comptime!(plan.rows) + row_of(half);
            from[half] = places.from(ranges, batch, row);
            until[half] = places.until(ranges, batch, row);
            log_sums[half] = stat(stats, heads_before, row, places.queries);
            deltas[half] = stat(stats, heads_before + stats.len() / 2, row, places.queries);
        }
        Queries { from, until, log_sums, deltas }
    }

    /// `ds` of a fragment, in the place of its scores; `pulls` has `d_out · v`.
    fn push<P: Size>(
        &self,
        scores: &mut Sums<P>,
        pulls: &Sums<P>,
        order: &Shared<[i32]>,
        scale: f32,
        all: bool,
        #[comptime] index: usize,
    ) {
        let column = column_of(index);
        #[unroll]
        for half in 0..2usize {
            let mut weight = (scores[half] * Vector::new(scale) - Vector::new(self.log_sums[half])).exp();
            if !all {
                let range = Range::new(self.from[half], self.until[half]);
                #[unroll]
                for side in 0..2usize {
                    let sees = range.sees(order[column + side]);
                    weight.insert(side, select(sees, weight.extract(side), 0f32));
                }
            }
            scores[half] = weight * (pulls[half] - Vector::new(self.deltas[half])) * Vector::new(scale);
        }
    }
}

#[cube(launch_unchecked)]
pub(in super::super) fn query_gradients<G: Float, F: Float, N: Size, P: Size>(
    q: &[Vector<G, N>],
    k: &[Vector<G, N>],
    v: &[Vector<G, N>],
    d_out: &[Vector<G, N>],
    ranges: &[i32],
    stats: &[f32],
    dq: &mut [Vector<G, P>],
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

    load_both(q, d_out, &queries, tile, &mut key_tile, &mut value_tile, plan);
    sync_cube();
    let query = lefts::<F, N, P>(&key_tile, plan);
    let pull = lefts::<F, N, P>(&value_tile, plan);
    let mine = Queries::new(ranges, stats, &places, batch, head, tile, plan);
    let mut gradient = accumulators::<P>(plan);
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
                let all = meeting == WHOLLY;
                #[unroll]
                for block in 0..comptime!(plan.rows / BLOCK) {
                    let mut pushes = Sequence::<Sums<P>>::new();
                    let mut pulls = Sequence::<Sums<P>>::new();
                    push_scores::<F, N, P>(&query, &key_tile, &mut pushes, block, plan);
                    push_scores::<F, N, P>(&pull, &value_tile, &mut pulls, block, plan);
                    #[unroll]
                    for which in 0..2usize {
                        let index = comptime!(2 * block + which);
                        mine.push(pushes.index_mut(which), pulls.index(which), &order, scale, all, index);
                    }
                    let factor = as_left::<F, P>(&pushes, 0usize);
                    accumulate::<F, N, P>(&mut gradient, &factor, &key_tile, block, plan);
                }
            }
        }
    }
    write(&gradient, &ones(), dq, &queries, tile, plan);
}

/// Factors of rows that are written as they are.
#[cube]
fn ones() -> Array<f32> {
    let mut factors = Array::<f32>::new(2usize);
    factors[0] = 1f32;
    factors[1] = 1f32;
    factors
}

#[cube]
impl QueryColumns {
    /// Turns scores into weights; `order` has the reading order of the unit's two keys.
    fn weigh<P: Size>(
        &self,
        scores: &mut Sums<P>,
        order: &Array<i32>,
        scale: f32,
        all: bool,
        #[comptime] index: usize,
    ) {
        let column = column_of(index);
        let mut less = Vector::<f32, P>::new(0f32);
        less.insert(0usize, self.log_sums[column]);
        less.insert(1usize, self.log_sums[column + 1]);
        #[unroll]
        for half in 0..2usize {
            let mut weight = (scores[half] * Vector::new(scale) - less).exp();
            if !all {
                #[unroll]
                for side in 0..2usize {
                    let sees = self.from[column + side] <= order[half] && order[half] < self.until[column + side];
                    weight.insert(side, select(sees, weight.extract(side), 0f32));
                }
            }
            scores[half] = weight;
        }
    }

    /// Turns weights into `ds`; `pulls` has `v · d_out`.
    fn push<P: Size>(&self, weights: &mut Sums<P>, pulls: &Sums<P>, scale: f32, #[comptime] index: usize) {
        let column = column_of(index);
        let mut deltas = Vector::<f32, P>::new(0f32);
        deltas.insert(0usize, self.deltas[column]);
        deltas.insert(1usize, self.deltas[column + 1]);
        #[unroll]
        for half in 0..2usize {
            weights[half] = weights[half] * (pulls[half] - deltas) * Vector::new(scale);
        }
    }
}

#[cube(launch_unchecked)]
pub(in super::super) fn key_gradients<G: Float, F: Float, N: Size, P: Size>(
    q: &[Vector<G, N>],
    k: &[Vector<G, N>],
    v: &[Vector<G, N>],
    d_out: &[Vector<G, N>],
    ranges: &[i32],
    stats: &[f32],
    dk: &mut [Vector<G, P>],
    dv: &mut [Vector<G, P>],
    query_count: u32,
    key_count: u32,
    scale: f32,
    #[comptime] plan: FlashPlan,
    #[define(G, F)] _dtypes: [ElemType; 2],
) {
    let (tile, kv_head, batch) = (CUBE_POS_X as usize, CUBE_POS_Y as usize, CUBE_POS_Z as usize);
    let places = Places::new(CUBE_COUNT_Z, query_count, key_count, plan);
    let keys = HeadRows::of_keys(&places, batch, kv_head, plan);
    let vectors = comptime!(plan.rows * plan.head_stride() / plan.vector);
    let mut query_tile = Shared::<[Vector<F, N>]>::new_aligned_slice(vectors, 16usize);
    let mut pull_tile = Shared::<[Vector<F, N>]>::new_aligned_slice(vectors, 16usize);
    let mut columns = QueryColumns::new(plan);
    let mut meetings = Shared::<[u32]>::new_slice(comptime!(plan.units));

    load_both(k, v, &keys, tile, &mut query_tile, &mut pull_tile, plan);
    sync_cube();
    let key = lefts::<F, N, P>(&query_tile, plan);
    let value = lefts::<F, N, P>(&pull_tile, plan);
    let mut order = Array::<i32>::new(2usize);
    #[unroll]
    for half in 0..2usize {
        order[half] = places.order(ranges, batch, tile * comptime!(plan.rows) + row_of(half));
    }
    let mut key_gradient = accumulators::<P>(plan);
    let mut value_gradient = accumulators::<P>(plan);
    for chunk in 0..(places.query_tiles + comptime!(plan.units - 1)) / comptime!(plan.units) {
        let start = chunk * comptime!(plan.units);
        survey_queries(ranges, &places, batch, tile, start, &mut meetings);
        for index in 0..min(places.query_tiles - start, comptime!(plan.units)) {
            let (other, meeting) = (start + index, meetings[index]);
            if meeting != APART {
                let all = meeting == WHOLLY;
                // The queries of all heads that share this key head.
                for member in 0..comptime!(plan.group) {
                    let head = kv_head * comptime!(plan.group) + member;
                    let queries = HeadRows::of_queries(&places, batch, head, plan);
                    sync_cube();
                    load_both(q, d_out, &queries, other, &mut query_tile, &mut pull_tile, plan);
                    columns.load(ranges, stats, &places, batch, head, other, plan);
                    sync_cube();
                    #[unroll]
                    for block in 0..comptime!(plan.rows / BLOCK) {
                        let mut weights = Sequence::<Sums<P>>::new();
                        push_scores::<F, N, P>(&key, &query_tile, &mut weights, block, plan);
                        #[unroll]
                        for which in 0..2usize {
                            let index = comptime!(2 * block + which);
                            columns.weigh(weights.index_mut(which), &order, scale, all, index);
                        }
                        let factor = as_left::<F, P>(&weights, 0usize);
                        accumulate::<F, N, P>(&mut value_gradient, &factor, &pull_tile, block, plan);
                        let mut pulls = Sequence::<Sums<P>>::new();
                        push_scores::<F, N, P>(&value, &pull_tile, &mut pulls, block, plan);
                        #[unroll]
                        for which in 0..2usize {
                            let index = comptime!(2 * block + which);
                            columns.push(weights.index_mut(which), pulls.index(which), scale, index);
                        }
                        let factor = as_left::<F, P>(&weights, 0usize);
                        accumulate::<F, N, P>(&mut key_gradient, &factor, &query_tile, block, plan);
                    }
                }
            }
        }
    }
    write(&key_gradient, &ones(), dk, &keys, tile, plan);
    write(&value_gradient, &ones(), dv, &keys, tile, plan);
}
