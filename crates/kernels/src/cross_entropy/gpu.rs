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

use burn::backend::autodiff::checkpoint::base::Checkpointer;
use burn::backend::autodiff::checkpoint::strategy::CheckpointStrategy;
use burn::backend::autodiff::grads::Gradients;
use burn::backend::autodiff::ops::{Backward, Ops, OpsKind};
#[cfg(feature = "fusion")]
use burn::backend::fusion::custom::TensorSpec;
use burn::backend::tensor::{FloatTensor, IntTensor};
use burn::backend::{Autodiff, Backend, Cube, backend_extension};
use burn::tensor::DType;
use burn_cubecl::CubeBackend;
use burn_cubecl::tensor::CubeTensor;
use cubecl::ir::ElemType;
use cubecl::prelude::*;

use crate::gpu::launch::{UNITS, dense, dense_ints, dims, elem, has_planes, output, owned, vector_size};
use crate::gpu::reduce::{cube_max, cube_sum, row_sums};
use crate::gpu::tape::register;

/// The passes on GPUs, off the gradient tape.
#[backend_extension(Cube, Fusion: cfg(feature = "fusion"))]
pub(crate) trait CrossEntropyKernels: Backend {
    /// The two sums, `[2]`, and `log Z` of every row.
    #[fusion(meta = sums_and_log_z)]
    fn cross_entropy_forward(
        logits: FloatTensor<Self>,
        targets: IntTensor<Self>,
        weights: FloatTensor<Self>,
    ) -> (FloatTensor<Self>, FloatTensor<Self>);
    /// The gradient of the logits.
    #[fusion(dtype = logits, shape = logits)]
    fn cross_entropy_backward(
        logits: FloatTensor<Self>,
        targets: IntTensor<Self>,
        weights: FloatTensor<Self>,
        log_z: FloatTensor<Self>,
        d_sums: FloatTensor<Self>,
    ) -> FloatTensor<Self>;
}

/// What the forward pass returns, known before it runs.
#[cfg(feature = "fusion")]
fn sums_and_log_z(logits: &TensorSpec, _targets: &TensorSpec, _weights: &TensorSpec) -> (TensorSpec, TensorSpec) {
    (TensorSpec::new([2].into(), DType::F32), TensorSpec::new([logits.shape[0]].into(), DType::F32))
}

impl CrossEntropyKernels for CubeBackend {
    fn cross_entropy_forward(logits: CubeTensor, targets: CubeTensor, weights: CubeTensor) -> (CubeTensor, CubeTensor) {
        forward(logits, targets, weights)
    }

    fn cross_entropy_backward(
        logits: CubeTensor,
        targets: CubeTensor,
        weights: CubeTensor,
        log_z: CubeTensor,
        d_sums: CubeTensor,
    ) -> CubeTensor {
        backward(Rows { logits, targets, weights, log_z }, d_sums)
    }
}

/// The operation on GPUs, on the gradient tape and off it.
#[backend_extension(Autodiff, Cube)]
pub(crate) trait CrossEntropyGpu: Backend {
    /// See [`crate::cross_entropy()`]; the two sums as `[2]`.
    fn cross_entropy(
        logits: FloatTensor<Self>,
        targets: IntTensor<Self>,
        weights: FloatTensor<Self>,
    ) -> FloatTensor<Self>;
}

impl CrossEntropyGpu for Cube {
    fn cross_entropy(
        logits: FloatTensor<Self>,
        targets: IntTensor<Self>,
        weights: FloatTensor<Self>,
    ) -> FloatTensor<Self> {
        Self::cross_entropy_forward(logits, targets, weights).0
    }
}

impl<B: CrossEntropyKernels, C: CheckpointStrategy> CrossEntropyGpu for Autodiff<B, C> {
    fn cross_entropy(
        logits: FloatTensor<Self>,
        targets: IntTensor<Self>,
        weights: FloatTensor<Self>,
    ) -> FloatTensor<Self> {
        let weights = weights.into_primitive();
        match CrossEntropyBackward.prepare::<C>([logits.node()]).compute_bound().stateful() {
            OpsKind::Tracked(prep) => {
                let logits = logits.into_primitive();
                let (sums, log_z) = B::cross_entropy_forward(logits.clone(), targets.clone(), weights.clone());
                prep.finish(CrossEntropyState { logits, targets, weights, log_z }, sums)
            }
            OpsKind::UnTracked(prep) => {
                prep.finish(B::cross_entropy_forward(logits.into_primitive(), targets, weights).0)
            }
        }
    }
}

#[derive(Debug)]
struct CrossEntropyBackward;

/// What cross-entropy keeps. The logits are held here alone, so that their gradient can take their place.
#[derive(Clone, Debug)]
struct CrossEntropyState<B: Backend> {
    logits: FloatTensor<B>,
    targets: IntTensor<B>,
    weights: FloatTensor<B>,
    log_z: FloatTensor<B>,
}

impl<B: CrossEntropyKernels> Backward<B, 1> for CrossEntropyBackward {
    type State = CrossEntropyState<B>;

    fn backward(self, ops: Ops<Self::State, 1>, grads: &mut Gradients, _: &mut Checkpointer) {
        let [node] = ops.parents.map(|parent| parent.map(|node| node.id));
        let CrossEntropyState { logits, targets, weights, log_z } = ops.state;
        let d_sums = grads.consume::<B>(&ops.node);
        register::<B>(grads, node, B::cross_entropy_backward(logits, targets, weights, log_z, d_sums));
    }
}

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
fn forward(logits: CubeTensor, targets: CubeTensor, weights: CubeTensor) -> (CubeTensor, CubeTensor) {
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
struct Rows {
    logits: CubeTensor,
    targets: CubeTensor,
    weights: CubeTensor,
    log_z: CubeTensor,
}

/// The gradient of the logits, in their place if it is free.
fn backward(rows: Rows, d_sums: CubeTensor) -> CubeTensor {
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
