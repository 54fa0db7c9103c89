//! The backward pass: gradients of the queries by cubes that own queries, those of keys and values by cubes that own keys.
//!
//! ```text
//! p_ij = e^(s_ij − L_i)      δ_i = out_i · d_out_i      ds_ij = p_ij (d_out_i · v_j − δ_i) / √Dh
//! dq_i = Σ_j ds_ij k_j       dk_j = Σ_i ds_ij q_i       dv_j = Σ_i p_ij d_out_i
//! ```

use burn::tensor::DType;
use burn_cubecl::tensor::CubeTensor;
use cubecl::ir::ElemType;
use cubecl::prelude::*;

use super::forward::{Inputs, load_order};
use super::plan::{FlashPlan, VECTOR};
use super::ranges::{APART, Places, WHOLLY, survey_keys, survey_queries};
use super::tile::{
    HeadRows, accumulate, accumulators, fetch, lefts, load, ones, put_rows, score_column, score_row, scores_of, write,
};
use super::weigh::{QueryColumns, Range, score, weights_of_query};
use crate::gpu::launch::{dense, dims, elem, grid, output};

/// `L` and `δ` of every row and head side by side, `[2, B, H, Sq]`: one buffer, because WebGPU binds eight.
#[cube(launch_unchecked)]
fn deltas<F: Float, N: Size>(
    out: &[Vector<F, N>],
    d_out: &[Vector<F, N>],
    log_sums: &[f32],
    stats: &mut [f32],
    query_count: u32,
    #[comptime] plan: FlashPlan,
    #[define(F)] _dtype: ElemType,
) {
    let count = log_sums.len();
    let at = ABSOLUTE_POS;
    if at < count {
        let (queries, heads) = (query_count as usize, comptime!(plan.heads));
        // Rows in the order of `out`, so that neighbours read side by side.
        let (head, row) = (at % heads, at / heads % queries);
        let batch = at / heads / queries;
        let width = comptime!(plan.head_dim / VECTOR);
        let mut sum = 0f32;
        for column in 0..width {
            let a = Vector::<f32, N>::cast_from(out[at * width + column]);
            let b = Vector::<f32, N>::cast_from(d_out[at * width + column]);
            sum += (a * b).vector_sum();
        }
        let place = (batch * heads + head) * queries + row;
        stats[place] = log_sums[place];
        stats[count + place] = sum;
    }
}

#[cube(launch_unchecked)]
fn query_gradients<G: Float, F: Float, N: Size>(
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
    let places = Places::new(CUBE_COUNT_Z, query_count, key_count, comptime!(plan.rows));
    let queries =
        HeadRows { start: batch * places.queries, rows: places.queries, heads: comptime!(plan.heads).runtime(), head };
    let keys = HeadRows {
        start: batch * places.keys,
        rows: places.keys,
        heads: comptime!(plan.heads / plan.group).runtime(),
        head: head / comptime!(plan.group),
    };
    let stride = comptime!(plan.head_stride());
    let mut key_tile = Shared::<[Vector<F, N>]>::new_slice(comptime!(plan.rows * stride / VECTOR));
    let mut value_tile = Shared::<[Vector<F, N>]>::new_slice(comptime!(plan.rows * stride / VECTOR));
    let mut bounce = Shared::<[Vector<F, N>]>::new_slice(comptime!(plan.rows * plan.wide_stride() / VECTOR));
    let mut scores = Shared::<[Vector<f32, N>]>::new_slice(comptime!(plan.rows * plan.wide_stride() / VECTOR));
    let mut order = Shared::<[i32]>::new_slice(comptime!(plan.rows));
    let mut meetings = Shared::<[u32]>::new_slice(comptime!(plan.units));
    let mut factors = Shared::<[f32]>::new_slice(comptime!(plan.rows));
    ones(&mut factors, plan);

    load(q, &queries, tile, &mut bounce, plan);
    sync_cube();
    let query = lefts(&bounce, stride, plan);
    sync_cube();
    load(d_out, &queries, tile, &mut bounce, plan);
    sync_cube();
    let pull = lefts(&bounce, stride, plan);

    let mut weights = Array::<Vector<f32, N>>::new(comptime!(plan.scores_per_unit()));
    let mut gradient = accumulators(plan);
    let heads_before = (batch * comptime!(plan.heads) + head) * places.queries;
    let mut mine_from = Array::<i32>::new(comptime!(plan.rows_per_unit()));
    let mut mine_until = Array::<i32>::new(comptime!(plan.rows_per_unit()));
    let mut log_sums = Array::<f32>::new(comptime!(plan.rows_per_unit()));
    let mut deltas = Array::<f32>::new(comptime!(plan.rows_per_unit()));
    #[unroll]
    for index in 0..comptime!(plan.rows_per_unit()) {
        let row = tile * comptime!(plan.rows) + score_row(index, plan);
        mine_from[index] = places.from(ranges, batch, row);
        mine_until[index] = places.until(ranges, batch, row);
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
                let next_keys = fetch::<G, F, N>(k, &keys, other, plan);
                let next_values = fetch::<G, F, N>(v, &keys, other, plan);
                put_rows(&next_keys, &mut key_tile, plan);
                put_rows(&next_values, &mut value_tile, plan);
                load_order(ranges, &places, batch, other, &mut order, plan);
                sync_cube();
                scores_of(&query, &key_tile, &mut scores, plan);
                sync_cube();
                let all = meeting == WHOLLY;
                #[unroll]
                for index in 0..comptime!(plan.rows_per_unit()) {
                    let range = Range { from: mine_from[index], until: mine_until[index] };
                    #[unroll]
                    for part in 0..comptime!(plan.vectors_per_unit()) {
                        let value = score(&scores, scale, index, part, plan);
                        let weight = if all {
                            weights_of_query(value, &order, &range, log_sums[index], part, false, plan)
                        } else {
                            weights_of_query(value, &order, &range, log_sums[index], part, true, plan)
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

/// A number of a row; 0 beyond the last row.
#[cube]
fn stat(stats: &[f32], start: usize, row: usize, rows: usize) -> f32 {
    let mut value = 0f32;
    if row < rows {
        value = stats[start + row];
    }
    value
}

#[cube(launch_unchecked)]
fn key_gradients<G: Float, F: Float, N: Size>(
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
    let places = Places::new(CUBE_COUNT_Z, query_count, key_count, comptime!(plan.rows));
    let keys = HeadRows {
        start: batch * places.keys,
        rows: places.keys,
        heads: comptime!(plan.heads / plan.group).runtime(),
        head: kv_head,
    };
    let stride = comptime!(plan.head_stride());
    let mut query_tile = Shared::<[Vector<F, N>]>::new_slice(comptime!(plan.rows * stride / VECTOR));
    let mut pull_tile = Shared::<[Vector<F, N>]>::new_slice(comptime!(plan.rows * stride / VECTOR));
    let mut bounce = Shared::<[Vector<F, N>]>::new_slice(comptime!(plan.rows * plan.wide_stride() / VECTOR));
    let mut scores = Shared::<[Vector<f32, N>]>::new_slice(comptime!(plan.rows * plan.wide_stride() / VECTOR));
    let mut columns = QueryColumns::new(plan);
    let mut meetings = Shared::<[u32]>::new_slice(comptime!(plan.units));
    let mut factors = Shared::<[f32]>::new_slice(comptime!(plan.rows));
    ones(&mut factors, plan);

    load(k, &keys, tile, &mut bounce, plan);
    sync_cube();
    let key = lefts(&bounce, stride, plan);
    sync_cube();
    load(v, &keys, tile, &mut bounce, plan);
    sync_cube();
    let value = lefts(&bounce, stride, plan);

    let mut weights = Array::<Vector<f32, N>>::new(comptime!(plan.scores_per_unit()));
    let mut mine = Array::<i32>::new(comptime!(plan.rows_per_unit()));
    #[unroll]
    for index in 0..comptime!(plan.rows_per_unit()) {
        mine[index] = places.order(ranges, batch, tile * comptime!(plan.rows) + score_row(index, plan));
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
                    let queries = HeadRows {
                        start: batch * places.queries,
                        rows: places.queries,
                        heads: comptime!(plan.heads).runtime(),
                        head,
                    };
                    sync_cube();
                    let next_queries = fetch::<G, F, N>(q, &queries, other, plan);
                    let next_pulls = fetch::<G, F, N>(d_out, &queries, other, plan);
                    put_rows(&next_queries, &mut query_tile, plan);
                    put_rows(&next_pulls, &mut pull_tile, plan);
                    let heads_before = (batch * comptime!(plan.heads) + head) * places.queries;
                    let mut at = UNIT_POS as usize;
                    while at < comptime!(plan.rows) {
                        let global = other * comptime!(plan.rows) + at;
                        columns.from[at] = places.from(ranges, batch, global);
                        columns.until[at] = places.until(ranges, batch, global);
                        columns.log_sums[at] = stat(stats, heads_before, global, places.queries);
                        columns.delta[at] = stat(stats, heads_before + stats.len() / 2, global, places.queries);
                        at += comptime!(plan.units);
                    }
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
                                columns.weights(value, mine[index], part, false, plan)
                            } else {
                                columns.weights(value, mine[index], part, true, plan)
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
                            let push = weight * (value - columns.deltas(part, plan)) * Vector::new(scale);
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

/// What the backward pass has besides the inputs; shapes as the forward pass gives them.
pub(super) struct Outcome {
    pub(super) out: CubeTensor,
    pub(super) log_sums: CubeTensor,
    pub(super) d_out: CubeTensor,
}

/// Gradients of queries, keys and values.
pub(super) fn backward(inputs: Inputs, outcome: Outcome, plan: FlashPlan) -> [CubeTensor; 3] {
    let Inputs { q, k, v, ranges } = inputs.dense();
    let [out, log_sums, d_out] = [outcome.out, outcome.log_sums, outcome.d_out].map(dense);
    let (q_shape, k_shape) = (dims(&q), dims(&k));
    let (batch, queries, keys) = (q_shape[0], q_shape[1], k_shape[1]);
    let client = q.client.clone();
    let (scale, dtypes) = (1.0 / (plan.head_dim as f32).sqrt(), [elem(q.dtype), elem(q.dtype)]);

    let stats = output(&q, [2, batch, plan.heads, queries], DType::F32);
    let (cubes, dim) = grid(&q, batch * plan.heads * queries);
    // SAFETY: see [`crate::gpu`].
    unsafe {
        deltas::launch_unchecked(
            &client,
            cubes,
            dim,
            VECTOR,
            out.into_buffer_arg(),
            d_out.clone().into_buffer_arg(),
            log_sums.into_buffer_arg(),
            stats.clone().into_buffer_arg(),
            queries as u32,
            plan,
            dtypes[0],
        )
    }

    let dq = output(&q, q_shape, q.dtype);
    // SAFETY: see [`crate::gpu`].
    unsafe {
        query_gradients::launch_unchecked(
            &client,
            CubeCount::Static(plan.tiles(queries) as u32, plan.heads as u32, batch as u32),
            plan.cube_dim(),
            VECTOR,
            q.clone().into_buffer_arg(),
            k.clone().into_buffer_arg(),
            v.clone().into_buffer_arg(),
            d_out.clone().into_buffer_arg(),
            ranges.clone().into_buffer_arg(),
            stats.clone().into_buffer_arg(),
            dq.clone().into_buffer_arg(),
            queries as u32,
            keys as u32,
            scale,
            plan,
            dtypes,
        )
    }

    let [dk, dv] = [(); 2].map(|()| output(&k, k_shape.clone(), k.dtype));
    // SAFETY: see [`crate::gpu`].
    unsafe {
        key_gradients::launch_unchecked(
            &client,
            CubeCount::Static(plan.tiles(keys) as u32, (plan.heads / plan.group) as u32, batch as u32),
            plan.cube_dim(),
            VECTOR,
            q.into_buffer_arg(),
            k.into_buffer_arg(),
            v.into_buffer_arg(),
            d_out.into_buffer_arg(),
            ranges.into_buffer_arg(),
            stats.into_buffer_arg(),
            dk.clone().into_buffer_arg(),
            dv.clone().into_buffer_arg(),
            queries as u32,
            keys as u32,
            scale,
            plan,
            dtypes,
        )
    }
    [dq, dk, dv]
}
