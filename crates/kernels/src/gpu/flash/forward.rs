//! The forward pass: what every query gathers, and the logarithm of its sum of weights.
//!
//! ```text
//! s_ij = q_i · k_j / √Dh        L_i = log Σ_j e^s_ij        out_i = Σ_j e^(s_ij − L_i) v_j        over the visible j
//! ```

use burn::tensor::DType;
use burn_cubecl::tensor::CubeTensor;
use cubecl::ir::ElemType;
use cubecl::prelude::*;

use super::plan::{FlashPlan, VECTOR};
use super::ranges::Places;
use super::tile::{HeadRows, accumulate, accumulators, lefts, load, score_column, score_row, scores_of, write};
use crate::gpu::launch::{dense, dims, elem, output};

/// The logarithm of the sum of weights of a row that sees nothing: its weights are all zero.
const BLIND: f32 = 1e30;

/// Queries `[B, Sq, H, Dh]`, keys and values `[B, Sk, G, Dh]`, and [`super::ranges::packed`].
pub(crate) struct Inputs {
    pub(crate) q: CubeTensor,
    pub(crate) k: CubeTensor,
    pub(crate) v: CubeTensor,
    pub(crate) ranges: CubeTensor,
}

impl Inputs {
    pub(super) fn dense(self) -> Self {
        let Self { q, k, v, ranges } = self;
        Self { q: dense(q), k: dense(k), v: dense(v), ranges: dense(ranges) }
    }
}

#[cube(launch)]
fn attend<F: Float, N: Size>(
    q: &[Vector<F, N>],
    k: &[Vector<F, N>],
    v: &[Vector<F, N>],
    ranges: &[i32],
    out: &mut [Vector<F, N>],
    log_sums: &mut [f32],
    query_count: u32,
    key_count: u32,
    scale: f32,
    #[comptime] plan: FlashPlan,
    #[define(F)] _dtype: ElemType,
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
    // The queries first, then the weights of each tile.
    let mut bounce = Shared::<[Vector<F, N>]>::new_slice(comptime!(plan.rows * plan.wide_stride() / VECTOR));
    let mut scores = Shared::<[Vector<f32, N>]>::new_slice(comptime!(plan.rows * plan.wide_stride() / VECTOR));
    let mut order = Shared::<[i32]>::new_slice(comptime!(plan.rows));

    load(q, &queries, tile, &mut bounce, stride, plan);
    sync_cube();
    let query = lefts(&bounce, stride, plan);

    // The first time over the keys: each unit's part of the sums of its rows.
    let mut peaks = Array::<f32>::new(comptime!(plan.rows_per_unit()));
    let mut sums = Array::<f32>::new(comptime!(plan.rows_per_unit()));
    #[unroll]
    for index in 0..comptime!(plan.rows_per_unit()) {
        peaks[index] = f32::new(-1e30);
        sums[index] = 0f32;
    }
    for other in 0..places.key_tiles {
        if places.meet(ranges, batch, tile, other) {
            sync_cube();
            load(k, &keys, other, &mut key_tile, stride, plan);
            load_order(ranges, &places, batch, other, &mut order, plan);
            sync_cube();
            scores_of(&query, &key_tile, &mut scores, plan);
            sync_cube();
            #[unroll]
            for index in 0..comptime!(plan.rows_per_unit()) {
                let row = score_row(index, plan);
                let from = places.from(ranges, batch, tile * comptime!(plan.rows) + row);
                let until = places.until(ranges, batch, tile * comptime!(plan.rows) + row);
                let mut peak = peaks[index];
                #[unroll]
                for part in 0..comptime!(plan.vectors_per_unit()) {
                    let column = score_column(part, plan);
                    let value = scores[row * comptime!(plan.wide_stride() / VECTOR) + column] * Vector::new(scale);
                    #[unroll]
                    for lane in 0..comptime!(VECTOR) {
                        let place = order[column * comptime!(VECTOR) + lane];
                        if from <= place && place < until {
                            peak = max(peak, value.extract(lane));
                        }
                    }
                }
                let mut sum = sums[index] * (peaks[index] - peak).exp();
                #[unroll]
                for part in 0..comptime!(plan.vectors_per_unit()) {
                    let column = score_column(part, plan);
                    let value = scores[row * comptime!(plan.wide_stride() / VECTOR) + column] * Vector::new(scale);
                    #[unroll]
                    for lane in 0..comptime!(VECTOR) {
                        let place = order[column * comptime!(VECTOR) + lane];
                        if from <= place && place < until {
                            sum += (value.extract(lane) - peak).exp();
                        }
                    }
                }
                peaks[index] = peak;
                sums[index] = sum;
            }
        }
    }

    // The parts of a row together.
    let mut row_peaks = Shared::<[f32]>::new_slice(comptime!(plan.rows * plan.units_per_row()));
    let mut row_sums = Shared::<[f32]>::new_slice(comptime!(plan.rows * plan.units_per_row()));
    #[unroll]
    for index in 0..comptime!(plan.rows_per_unit()) {
        let at = UNIT_POS as usize + comptime!(index * plan.units);
        row_peaks[at] = peaks[index];
        row_sums[at] = sums[index];
    }
    sync_cube();
    let mut logs = Array::<f32>::new(comptime!(plan.rows_per_unit()));
    #[unroll]
    for index in 0..comptime!(plan.rows_per_unit()) {
        let row = score_row(index, plan);
        let first = row * comptime!(plan.units_per_row());
        let mut peak = f32::new(-1e30);
        #[unroll]
        for part in 0..comptime!(plan.units_per_row()) {
            peak = max(peak, row_peaks[first + part]);
        }
        let mut sum = 0f32;
        #[unroll]
        for part in 0..comptime!(plan.units_per_row()) {
            sum += row_sums[first + part] * (row_peaks[first + part] - peak).exp();
        }
        let mut log = f32::new(BLIND);
        if sum > 0f32 {
            log = peak + sum.ln();
        }
        logs[index] = log;
        let global = tile * comptime!(plan.rows) + row;
        if UNIT_POS as usize % comptime!(plan.units_per_row()) == 0 && global < places.queries {
            log_sums[(batch * comptime!(plan.heads) + head) * places.queries + global] = log;
        }
    }

    // The second time: the final weights.
    let gathered = accumulators(plan);
    for other in 0..places.key_tiles {
        if places.meet(ranges, batch, tile, other) {
            sync_cube();
            load(k, &keys, other, &mut key_tile, stride, plan);
            load(v, &keys, other, &mut value_tile, stride, plan);
            load_order(ranges, &places, batch, other, &mut order, plan);
            sync_cube();
            scores_of(&query, &key_tile, &mut scores, plan);
            sync_cube();
            #[unroll]
            for index in 0..comptime!(plan.rows_per_unit()) {
                let row = score_row(index, plan);
                let from = places.from(ranges, batch, tile * comptime!(plan.rows) + row);
                let until = places.until(ranges, batch, tile * comptime!(plan.rows) + row);
                #[unroll]
                for part in 0..comptime!(plan.vectors_per_unit()) {
                    let column = score_column(part, plan);
                    let value = scores[row * comptime!(plan.wide_stride() / VECTOR) + column] * Vector::new(scale);
                    let mut weight = Vector::<f32, N>::new(0f32);
                    #[unroll]
                    for lane in 0..comptime!(VECTOR) {
                        let place = order[column * comptime!(VECTOR) + lane];
                        if from <= place && place < until {
                            weight.insert(lane, (value.extract(lane) - logs[index]).exp());
                        }
                    }
                    bounce[row * comptime!(plan.weight_stride() / VECTOR) + column] = Vector::cast_from(weight);
                }
            }
            sync_cube();
            accumulate(&gathered, &bounce, &value_tile, plan);
        }
    }
    write(&gathered, &mut scores, out, &queries, tile, plan);
}

/// Loads the reading order of a tile of keys.
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
        order[at] = places.order(ranges, batch, tile * comptime!(plan.rows) + at);
        at += comptime!(plan.units);
    }
}

/// What every query gathers, `[B, Sq, H, Dh]`, and the logarithm of its sum of weights, `[B, H, Sq]`.
pub(crate) fn forward(inputs: Inputs, plan: FlashPlan) -> (CubeTensor, CubeTensor) {
    let Inputs { q, k, v, ranges } = inputs.dense();
    let shape = dims(&q);
    let (batch, queries, keys) = (shape[0], shape[1], dims(&k)[1]);
    let out = output(&q, shape, q.dtype);
    let log_sums = output(&q, [batch, plan.heads, queries], DType::F32);
    attend::launch(
        &q.client.clone(),
        CubeCount::Static(plan.tiles(queries) as u32, plan.heads as u32, batch as u32),
        plan.cube_dim(),
        VECTOR,
        q.clone().into_buffer_arg(),
        k.into_buffer_arg(),
        v.into_buffer_arg(),
        ranges.into_buffer_arg(),
        out.clone().into_buffer_arg(),
        log_sums.clone().into_buffer_arg(),
        queries as u32,
        keys as u32,
        1.0 / (plan.head_dim as f32).sqrt(),
        plan,
        elem(q.dtype),
    );
    (out, log_sums)
}
