//! What the backward pass needs of each row and head: `L_i`, and `δ_i = out_i · d_out_i`.

use burn::tensor::DType;
use burn_cubecl::tensor::CubeTensor;
use cubecl::ir::ElemType;
use cubecl::prelude::*;

use super::passes::Outcome;
use super::plan::FlashPlan;
use crate::gpu::launch::{dims, elem, grid, output};

/// Units that add up a row of a head side by side; a power of two.
fn lanes(plan: FlashPlan) -> usize {
    let width = plan.head_dim / plan.vector;
    let most = plan.units / plan.planes;
    (0..6).map(|power| 1 << power).filter(|lanes| *lanes <= most && width.is_multiple_of(*lanes)).max().unwrap_or(1)
}

/// `[2, B, H, Sq]`, `L` before `δ`: one buffer, because WebGPU binds eight.
#[cube(launch_unchecked)]
fn deltas<F: Float, N: Size>(
    out: &[Vector<F, N>],
    d_out: &[Vector<F, N>],
    log_sums: &[f32],
    stats: &mut [f32],
    query_count: u32,
    #[comptime] plan: FlashPlan,
    #[comptime] lanes: usize,
    #[define(F)] _dtype: ElemType,
) {
    let count = log_sums.len();
    // Rows in the order of `out`, so that neighbours read side by side.
    let (at, lane) = (ABSOLUTE_POS / lanes, ABSOLUTE_POS % lanes);
    if at < count {
        let width = comptime!(plan.head_dim / plan.vector);
        let mut sum = 0f32;
        #[unroll]
        for step in 0..comptime!(width / lanes) {
            let place = at * width + comptime!(step * lanes) + lane;
            let a = Vector::<f32, N>::cast_from(out[place]);
            let b = Vector::<f32, N>::cast_from(d_out[place]);
            sum += (a * b).vector_sum();
        }
        #[unroll]
        for power in 0..comptime!(lanes.ilog2()) {
            sum += plane_shuffle_xor(sum, comptime!(1u32 << power));
        }
        if lane == 0 {
            let (queries, heads) = (query_count as usize, comptime!(plan.heads));
            let (head, row) = (at % heads, at / heads % queries);
            let place = (at / heads / queries * heads + head) * queries + row;
            stats[place] = log_sums[place];
            stats[count + place] = sum;
        }
    }
}

/// `L` and `δ`, `[2, B, H, Sq]`.
pub(super) fn row_stats(outcome: &Outcome, plan: FlashPlan) -> CubeTensor {
    let Outcome { out, log_sums, d_out } = outcome.clone();
    let shape = dims(&out);
    let (batch, queries) = (shape[0], shape[1]);
    let stats = output(&out, [2, batch, plan.heads, queries], DType::F32);
    let lanes = lanes(plan);
    let (cubes, dim) = grid(&out, batch * plan.heads * queries * lanes);
    let dtype = elem(out.dtype);
    // SAFETY: see [`crate::gpu`].
    unsafe {
        deltas::launch_unchecked(
            &out.client.clone(),
            cubes,
            dim,
            plan.vector,
            out.into_buffer_arg(),
            d_out.into_buffer_arg(),
            log_sums.into_buffer_arg(),
            stats.clone().into_buffer_arg(),
            queries as u32,
            plan,
            lanes,
            dtype,
        )
    }
    stats
}
