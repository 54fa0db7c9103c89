//! The forward pass, as [`super::super::passes`] has its formulas.

use cubecl::ir::ElemType;
use cubecl::prelude::*;

use super::super::passes::{BLIND, UNSET};
use super::super::plan::{FlashPlan, VECTOR};
use super::super::ranges::{APART, Places, WHOLLY, survey_keys};
use super::super::rows::{HeadRows, load_both, load_order};
use super::tile::{accumulate, accumulators, lefts, rescale, score_column, score_row, scores_of, write};
use super::weigh::{RowRanges, peak, score, shared_sum, weights_of_query};

/// How far above a row's reference a score may lie, in nats, before the reference is raised and what was gathered is scaled
/// down: a weight of e^8 is far from the largest number of `f16`.
const HEADROOM: f32 = 8.0;

#[cube(launch_unchecked)]
pub(in super::super) fn attend<G: Float, F: Float, N: Size>(
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
    let places = Places::new(CUBE_COUNT_Z, query_count, key_count, plan);
    let queries = HeadRows::of_queries(&places, batch, head, plan);
    let keys = HeadRows::of_keys(&places, batch, head / comptime!(plan.group), plan);
    let stride = comptime!(plan.head_stride());
    let mut key_tile = Shared::<[Vector<F, N>]>::new_slice(comptime!(plan.rows * stride / VECTOR));
    let mut value_tile = Shared::<[Vector<F, N>]>::new_slice(comptime!(plan.rows * stride / VECTOR));
    // The queries first, then the weights of each tile.
    let mut bounce = Shared::<[Vector<F, N>]>::new_slice(comptime!(plan.rows * plan.wide_stride() / VECTOR));
    let mut scores = Shared::<[Vector<f32, N>]>::new_slice(comptime!(plan.rows * plan.wide_stride() / VECTOR));
    let mut order = Shared::<[i32]>::new_slice(comptime!(plan.row_numbers()));
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
                    let sight = mine.sight(index);
                    let row = score_row(index, plan);
                    let most = if all {
                        peak(&scores, &order, &sight, scale, index, false, plan)
                    } else {
                        peak(&scores, &order, &sight, scale, index, true, plan)
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
                            weights_of_query(value, &order, &sight, references[index], part, false, plan)
                        } else {
                            weights_of_query(value, &order, &sight, references[index], part, true, plan)
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
