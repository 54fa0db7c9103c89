//! The norm by itself.

use burn::tensor::DType;
use burn_cubecl::tensor::CubeTensor;
use cubecl::ir::ElemType;
use cubecl::prelude::*;

use super::plan::{MOST_CUBES, RowPlan, row_grid, width};
use crate::gpu::launch::{MOST_PARTS, dense, dims, elem, output, vector_size};
use crate::gpu::reduce::{column_sums, cube_sum};

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
pub(super) fn forward(x: CubeTensor, weight: CubeTensor, epsilon: f64, dtype: DType) -> (CubeTensor, CubeTensor) {
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
pub(super) fn backward(
    x: CubeTensor,
    weight: CubeTensor,
    scales: CubeTensor,
    dy: CubeTensor,
) -> (CubeTensor, CubeTensor) {
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
