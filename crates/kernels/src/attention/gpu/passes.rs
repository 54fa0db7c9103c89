//! The passes: which kernels they launch, and what on.
//!
//! ```text
//! s_ij = q_i · k_j / √Dh     L_i = log Σ_j e^s_ij     p_ij = e^(s_ij − L_i)     out_i = Σ_j p_ij v_j     over the visible j
//!
//! δ_i = out_i · d_out_i      ds_ij = p_ij (d_out_i · v_j − δ_i) / √Dh
//! dq_i = Σ_j ds_ij k_j       dk_j = Σ_i ds_ij q_i       dv_j = Σ_i p_ij d_out_i
//! ```

use burn::tensor::DType;
use burn_cubecl::tensor::CubeTensor;
use cubecl::prelude::*;

use super::deltas::row_stats;
use super::plan::{FlashPlan, Scores};
use super::{cooperative, registers};
use crate::gpu::launch::{dense, dims, elem, output};

/// The logarithm of the sum of weights of a row that sees nothing: its weights are all zero.
pub(super) const BLIND: f32 = 1e30;

/// The reference of a row before its first score: far below any.
pub(super) const UNSET: f32 = -1e30;

/// Queries `[B, Sq, H, Dh]`, keys and values `[B, Sk, G, Dh]`, and [`super::ranges::packed`].
#[derive(Clone)]
pub(super) struct Inputs {
    pub(super) q: CubeTensor,
    pub(super) k: CubeTensor,
    pub(super) v: CubeTensor,
    pub(super) ranges: CubeTensor,
}

impl Inputs {
    fn dense(self) -> Self {
        let Self { q, k, v, ranges } = self;
        Self { q: dense(q), k: dense(k), v: dense(v), ranges: dense(ranges) }
    }
}

/// What the backward pass has besides the inputs; shapes as the forward pass gives them.
#[derive(Clone)]
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

/// Launches the plan's kind of a kernel, one cube for each tile, head and element of the batch.
macro_rules! launch {
    ($plan:expr, $kind:ident::$kernel:ident on $like:expr, [$($cubes:expr),+], $($argument:expr),+ $(,)?) => {{
        let plan: FlashPlan = $plan;
        let (client, cubes, dim) = ($like.client.clone(), CubeCount::Static($($cubes as u32),+), plan.cube_dim());
        let dtypes = [elem($like.dtype); 2];
        // SAFETY: see [`crate::gpu`].
        unsafe {
            match plan.scores {
                Scores::InRegisters => registers::$kind::$kernel::launch_unchecked(
                    &client, cubes, dim, plan.vector, registers::PAIR, $($argument),+, plan.scale(), plan, dtypes,
                ),
                Scores::InSharedMemory => cooperative::$kind::$kernel::launch_unchecked(
                    &client, cubes, dim, plan.vector, $($argument),+, plan.scale(), plan, dtypes,
                ),
            }
        }
    }};
}

/// What every query gathers, `[B, Sq, H, Dh]`, and the logarithm of its sum of weights, `[B, H, Sq]`.
pub(super) fn forward(inputs: Inputs, plan: FlashPlan) -> (CubeTensor, CubeTensor) {
    let Inputs { q, k, v, ranges } = inputs.dense();
    let shape = dims(&q);
    let (batch, queries, keys) = (shape[0], shape[1], dims(&k)[1]);
    let out = output(&q, shape, q.dtype);
    let log_sums = output(&q, [batch, plan.heads, queries], DType::F32);
    launch!(
        plan, forward::attend on q,
        [plan.tiles(queries), plan.heads, batch],
        q.clone().into_buffer_arg(),
        k.into_buffer_arg(),
        v.into_buffer_arg(),
        ranges.into_buffer_arg(),
        out.clone().into_buffer_arg(),
        log_sums.clone().into_buffer_arg(),
        queries as u32,
        keys as u32,
    );
    (out, log_sums)
}

/// The gradient of the queries.
fn of_queries(inputs: Inputs, d_out: CubeTensor, stats: CubeTensor, plan: FlashPlan) -> CubeTensor {
    let Inputs { q, k, v, ranges } = inputs;
    let (shape, keys) = (dims(&q), dims(&k)[1]);
    let (batch, queries) = (shape[0], shape[1]);
    let dq = output(&q, shape, q.dtype);
    launch!(
        plan, backward::query_gradients on q,
        [plan.tiles(queries), plan.heads, batch],
        q.clone().into_buffer_arg(),
        k.into_buffer_arg(),
        v.into_buffer_arg(),
        d_out.into_buffer_arg(),
        ranges.into_buffer_arg(),
        stats.into_buffer_arg(),
        dq.clone().into_buffer_arg(),
        queries as u32,
        keys as u32,
    );
    dq
}

/// Gradients of keys and values.
fn of_keys(inputs: Inputs, d_out: CubeTensor, stats: CubeTensor, plan: FlashPlan) -> [CubeTensor; 2] {
    let Inputs { q, k, v, ranges } = inputs;
    let (shape, queries) = (dims(&k), dims(&q)[1]);
    let (batch, keys) = (shape[0], shape[1]);
    let [dk, dv] = [(); 2].map(|()| output(&k, shape.clone(), k.dtype));
    launch!(
        plan, backward::key_gradients on q,
        [plan.tiles(keys), plan.heads / plan.group, batch],
        q.clone().into_buffer_arg(),
        k.into_buffer_arg(),
        v.into_buffer_arg(),
        d_out.into_buffer_arg(),
        ranges.into_buffer_arg(),
        stats.into_buffer_arg(),
        dk.clone().into_buffer_arg(),
        dv.clone().into_buffer_arg(),
        queries as u32,
        keys as u32,
    );
    [dk, dv]
}

/// Gradients of queries, keys and values.
pub(super) fn backward(inputs: Inputs, outcome: Outcome, plan: FlashPlan) -> [CubeTensor; 3] {
    let (inputs, outcome) = (inputs.dense(), outcome.dense());
    let stats = row_stats(&outcome, plan);
    let d_out = outcome.d_out;
    let dq = of_queries(inputs.clone(), d_out.clone(), stats.clone(), plan);
    let [dk, dv] = of_keys(inputs, d_out, stats, plan);
    [dq, dk, dv]
}
