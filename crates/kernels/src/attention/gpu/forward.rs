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
use super::ranges::{APART, Places, WHOLLY, survey_keys};
use super::tile::{
    HeadRows, accumulate, accumulators, lefts, load_both, rescale, score_column, score_row, scores_of, write,
};
use super::weigh::{RowRanges, peak, score, shared_sum, weights_of_query};
use crate::gpu::launch::{dense, dims, elem, output};

/// How far above a row's reference a score may lie, in nats, before the reference is raised and what was gathered is scaled
/// down: a weight of e^8 is far from the largest number of `f16`.
const HEADROOM: f32 = 8.0;

/// The logarithm of the sum of weights of a row that sees nothing: its weights are all zero.
const BLIND: f32 = 1e30;

/// The reference of a row before its first score: far below any.
const UNSET: f32 = -1e30;

/// Queries `[B, Sq, H, Dh]`, keys and values `[B, Sk, G, Dh]`, and [`super::ranges::packed`].
#[derive(Clone)]
pub(super) struct Inputs {
    pub(super) q: CubeTensor,
    pub(super) k: CubeTensor,
    pub(super) v: CubeTensor,
    pub(super) ranges: CubeTensor,
}

impl Inputs {
    pub(super) fn dense(self) -> Self {
        let Self { q, k, v, ranges } = self;
        Self { q: dense(q), k: dense(k), v: dense(v), ranges: dense(ranges) }
    }
}

#[cube(launch_unchecked)]
fn attend<G: Float, F: Float, N: Size>(
    q: &[Vector<G, N>],
    k: &[Vector<G, N>],
    v: &[Vector<G, N>],
    ranges: &[i32],
    out: &mut [Vector<G, N>],
    log_sums: &mut [f32],
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
    // The queries first, then the weights of each tile.
    let mut bounce = Shared::<[Vector<F, N>]>::new_slice(comptime!(plan.rows * plan.wide_stride() / VECTOR));
    let mut scores = Shared::<[Vector<f32, N>]>::new_slice(comptime!(plan.rows * plan.wide_stride() / VECTOR));
    let mut order = Shared::<[i32]>::new_slice(comptime!(plan.rows));
    let mut meetings = Shared::<[u32]>::new_slice(comptime!(plan.units));
    let mut factors = Shared::<[f32]>::new_slice(comptime!(plan.rows));
    // Whether any row of the tile raised its reference.
    let mut raised = Shared::<[u32]>::new_slice(1usize);

    let query = lefts(q, &queries, tile, &mut bounce, plan);

    let mine = RowRanges::new(ranges, &places, batch, tile, plan);
    let mut references = Array::<f32>::new(comptime!(plan.rows_per_unit()));
    let mut sums = Array::<f32>::new(comptime!(plan.rows_per_unit()));
    #[unroll]
    for index in 0..comptime!(plan.rows_per_unit()) {
        references[index] = f32::new(UNSET);
        sums[index] = 0f32;
    }

    let mut gathered = accumulators(plan);
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
                if UNIT_POS == 0 {
                    raised[0] = 0u32;
                }
                sync_cube();
                scores_of(&query, &key_tile, &mut scores, plan);
                sync_cube();
                let all = meeting == WHOLLY;
                #[unroll]
                for index in 0..comptime!(plan.rows_per_unit()) {
                    let range = mine.range(index);
                    let row = score_row(index, plan);
                    let most = if all {
                        peak(&scores, &order, &range, scale, index, false, plan)
                    } else {
                        peak(&scores, &order, &range, scale, index, true, plan)
                    };
                    let before = references[index];
                    let mut factor = 1f32;
                    if most > before + f32::new(HEADROOM) {
                        references[index] = most;
                        if before > f32::new(UNSET) {
                            factor = (before - most).exp();
                            sums[index] *= factor;
                            raised[0] = 1u32;
                        }
                    }
                    if (UNIT_POS as usize).is_multiple_of(comptime!(plan.units_per_row())) {
                        factors[row] = factor;
                    }
                    #[unroll]
                    for part in 0..comptime!(plan.vectors_per_unit()) {
                        let value = score(&scores, scale, index, part, plan);
                        let weight = if all {
                            weights_of_query(value, &order, &range, references[index], part, false, plan)
                        } else {
                            weights_of_query(value, &order, &range, references[index], part, true, plan)
                        };
                        sums[index] += weight.vector_sum();
                        let column = score_column(part, plan);
                        bounce[row * comptime!(plan.weight_stride() / VECTOR) + column] = Vector::cast_from(weight);
                    }
                }
                sync_cube();
                if raised[0] == 1u32 {
                    rescale(&mut gathered, &mut scores, &factors, plan);
                }
                accumulate(&gathered, &bounce, &value_tile, plan);
            }
        }
    }

    sync_cube();
    #[unroll]
    for index in 0..comptime!(plan.rows_per_unit()) {
        let row = score_row(index, plan);
        let sum = shared_sum(sums[index], plan);
        let mut log = f32::new(BLIND);
        let mut factor = 0f32;
        if sum > 0f32 {
            log = references[index] + sum.ln();
            factor = 1f32 / sum;
        }
        let global = tile * comptime!(plan.rows) + row;
        if (UNIT_POS as usize).is_multiple_of(comptime!(plan.units_per_row())) {
            factors[row] = factor;
            if global < places.queries {
                log_sums[(batch * comptime!(plan.heads) + head) * places.queries + global] = log;
            }
        }
    }
    write(&mut gathered, &mut scores, &factors, out, &queries, tile, plan);
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
pub(super) fn forward(inputs: Inputs, plan: FlashPlan) -> (CubeTensor, CubeTensor) {
    let Inputs { q, k, v, ranges } = inputs.dense();
    let shape = dims(&q);
    let (batch, queries, keys) = (shape[0], shape[1], dims(&k)[1]);
    let out = output(&q, shape, q.dtype);
    let log_sums = output(&q, [batch, plan.heads, queries], DType::F32);
    // SAFETY: see [`crate::gpu`].
    unsafe {
        attend::launch_unchecked(
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
            plan.scale(),
            plan,
            [elem(q.dtype), elem(q.dtype)],
        )
    }
    (out, log_sums)
}
