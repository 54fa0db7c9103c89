//! The backward pass, as [`super::super::passes`] has its formulas: gradients of the queries by cubes that own queries, those of
//! keys and values by cubes that own keys.

use cubecl::ir::ElemType;
use cubecl::prelude::*;

use super::super::plan::{FlashPlan, VECTOR};
use super::super::ranges::{APART, Places, WHOLLY, survey_keys, survey_queries};
use super::super::rows::{HeadRows, QueryColumns, load_both, load_order, stat};
use super::tile::{accumulate, accumulators, lefts, ones, score_column, score_row, scores_of, write};
use super::weigh::{RowRanges, score, weights_of_query};

#[cube(launch_unchecked)]
pub(in super::super) fn query_gradients<G: Float, F: Float, N: Size>(
    q: &[Vector<G, N>],
    k: &[Vector<G, N>],
    v: &[Vector<G, N>],
    d_out: &[Vector<G, N>],
    ranges: &[i32],
    stats: &[f32],
    dq: &mut [Vector<G, N>],
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
    let stride = comptime!(plan.head_stride());
    let mut key_tile = Shared::<[Vector<F, N>]>::new_slice(comptime!(plan.rows * stride / VECTOR));
    let mut value_tile = Shared::<[Vector<F, N>]>::new_slice(comptime!(plan.rows * stride / VECTOR));
    let mut bounce = Shared::<[Vector<F, N>]>::new_slice(comptime!(plan.rows * plan.wide_stride() / VECTOR));
    let mut scores = Shared::<[Vector<f32, N>]>::new_slice(comptime!(plan.rows * plan.wide_stride() / VECTOR));
    let mut order = Shared::<[i32]>::new_slice(comptime!(plan.row_numbers()));
    let mut meetings = Shared::<[u32]>::new_slice(comptime!(plan.units));
    let mut factors = Shared::<[f32]>::new_slice(comptime!(plan.rows));
    ones(&mut factors, plan);

    let query = lefts(q, &queries, tile, &mut bounce, plan);
    sync_cube();
    let pull = lefts(d_out, &queries, tile, &mut bounce, plan);

    let mut weights = Array::<Vector<f32, N>>::new(comptime!(plan.scores_per_unit()));
    let mut gradient = accumulators(plan);
    let heads_before = (batch * comptime!(plan.heads) + head) * places.queries;
    let mine = RowRanges::new(ranges, &places, batch, tile, plan);
    let mut log_sums = Array::<f32>::new(comptime!(plan.rows_per_unit()));
    let mut deltas = Array::<f32>::new(comptime!(plan.rows_per_unit()));
    #[unroll]
    for index in 0..comptime!(plan.rows_per_unit()) {
        let row = tile * comptime!(plan.rows) + score_row(index, plan);
        log_sums[index] = stat(stats, heads_before, row, places.queries);
        deltas[index] = stat(stats, heads_before + stats.len() / 2, row, places.queries);
    }
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
                scores_of(&query, &key_tile, &mut scores, plan);
                sync_cube();
                let all = meeting == WHOLLY;
                #[unroll]
                for index in 0..comptime!(plan.rows_per_unit()) {
                    let sight = mine.sight(index);
                    #[unroll]
                    for part in 0..comptime!(plan.vectors_per_unit()) {
                        let value = score(&scores, scale, index, part, plan);
                        let weight = if all {
                            weights_of_query(value, &order, &sight, log_sums[index], part, false, plan)
                        } else {
                            weights_of_query(value, &order, &sight, log_sums[index], part, true, plan)
                        };
                        weights[comptime!(index * plan.vectors_per_unit() + part)] = weight;
                    }
                }
                sync_cube();
                scores_of(&pull, &value_tile, &mut scores, plan);
                sync_cube();
                #[unroll]
                for index in 0..comptime!(plan.rows_per_unit()) {
                    let row = score_row(index, plan);
                    #[unroll]
                    for part in 0..comptime!(plan.vectors_per_unit()) {
                        let column = score_column(part, plan);
                        let value = score(&scores, 1f32, index, part, plan);
                        let weight = weights[comptime!(index * plan.vectors_per_unit() + part)];
                        let push = weight * (value - Vector::new(deltas[index])) * Vector::new(scale);
                        bounce[row * comptime!(plan.weight_stride() / VECTOR) + column] = Vector::cast_from(push);
                    }
                }
                sync_cube();
                accumulate(&gradient, &bounce, &key_tile, plan);
            }
        }
    }
    write(&mut gradient, &mut scores, &factors, dq, &queries, tile, plan);
}

#[cube(launch_unchecked)]
pub(in super::super) fn key_gradients<G: Float, F: Float, N: Size>(
    q: &[Vector<G, N>],
    k: &[Vector<G, N>],
    v: &[Vector<G, N>],
    d_out: &[Vector<G, N>],
    ranges: &[i32],
    stats: &[f32],
    dk: &mut [Vector<G, N>],
    dv: &mut [Vector<G, N>],
    query_count: u32,
    key_count: u32,
    scale: f32,
    #[comptime] plan: FlashPlan,
    #[define(G, F)] _dtypes: [ElemType; 2],
) {
    let (tile, kv_head, batch) = (CUBE_POS_X as usize, CUBE_POS_Y as usize, CUBE_POS_Z as usize);
    let places = Places::new(CUBE_COUNT_Z, query_count, key_count, plan);
    let keys = HeadRows::of_keys(&places, batch, kv_head, plan);
    let stride = comptime!(plan.head_stride());
    let mut query_tile = Shared::<[Vector<F, N>]>::new_slice(comptime!(plan.rows * stride / VECTOR));
    let mut pull_tile = Shared::<[Vector<F, N>]>::new_slice(comptime!(plan.rows * stride / VECTOR));
    let mut bounce = Shared::<[Vector<F, N>]>::new_slice(comptime!(plan.rows * plan.wide_stride() / VECTOR));
    let mut scores = Shared::<[Vector<f32, N>]>::new_slice(comptime!(plan.rows * plan.wide_stride() / VECTOR));
    let mut columns = QueryColumns::new(plan);
    let mut meetings = Shared::<[u32]>::new_slice(comptime!(plan.units));
    let mut factors = Shared::<[f32]>::new_slice(comptime!(plan.rows));
    ones(&mut factors, plan);

    let key = lefts(k, &keys, tile, &mut bounce, plan);
    sync_cube();
    let value = lefts(v, &keys, tile, &mut bounce, plan);

    let mut weights = Array::<Vector<f32, N>>::new(comptime!(plan.scores_per_unit()));
    let mut mine = Array::<i32>::new(comptime!(plan.rows_per_unit()));
    let mut hidden = Array::<i32>::new(comptime!(plan.rows_per_unit()));
    #[unroll]
    for index in 0..comptime!(plan.rows_per_unit()) {
        let row = tile * comptime!(plan.rows) + score_row(index, plan);
        mine[index] = places.order(ranges, batch, row);
        hidden[index] = 0i32;
        if comptime!(plan.hides) {
            hidden[index] = places.hidden_from(ranges, batch, row);
        }
    }
    let mut key_gradient = accumulators(plan);
    let mut value_gradient = accumulators(plan);
    for chunk in 0..(places.query_tiles + comptime!(plan.units - 1)) / comptime!(plan.units) {
        let start = chunk * comptime!(plan.units);
        survey_queries(ranges, &places, batch, tile, start, &mut meetings);
        for index in 0..min(places.query_tiles - start, comptime!(plan.units)) {
            let (other, meeting) = (start + index, meetings[index]);
            if meeting != APART {
                // The queries of all heads that share this key head.
                for member in 0..comptime!(plan.group) {
                    let head = kv_head * comptime!(plan.group) + member;
                    let queries = HeadRows::of_queries(&places, batch, head, plan);
                    sync_cube();
                    load_both(q, d_out, &queries, other, &mut query_tile, &mut pull_tile, plan);
                    columns.load(ranges, stats, &places, batch, head, other, plan);
                    sync_cube();
                    scores_of(&key, &query_tile, &mut scores, plan);
                    sync_cube();
                    let all = meeting == WHOLLY;
                    #[unroll]
                    for index in 0..comptime!(plan.rows_per_unit()) {
                        let row = score_row(index, plan);
                        #[unroll]
                        for part in 0..comptime!(plan.vectors_per_unit()) {
                            let value = score(&scores, scale, index, part, plan);
                            let weight = if all {
                                columns.weights(value, mine[index], hidden[index], part, false, plan)
                            } else {
                                columns.weights(value, mine[index], hidden[index], part, true, plan)
                            };
                            weights[comptime!(index * plan.vectors_per_unit() + part)] = weight;
                            let column = score_column(part, plan);
                            bounce[row * comptime!(plan.weight_stride() / VECTOR) + column] = Vector::cast_from(weight);
                        }
                    }
                    sync_cube();
                    accumulate(&value_gradient, &bounce, &pull_tile, plan);
                    scores_of(&value, &pull_tile, &mut scores, plan);
                    sync_cube();
                    #[unroll]
                    for index in 0..comptime!(plan.rows_per_unit()) {
                        let row = score_row(index, plan);
                        #[unroll]
                        for part in 0..comptime!(plan.vectors_per_unit()) {
                            let value = score(&scores, 1f32, index, part, plan);
                            let weight = weights[comptime!(index * plan.vectors_per_unit() + part)];
                            let push = weight * (value - columns.deltas_of(part, plan)) * Vector::new(scale);
                            let column = score_column(part, plan);
                            bounce[row * comptime!(plan.weight_stride() / VECTOR) + column] = Vector::cast_from(push);
                        }
                    }
                    sync_cube();
                    accumulate(&key_gradient, &bounce, &query_tile, plan);
                }
            }
        }
    }
    write(&mut key_gradient, &mut scores, &factors, dk, &keys, tile, plan);
    write(&mut value_gradient, &mut scores, &factors, dv, &keys, tile, plan);
}
