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
    HeadRows, accumulate, accumulators, lefts, load_both, ones, score_column, score_row, scores_of, write,
};
use super::weigh::{QueryColumns, RowRanges, score, stat, weights_of_query};
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
    let queries = HeadRows::of_queries(&places, batch, head, plan);
    let keys = HeadRows::of_keys(&places, batch, head / comptime!(plan.group), plan);
    let stride = comptime!(plan.head_stride());
    let mut key_tile = Shared::<[Vector<F, N>]>::new_slice(comptime!(plan.rows * stride / VECTOR));
    let mut value_tile = Shared::<[Vector<F, N>]>::new_slice(comptime!(plan.rows * stride / VECTOR));
    let mut bounce = Shared::<[Vector<F, N>]>::new_slice(comptime!(plan.rows * plan.wide_stride() / VECTOR));
    let mut scores = Shared::<[Vector<f32, N>]>::new_slice(comptime!(plan.rows * plan.wide_stride() / VECTOR));
    let mut order = Shared::<[i32]>::new_slice(comptime!(plan.rows));
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
                    let range = mine.range(index);
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

impl Outcome {
    fn dense(self) -> Self {
        let Self { out, log_sums, d_out } = self;
        Self { out: dense(out), log_sums: dense(log_sums), d_out: dense(d_out) }
    }
}

/// `L` and `δ`, as the other two kernels take them.
fn row_stats(outcome: Outcome, plan: FlashPlan) -> CubeTensor {
    let Outcome { out, log_sums, d_out } = outcome;
    let shape = dims(&out);
    let (batch, queries) = (shape[0], shape[1]);
    let stats = output(&out, [2, batch, plan.heads, queries], DType::F32);
    let (cubes, dim) = grid(&out, batch * plan.heads * queries);
    let dtype = elem(out.dtype);
    // SAFETY: see [`crate::gpu`].
    unsafe {
        deltas::launch_unchecked(
            &out.client.clone(),
            cubes,
            dim,
            VECTOR,
            out.into_buffer_arg(),
            d_out.into_buffer_arg(),
            log_sums.into_buffer_arg(),
            stats.clone().into_buffer_arg(),
            queries as u32,
            plan,
            dtype,
        )
    }
    stats
}

/// The gradient of the queries.
fn of_queries(inputs: Inputs, d_out: CubeTensor, stats: CubeTensor, plan: FlashPlan) -> CubeTensor {
    let Inputs { q, k, v, ranges } = inputs;
    let (shape, keys) = (dims(&q), dims(&k)[1]);
    let (batch, queries) = (shape[0], shape[1]);
    let dq = output(&q, shape, q.dtype);
    let dtypes = [elem(q.dtype); 2];
    // SAFETY: see [`crate::gpu`].
    unsafe {
        query_gradients::launch_unchecked(
            &q.client.clone(),
            CubeCount::Static(plan.tiles(queries) as u32, plan.heads as u32, batch as u32),
            plan.cube_dim(),
            VECTOR,
            q.into_buffer_arg(),
            k.into_buffer_arg(),
            v.into_buffer_arg(),
            d_out.into_buffer_arg(),
            ranges.into_buffer_arg(),
            stats.into_buffer_arg(),
            dq.clone().into_buffer_arg(),
            queries as u32,
            keys as u32,
            plan.scale(),
            plan,
            dtypes,
        )
    }
    dq
}

/// Gradients of keys and values.
fn of_keys(inputs: Inputs, d_out: CubeTensor, stats: CubeTensor, plan: FlashPlan) -> [CubeTensor; 2] {
    let Inputs { q, k, v, ranges } = inputs;
    let (shape, queries) = (dims(&k), dims(&q)[1]);
    let (batch, keys) = (shape[0], shape[1]);
    let [dk, dv] = [(); 2].map(|()| output(&k, shape.clone(), k.dtype));
    let dtypes = [elem(q.dtype); 2];
    // SAFETY: see [`crate::gpu`].
    unsafe {
        key_gradients::launch_unchecked(
            &q.client.clone(),
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
            plan.scale(),
            plan,
            dtypes,
        )
    }
    [dk, dv]
}

/// Gradients of queries, keys and values.
pub(super) fn backward(inputs: Inputs, outcome: Outcome, plan: FlashPlan) -> [CubeTensor; 3] {
    let (inputs, outcome) = (inputs.dense(), outcome.dense());
    let d_out = outcome.d_out.clone();
    let stats = row_stats(outcome, plan);
    let dq = of_queries(inputs.clone(), d_out.clone(), stats.clone(), plan);
    let [dk, dv] = of_keys(inputs, d_out, stats, plan);
    [dq, dk, dv]
}
