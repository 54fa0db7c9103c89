//! The norm of a sum: what a sub-layer adds to the stream is added on the way into the next norm, and its gradient leaves in
//! its own type on the way back.

use burn::tensor::DType;
use burn_cubecl::tensor::CubeTensor;
use cubecl::ir::ElemType;
use cubecl::prelude::*;

use super::plan::{MOST_CUBES, RowPlan, row_grid, width};
use crate::gpu::launch::{MOST_PARTS, dense, dims, elem, output, vector_size};
use crate::gpu::reduce::{column_sums, cube_sum};

#[cube(launch_unchecked)]
fn norm_sums<I: Float, Y: Float, O: Float, N: Size>(
    x: &[Vector<I, N>],
    branch: &[Vector<Y, N>],
    weight: &[Vector<f32, N>],
    sums: &mut [Vector<I, N>],
    out: &mut [Vector<O, N>],
    scales: &mut [f32],
    epsilon: f32,
    #[comptime] plan: RowPlan,
    #[define(I, Y, O)] _dtypes: [ElemType; 3],
) {
    let unit = UNIT_POS as usize;
    let mut shared = Shared::<[f32]>::new_slice(comptime!(plan.units));
    let mut row = CUBE_POS;
    while row < scales.len() {
        let start = row * comptime!(plan.vectors);
        let mut values = Array::<Vector<f32, N>>::new(comptime!(plan.per_unit));
        let mut squares = 0f32;
        #[unroll]
        for index in 0..comptime!(plan.per_unit) {
            let at = unit + index * comptime!(plan.units);
            values[index] = Vector::new(0f32);
            if at < comptime!(plan.vectors) {
                let sum = Vector::<f32, N>::cast_from(x[start + at]) + Vector::cast_from(branch[start + at]);
                sums[start + at] = Vector::cast_from(sum);
                squares += (sum * sum).vector_sum();
                values[index] = sum;
            }
        }
        let total = cube_sum(squares, &mut shared, comptime!(plan.units), comptime!(plan.planes));
        let scale = (total / comptime!(plan.width as f32) + epsilon).inverse_sqrt();
        #[unroll]
        for index in 0..comptime!(plan.per_unit) {
            let at = unit + index * comptime!(plan.units);
            if at < comptime!(plan.vectors) {
                out[start + at] = Vector::cast_from(values[index] * Vector::new(scale) * weight[at]);
            }
        }
        if unit == 0 {
            scales[row] = scale;
        }
        row += CUBE_COUNT;
    }
}

/// The sum in the type of `x`, its normed rows as `dtype`, and each row's scale.
pub(super) fn forward(
    x: CubeTensor,
    branch: CubeTensor,
    weight: CubeTensor,
    epsilon: f64,
    dtype: DType,
) -> (CubeTensor, CubeTensor, CubeTensor) {
    let [x, branch, weight] = [x, branch, weight].map(dense);
    let (shape, width) = (dims(&x), width(&x));
    let rows = shape.iter().product::<usize>() / width;
    let plan = RowPlan::new(&x, width);
    let sums = output(&x, shape.clone(), x.dtype);
    let out = output(&x, shape, dtype);
    let scales = output(&x, [rows], DType::F32);
    let dtypes = [elem(x.dtype), elem(branch.dtype), elem(dtype)];
    // SAFETY: see [`crate::gpu`].
    unsafe {
        norm_sums::launch_unchecked(
            &x.client.clone(),
            row_grid(rows, MOST_CUBES).1,
            plan.cube_dim(),
            vector_size(width),
            x.into_buffer_arg(),
            branch.into_buffer_arg(),
            weight.into_buffer_arg(),
            sums.clone().into_buffer_arg(),
            out.clone().into_buffer_arg(),
            scales.clone().into_buffer_arg(),
            epsilon as f32,
            plan,
            dtypes,
        )
    }
    (sums, out, scales)
}

/// What is compiled into the backward pass besides how rows are shared out.
#[derive(Clone, Copy, Debug, Hash, PartialEq, Eq)]
struct Paths {
    /// Whether the sum itself is sent a gradient.
    sum_is_used: bool,
    /// Whether the branch has a type of its own.
    branch_apart: bool,
}

#[cube(launch_unchecked)]
fn norm_sums_backward<I: Float, Y: Float, O: Float, N: Size>(
    sums: &[Vector<I, N>],
    weight: &[Vector<f32, N>],
    scales: &[f32],
    dy: &[Vector<O, N>],
    d_sum: &[Vector<I, N>],
    dx: &mut [Vector<I, N>],
    d_branch: &mut [Vector<Y, N>],
    d_weight: &mut [Vector<f32, N>],
    #[comptime] plan: RowPlan,
    #[comptime] paths: Paths,
    #[define(I, Y, O)] _dtypes: [ElemType; 3],
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
        let mut values = Array::<Vector<f32, N>>::new(comptime!(plan.per_unit));
        let mut pushes = Array::<Vector<f32, N>>::new(comptime!(plan.per_unit));
        let mut sum = 0f32;
        #[unroll]
        for index in 0..comptime!(plan.per_unit) {
            let at = unit + index * comptime!(plan.units);
            values[index] = Vector::new(0f32);
            pushes[index] = Vector::new(0f32);
            if at < comptime!(plan.vectors) {
                let value = Vector::<f32, N>::cast_from(sums[start + at]);
                let gradient = Vector::<f32, N>::cast_from(dy[start + at]);
                let push = gradient * weight[at];
                parts[index] += gradient * value * Vector::new(scale);
                sum += (push * value).vector_sum();
                values[index] = value;
                pushes[index] = push;
            }
        }
        let total = cube_sum(sum, &mut shared, comptime!(plan.units), comptime!(plan.planes));
        let pull = total / comptime!(plan.width as f32) * scale * scale;
        #[unroll]
        for index in 0..comptime!(plan.per_unit) {
            let at = unit + index * comptime!(plan.units);
            if at < comptime!(plan.vectors) {
                let mut gradient = (pushes[index] - values[index] * Vector::new(pull)) * Vector::new(scale);
                if comptime!(paths.sum_is_used) {
                    gradient += Vector::cast_from(d_sum[start + at]);
                }
                dx[start + at] = Vector::cast_from(gradient);
                if comptime!(paths.branch_apart) {
                    d_branch[start + at] = Vector::cast_from(gradient);
                }
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

/// What the forward pass left, and the weight.
pub(super) struct Sum {
    pub(super) sum: CubeTensor,
    pub(super) weight: CubeTensor,
    /// Of each row.
    pub(super) scales: CubeTensor,
}

/// Gradients of what is added, and of the weight.
pub(super) struct SumGradients {
    pub(super) dx: CubeTensor,
    pub(super) d_branch: CubeTensor,
    pub(super) d_weight: CubeTensor,
}

/// The gradients, that of the branch as `branch_type`; `d_sum` is what the sum itself is sent.
pub(super) fn backward(of: Sum, dy: CubeTensor, d_sum: Option<CubeTensor>, branch_type: DType) -> SumGradients {
    let [sum, weight, scales, dy] = [of.sum, of.weight, of.scales, dy].map(dense);
    let (shape, width) = (dims(&sum), width(&sum));
    let rows = shape.iter().product::<usize>() / width;
    let plan = RowPlan::new(&sum, width);
    let (parts, cubes) = row_grid(rows, MOST_PARTS);
    let paths = Paths { sum_is_used: d_sum.is_some(), branch_apart: branch_type != sum.dtype };
    // Where there is nothing to read, what is read anyway.
    let d_sum = d_sum.map_or_else(|| sum.clone(), dense);
    let dx = output(&sum, shape.clone(), sum.dtype);
    let d_branch = output(&sum, if paths.branch_apart { shape } else { vec![vector_size(width)] }, branch_type);
    let d_weight = output(&sum, [parts, width], DType::F32);
    let dtypes = [elem(sum.dtype), elem(branch_type), elem(dy.dtype)];
    // SAFETY: see [`crate::gpu`].
    unsafe {
        norm_sums_backward::launch_unchecked(
            &sum.client.clone(),
            cubes,
            plan.cube_dim(),
            vector_size(width),
            sum.into_buffer_arg(),
            weight.into_buffer_arg(),
            scales.into_buffer_arg(),
            dy.into_buffer_arg(),
            d_sum.into_buffer_arg(),
            dx.clone().into_buffer_arg(),
            d_branch.clone().into_buffer_arg(),
            d_weight.clone().into_buffer_arg(),
            plan,
            paths,
            dtypes,
        )
    }
    let d_branch = if paths.branch_apart { d_branch } else { dx.clone() };
    SumGradients { dx, d_branch, d_weight: column_sums(d_weight) }
}
