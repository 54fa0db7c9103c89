//! Softmax cross-entropy: a cube for each row of logits, which are read once forward and once backward.
//!
//! ```text
//! nll = w · (log Z − l_t)      z = w · log² Z
//! dl  = w · (d_nll · (p − onehot_t) + d_z · 2 log Z · p)
//! ```
//!
//! The gradient is written over the logits where nobody else holds them, so that they are in memory once. A row of weight
//! zero is not read.

#![allow(unsafe_code)] // Launches; see [`crate::gpu`].

use burn::tensor::DType;
use burn_cubecl::tensor::CubeTensor;
use cubecl::ir::ElemType;
use cubecl::prelude::*;

use crate::gpu::launch::{UNITS, dense, dense_ints, dims, elem, has_planes, output, owned, vector_size};
use crate::gpu::reduce::{cube_max, cube_sum, row_sums};

/// How a cube reads a row.
#[derive(Clone, Copy, Debug, Hash, PartialEq, Eq)]
struct LogitPlan {
    vectors: usize,
    vector: usize,
    units: usize,
    planes: bool,
}

impl LogitPlan {
    fn new(logits: &CubeTensor) -> Self {
        let vocab = dims(logits)[1];
        let vector = vector_size(vocab);
        Self { vectors: vocab / vector, vector, units: UNITS as usize, planes: has_planes(logits) }
    }
}

#[cube(launch_unchecked)]
fn cross_entropy_rows<F: Float, N: Size>(
    logits: &[Vector<F, N>],
    targets: &[i32],
    weights: &[f32],
    terms: &mut [f32],
    log_z: &mut [f32],
    #[comptime] plan: LogitPlan,
    #[define(F)] _dtype: ElemType,
) {
    let row = CUBE_POS;
    let rows = log_z.len();
    let mut shared = Shared::<[f32]>::new_slice(comptime!(plan.units));
    let weight = weights[row];
    let mut peak = f32::new(-1e30);
    let mut sum = 0f32;
    if weight != 0f32 {
        let start = row * comptime!(plan.vectors);
        let mut at = UNIT_POS as usize;
        while at < comptime!(plan.vectors) {
            let values = Vector::<f32, N>::cast_from(logits[start + at]);
            let mut most = peak;
            #[unroll]
            for lane in 0..comptime!(plan.vector) {
                most = max(most, values.extract(lane));
            }
            sum = sum * (peak - most).exp() + (values - Vector::new(most)).exp().vector_sum();
            peak = most;
            at += comptime!(plan.units);
        }
    }
    let all_peak = cube_max(peak, &mut shared, comptime!(plan.units), comptime!(plan.planes));
    let scaled = sum * (peak - all_peak).exp();
    let all_sum = cube_sum(scaled, &mut shared, comptime!(plan.units), comptime!(plan.planes));
    if UNIT_POS == 0 {
        let mut normalizer = 0f32;
        let mut nll = 0f32;
        if weight != 0f32 {
            normalizer = all_peak + all_sum.ln();
            let target = min(targets[row] as usize, comptime!(plan.vectors * plan.vector - 1));
            let place = row * comptime!(plan.vectors) + target / comptime!(plan.vector);
            let values = Vector::<f32, N>::cast_from(logits[place]);
            #[unroll]
            for lane in 0..comptime!(plan.vector) {
                if lane == target % comptime!(plan.vector) {
                    nll = weight * (normalizer - values.extract(lane));
                }
            }
        }
        terms[row] = nll;
        terms[rows + row] = weight * normalizer * normalizer;
        log_z[row] = normalizer;
    }
}

/// The two sums, `[2]`, and `log Z` of every row.
pub(crate) fn forward(logits: CubeTensor, targets: CubeTensor, weights: CubeTensor) -> (CubeTensor, CubeTensor) {
    let ([logits, weights], targets) = ([logits, weights].map(dense), dense_ints(targets));
    let rows = dims(&logits)[0];
    let plan = LogitPlan::new(&logits);
    let terms = output(&logits, [2, rows], DType::F32);
    let log_z = output(&logits, [rows], DType::F32);
    // SAFETY: see [`crate::gpu`].
    unsafe {
        cross_entropy_rows::launch_unchecked(
            &logits.client.clone(),
            CubeCount::Static(rows as u32, 1, 1),
            CubeDim::new_1d(UNITS),
            plan.vector,
            logits.clone().into_buffer_arg(),
            targets.into_buffer_arg(),
            weights.into_buffer_arg(),
            terms.clone().into_buffer_arg(),
            log_z.clone().into_buffer_arg(),
            plan,
            elem(logits.dtype),
        )
    }
    (row_sums(terms), log_z)
}

#[cube(launch_unchecked)]
fn cross_entropy_rows_backward<F: Float, N: Size>(
    logits: &mut [Vector<F, N>],
    targets: &[i32],
    weights: &[f32],
    log_z: &[f32],
    d_sums: &[f32],
    #[comptime] plan: LogitPlan,
    #[define(F)] _dtype: ElemType,
) {
    let row = CUBE_POS;
    let start = row * comptime!(plan.vectors);
    let weight = weights[row];
    let normalizer = log_z[row];
    let pull = weight * d_sums[0];
    let all = pull + weight * d_sums[1] * 2f32 * normalizer;
    let target = targets[row] as usize;
    let mut at = UNIT_POS as usize;
    while at < comptime!(plan.vectors) {
        let mut gradient = Vector::<f32, N>::new(0f32);
        if weight != 0f32 {
            let values = Vector::<f32, N>::cast_from(logits[start + at]);
            gradient = (values - Vector::new(normalizer)).exp() * Vector::new(all);
            if at == target / comptime!(plan.vector) {
                #[unroll]
                for lane in 0..comptime!(plan.vector) {
                    if lane == target % comptime!(plan.vector) {
                        gradient.insert(lane, gradient.extract(lane) - pull);
                    }
                }
            }
        }
        logits[start + at] = Vector::cast_from(gradient);
        at += comptime!(plan.units);
    }
}

/// What the backward pass has besides the gradient of the sums.
pub(crate) struct Rows {
    pub(crate) logits: CubeTensor,
    pub(crate) targets: CubeTensor,
    pub(crate) weights: CubeTensor,
    pub(crate) log_z: CubeTensor,
}

/// The gradient of the logits, in their place if it is free.
pub(crate) fn backward(rows: Rows, d_sums: CubeTensor) -> CubeTensor {
    let logits = owned(rows.logits);
    let targets = dense_ints(rows.targets);
    let [weights, log_z, d_sums] = [rows.weights, rows.log_z, d_sums].map(dense);
    let plan = LogitPlan::new(&logits);
    // SAFETY: see [`crate::gpu`].
    unsafe {
        cross_entropy_rows_backward::launch_unchecked(
            &logits.client.clone(),
            CubeCount::Static(dims(&logits)[0] as u32, 1, 1),
            CubeDim::new_1d(UNITS),
            plan.vector,
            logits.clone().into_buffer_arg(),
            targets.into_buffer_arg(),
            weights.into_buffer_arg(),
            log_z.into_buffer_arg(),
            d_sums.into_buffer_arg(),
            plan,
            elem(logits.dtype),
        )
    }
    logits
}
