//! Root-mean-square norm: a cube takes rows in turn.
//!
//! ```text
//! r  = 1 / √(mean(x²) + ε)                 y = x · r · w
//! dx = r · (w · dy − x · r² · mean(w · dy · x))        dw = Σ_rows dy · x · r
//! ```

#![allow(unsafe_code)] // Launches; see [`crate::gpu`].

use burn::backend::autodiff::NodeId;
use burn::backend::autodiff::checkpoint::base::Checkpointer;
use burn::backend::autodiff::checkpoint::strategy::CheckpointStrategy;
use burn::backend::autodiff::grads::Gradients;
use burn::backend::autodiff::ops::{Backward, Ops, OpsKind};
#[cfg(feature = "fusion")]
use burn::backend::fusion::custom::TensorSpec;
use burn::backend::tensor::FloatTensor;
use burn::backend::{Autodiff, Backend, Cube, backend_extension};
use burn::tensor::DType;
use burn_cubecl::CubeBackend;
use burn_cubecl::tensor::CubeTensor;
use cubecl::ir::ElemType;
use cubecl::prelude::*;

use crate::gpu::launch::{MOST_PARTS, UNITS, dense, dims, elem, has_planes, output, vector_size};
use crate::gpu::reduce::{column_sums, cube_sum};
use crate::gpu::tape::register;

/// The passes on GPUs, off the gradient tape.
#[backend_extension(Cube, Fusion: cfg(feature = "fusion"))]
pub(crate) trait RmsNormKernels: Backend {
    /// The normed rows as `dtype`, and each row's scale.
    #[fusion(meta = normed_rows)]
    fn rms_norm_forward(
        x: FloatTensor<Self>,
        weight: FloatTensor<Self>,
        epsilon: f64,
        dtype: DType,
    ) -> (FloatTensor<Self>, FloatTensor<Self>);
    /// Gradients of rows and weight.
    #[fusion(meta = |x, weight, _scales, _dy| (x.clone(), weight.clone()))]
    fn rms_norm_backward(
        x: FloatTensor<Self>,
        weight: FloatTensor<Self>,
        scales: FloatTensor<Self>,
        dy: FloatTensor<Self>,
    ) -> (FloatTensor<Self>, FloatTensor<Self>);
}

/// What the forward pass returns, known before it runs.
#[cfg(feature = "fusion")]
fn normed_rows(x: &TensorSpec, _weight: &TensorSpec, _epsilon: &f64, dtype: &DType) -> (TensorSpec, TensorSpec) {
    let width = x.shape.iter().last().copied().unwrap_or(1);
    let rows = x.shape.num_elements() / width;
    (TensorSpec::new(x.shape.clone(), *dtype), TensorSpec::new([rows].into(), DType::F32))
}

impl RmsNormKernels for CubeBackend {
    fn rms_norm_forward(x: CubeTensor, weight: CubeTensor, epsilon: f64, dtype: DType) -> (CubeTensor, CubeTensor) {
        forward(x, weight, epsilon, dtype)
    }

    fn rms_norm_backward(
        x: CubeTensor,
        weight: CubeTensor,
        scales: CubeTensor,
        dy: CubeTensor,
    ) -> (CubeTensor, CubeTensor) {
        backward(x, weight, scales, dy)
    }
}

/// The operation on GPUs, on the gradient tape and off it.
#[backend_extension(Autodiff, Cube)]
pub(crate) trait RmsNormGpu: Backend {
    /// See [`crate::rms_norm()`]; the rows come out as `dtype`.
    fn rms_norm(x: FloatTensor<Self>, weight: FloatTensor<Self>, epsilon: f64, dtype: DType) -> FloatTensor<Self>;
}

impl RmsNormGpu for Cube {
    fn rms_norm(x: FloatTensor<Self>, weight: FloatTensor<Self>, epsilon: f64, dtype: DType) -> FloatTensor<Self> {
        Self::rms_norm_forward(x, weight, epsilon, dtype).0
    }
}

impl<B: RmsNormKernels, C: CheckpointStrategy> RmsNormGpu for Autodiff<B, C> {
    fn rms_norm(x: FloatTensor<Self>, weight: FloatTensor<Self>, epsilon: f64, dtype: DType) -> FloatTensor<Self> {
        match RmsNormBackward.prepare::<C>([x.node(), weight.node()]).compute_bound().stateful() {
            OpsKind::Tracked(mut prep) => {
                let kept = prep.checkpoint(&x);
                let weight = weight.into_primitive();
                let (y, scales) = B::rms_norm_forward(x.into_primitive(), weight.clone(), epsilon, dtype);
                prep.finish((kept, weight, scales), y)
            }
            OpsKind::UnTracked(prep) => {
                prep.finish(B::rms_norm_forward(x.into_primitive(), weight.into_primitive(), epsilon, dtype).0)
            }
        }
    }
}

#[derive(Debug)]
struct RmsNormBackward;

impl<B: RmsNormKernels> Backward<B, 2> for RmsNormBackward {
    /// `x`, the weight, and each row's scale.
    type State = (NodeId, FloatTensor<B>, FloatTensor<B>);

    fn backward(self, ops: Ops<Self::State, 2>, grads: &mut Gradients, checkpointer: &mut Checkpointer) {
        let [x_node, weight_node] = ops.parents.map(|parent| parent.map(|node| node.id));
        let (x, weight, scales) = ops.state;
        let dy = grads.consume::<B>(&ops.node);
        let x = checkpointer.retrieve_node_output(x);
        let (dx, d_weight) = B::rms_norm_backward(x, weight, scales, dy);
        register::<B>(grads, x_node, dx);
        register::<B>(grads, weight_node, d_weight);
    }
}

/// Rows that are normed at once.
const MOST_CUBES: usize = 1 << 14;

/// Elements of the last axis.
fn width(x: &CubeTensor) -> usize {
    x.meta.shape().iter().last().copied().unwrap_or(1)
}

/// How the units of a cube share out a row.
#[derive(Clone, Copy, Debug, Hash, PartialEq, Eq)]
struct RowPlan {
    /// Elements of a row.
    width: usize,
    /// Vectors of a row.
    vectors: usize,
    /// Units of the cube.
    units: usize,
    /// Vectors of each unit; the last may lie beyond the row.
    per_unit: usize,
    /// See [`has_planes`].
    planes: bool,
}

impl RowPlan {
    fn new(x: &CubeTensor, width: usize) -> Self {
        let vectors = width / vector_size(width);
        let units = (vectors.div_ceil(4).next_power_of_two()).clamp(32, UNITS as usize);
        Self { width, vectors, units, per_unit: vectors.div_ceil(units), planes: has_planes(x) }
    }

    fn cube_dim(&self) -> CubeDim {
        CubeDim::new_1d(self.units as u32)
    }
}

/// A grid of at most `most` cubes over `rows` rows, which they take in turn.
fn row_grid(rows: usize, most: usize) -> (usize, CubeCount) {
    let cubes = rows.clamp(1, most);
    (cubes, CubeCount::Static(cubes as u32, 1, 1))
}

#[cube(launch_unchecked)]
fn norm_rows<I: Float, O: Float, N: Size>(
    x: &[Vector<I, N>],
    weight: &[Vector<f32, N>],
    out: &mut [Vector<O, N>],
    scales: &mut [f32],
    epsilon: f32,
    #[comptime] plan: RowPlan,
    #[define(I, O)] _dtypes: [ElemType; 2],
) {
    let unit = UNIT_POS as usize;
    let mut shared = Shared::<[f32]>::new_slice(comptime!(plan.units));
    let mut row = CUBE_POS;
    while row < scales.len() {
        let start = row * comptime!(plan.vectors);
        let mut sum = 0f32;
        #[unroll]
        for index in 0..comptime!(plan.per_unit) {
            let at = unit + index * comptime!(plan.units);
            if at < comptime!(plan.vectors) {
                let value = Vector::<f32, N>::cast_from(x[start + at]);
                sum += (value * value).vector_sum();
            }
        }
        let total = cube_sum(sum, &mut shared, comptime!(plan.units), comptime!(plan.planes));
        let scale = (total / comptime!(plan.width as f32) + epsilon).inverse_sqrt();
        #[unroll]
        for index in 0..comptime!(plan.per_unit) {
            let at = unit + index * comptime!(plan.units);
            if at < comptime!(plan.vectors) {
                let value = Vector::<f32, N>::cast_from(x[start + at]);
                out[start + at] = Vector::cast_from(value * Vector::new(scale) * weight[at]);
            }
        }
        if unit == 0 {
            scales[row] = scale;
        }
        row += CUBE_COUNT;
    }
}

/// The normed rows as `dtype`, and each row's scale.
fn forward(x: CubeTensor, weight: CubeTensor, epsilon: f64, dtype: DType) -> (CubeTensor, CubeTensor) {
    let (x, weight) = (dense(x), dense(weight));
    let (shape, width) = (dims(&x), width(&x));
    let rows = shape.iter().product::<usize>() / width;
    let plan = RowPlan::new(&x, width);
    let out = output(&x, shape, dtype);
    let scales = output(&x, [rows], DType::F32);
    let (_, cubes) = row_grid(rows, MOST_CUBES);
    // SAFETY: see [`crate::gpu`].
    unsafe {
        norm_rows::launch_unchecked(
            &x.client.clone(),
            cubes,
            plan.cube_dim(),
            vector_size(width),
            x.clone().into_buffer_arg(),
            weight.into_buffer_arg(),
            out.clone().into_buffer_arg(),
            scales.clone().into_buffer_arg(),
            epsilon as f32,
            plan,
            [elem(x.dtype), elem(dtype)],
        )
    }
    (out, scales)
}

#[cube(launch_unchecked)]
fn norm_rows_backward<I: Float, O: Float, N: Size>(
    x: &[Vector<I, N>],
    weight: &[Vector<f32, N>],
    scales: &[f32],
    dy: &[Vector<O, N>],
    dx: &mut [Vector<I, N>],
    d_weight: &mut [Vector<f32, N>],
    #[comptime] plan: RowPlan,
    #[define(I, O)] _dtypes: [ElemType; 2],
) {
    let unit = UNIT_POS as usize;
    let mut shared = Shared::<[f32]>::new_slice(comptime!(plan.units));
    let mut parts = Array::<Vector<f32, N>>::new(comptime!(plan.per_unit));
    #[unroll]
    for index in 0..comptime!(plan.per_unit) {
        parts[index] = Vector::new(0f32);
    }
    let mut row = CUBE_POS;
    while row < scales.len() {
        let start = row * comptime!(plan.vectors);
        let scale = scales[row];
        let mut sum = 0f32;
        #[unroll]
        for index in 0..comptime!(plan.per_unit) {
            let at = unit + index * comptime!(plan.units);
            if at < comptime!(plan.vectors) {
                let value = Vector::<f32, N>::cast_from(x[start + at]);
                let product = Vector::<f32, N>::cast_from(dy[start + at]) * value;
                parts[index] += product * Vector::new(scale);
                sum += (product * weight[at]).vector_sum();
            }
        }
        let total = cube_sum(sum, &mut shared, comptime!(plan.units), comptime!(plan.planes));
        let pull = total / comptime!(plan.width as f32) * scale * scale;
        #[unroll]
        for index in 0..comptime!(plan.per_unit) {
            let at = unit + index * comptime!(plan.units);
            if at < comptime!(plan.vectors) {
                let value = Vector::<f32, N>::cast_from(x[start + at]);
                let push = Vector::<f32, N>::cast_from(dy[start + at]) * weight[at];
                dx[start + at] = Vector::cast_from((push - value * Vector::new(pull)) * Vector::new(scale));
            }
        }
        row += CUBE_COUNT;
    }
    #[unroll]
    for index in 0..comptime!(plan.per_unit) {
        let at = unit + index * comptime!(plan.units);
        if at < comptime!(plan.vectors) {
            d_weight[CUBE_POS * comptime!(plan.vectors) + at] = parts[index];
        }
    }
}

/// Gradients of the rows and of the weight.
fn backward(x: CubeTensor, weight: CubeTensor, scales: CubeTensor, dy: CubeTensor) -> (CubeTensor, CubeTensor) {
    let [x, weight, scales, dy] = [x, weight, scales, dy].map(dense);
    let (shape, width) = (dims(&x), width(&x));
    let rows = shape.iter().product::<usize>() / width;
    let plan = RowPlan::new(&x, width);
    let (parts, cubes) = row_grid(rows, MOST_PARTS);
    let dx = output(&x, shape, x.dtype);
    let d_weight = output(&x, [parts, width], DType::F32);
    let dtypes = [elem(x.dtype), elem(dy.dtype)];
    // SAFETY: see [`crate::gpu`].
    unsafe {
        norm_rows_backward::launch_unchecked(
            &x.client.clone(),
            cubes,
            plan.cube_dim(),
            vector_size(width),
            x.into_buffer_arg(),
            weight.into_buffer_arg(),
            scales.into_buffer_arg(),
            dy.into_buffer_arg(),
            dx.clone().into_buffer_arg(),
            d_weight.clone().into_buffer_arg(),
            plan,
            dtypes,
        )
    }
    (dx, column_sums(d_weight))
}
