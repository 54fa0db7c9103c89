//! What an optimizer does to every weight, each weight in one launch: AdamW, weighted sums, squared norms.

#![allow(unsafe_code)] // Launches; see [`crate::gpu`].

use burn::backend::tensor::FloatTensor;
use burn::backend::{Backend, backend_extension};
use burn::tensor::DType;
use burn_cubecl::CubeBackend;
use burn_cubecl::tensor::CubeTensor;
use cubecl::prelude::*;

use crate::gpu::launch::{MOST_PARTS, UNITS, dense, dims, grid, has_planes, output, owned, vector_size};
use crate::gpu::reduce::{cube_sum, row_sums};
use crate::optimizer::Factors;

/// The operations on GPUs, off the gradient tape.
#[backend_extension(Cube, Fusion: cfg(feature = "fusion"))]
pub(crate) trait OptimizerKernels: Backend {
    /// Weight and moments after a step.
    #[fusion(meta = |weight, first, second, _gradient, _factors| (weight.clone(), first.clone(), second.clone()))]
    fn adamw(
        weight: FloatTensor<Self>,
        first: FloatTensor<Self>,
        second: FloatTensor<Self>,
        gradient: FloatTensor<Self>,
        factors: Factors,
    ) -> (FloatTensor<Self>, FloatTensor<Self>, FloatTensor<Self>);
    /// `kept · x + new · y`
    #[fusion(dtype = x, shape = x)]
    fn combine(x: FloatTensor<Self>, y: FloatTensor<Self>, kept: f32, new: f32) -> FloatTensor<Self>;
    /// `Σ x²`. `[1]`
    #[fusion(dtype = x, shape = [1].into())]
    fn squared_norm(x: FloatTensor<Self>) -> FloatTensor<Self>;
}

impl OptimizerKernels for CubeBackend {
    fn adamw(
        weight: CubeTensor,
        first: CubeTensor,
        second: CubeTensor,
        gradient: CubeTensor,
        factors: Factors,
    ) -> (CubeTensor, CubeTensor, CubeTensor) {
        adamw([weight, first, second], gradient, factors).into()
    }

    fn combine(x: CubeTensor, y: CubeTensor, kept: f32, new: f32) -> CubeTensor {
        combine(x, y, kept, new)
    }

    fn squared_norm(x: CubeTensor) -> CubeTensor {
        squared_norm(x)
    }
}

#[cube(launch_unchecked)]
fn adamw_step<N: Size>(
    weight: &mut [Vector<f32, N>],
    first: &mut [Vector<f32, N>],
    second: &mut [Vector<f32, N>],
    gradient: &[Vector<f32, N>],
    gradient_scale: f32,
    beta_1: f32,
    beta_2: f32,
    first_correction: f32,
    second_correction: f32,
    epsilon: f32,
    kept: f32,
    learning_rate: f32,
) {
    if ABSOLUTE_POS < weight.len() {
        let g = gradient[ABSOLUTE_POS] * Vector::new(gradient_scale);
        let m = first[ABSOLUTE_POS] * Vector::new(beta_1) + g * Vector::new(1f32 - beta_1);
        let v = second[ABSOLUTE_POS] * Vector::new(beta_2) + g * g * Vector::new(1f32 - beta_2);
        let root = v.sqrt() * Vector::new(second_correction) + Vector::new(epsilon);
        let step = m * Vector::new(first_correction * learning_rate) / root;
        weight[ABSOLUTE_POS] = weight[ABSOLUTE_POS] * Vector::new(kept) - step;
        first[ABSOLUTE_POS] = m;
        second[ABSOLUTE_POS] = v;
    }
}

/// Weight and moments after a step, in their places where nobody else holds them.
fn adamw(state: [CubeTensor; 3], gradient: CubeTensor, f: Factors) -> [CubeTensor; 3] {
    let [weight, first, second] = state.map(owned);
    let gradient = dense(gradient);
    let count: usize = dims(&weight).iter().product();
    let vector = vector_size(count);
    let (cubes, dim) = grid(&weight, count / vector);
    // SAFETY: see [`crate::gpu`].
    unsafe {
        adamw_step::launch_unchecked(
            &weight.client.clone(),
            cubes,
            dim,
            vector,
            weight.clone().into_buffer_arg(),
            first.clone().into_buffer_arg(),
            second.clone().into_buffer_arg(),
            gradient.into_buffer_arg(),
            f.gradient_scale,
            f.beta_1,
            f.beta_2,
            f.first_correction,
            f.second_correction,
            f.epsilon,
            f.kept,
            f.learning_rate,
        )
    }
    [weight, first, second]
}

#[cube(launch_unchecked)]
fn weighted_sum<N: Size>(x: &mut [Vector<f32, N>], y: &[Vector<f32, N>], kept: f32, new: f32) {
    if ABSOLUTE_POS < x.len() {
        x[ABSOLUTE_POS] = x[ABSOLUTE_POS] * Vector::new(kept) + y[ABSOLUTE_POS] * Vector::new(new);
    }
}

/// `kept · x + new · y`, in `x`'s place where nobody else holds it.
fn combine(x: CubeTensor, y: CubeTensor, kept: f32, new: f32) -> CubeTensor {
    let (x, y) = (owned(x), dense(y));
    let count: usize = dims(&x).iter().product();
    let vector = vector_size(count);
    let (cubes, dim) = grid(&x, count / vector);
    // SAFETY: see [`crate::gpu`].
    unsafe {
        weighted_sum::launch_unchecked(
            &x.client.clone(),
            cubes,
            dim,
            vector,
            x.clone().into_buffer_arg(),
            y.into_buffer_arg(),
            kept,
            new,
        )
    }
    x
}

#[cube(launch_unchecked)]
fn squares<N: Size>(x: &[Vector<f32, N>], parts: &mut [f32], #[comptime] units: usize, #[comptime] planes: bool) {
    let mut shared = Shared::<[f32]>::new_slice(units);
    let mut at = CUBE_POS * units + UNIT_POS as usize;
    let mut sum = 0f32;
    while at < x.len() {
        let value = x[at];
        sum += (value * value).vector_sum();
        at += CUBE_COUNT * units;
    }
    let total = cube_sum(sum, &mut shared, units, planes);
    if UNIT_POS == 0 {
        parts[CUBE_POS] = total;
    }
}

/// `Σ x²`. `[1]`
fn squared_norm(x: CubeTensor) -> CubeTensor {
    let x = dense(x);
    let count: usize = dims(&x).iter().product();
    let vector = vector_size(count);
    let cubes = (count / vector).div_ceil(4 * UNITS as usize).clamp(1, MOST_PARTS);
    let parts = output(&x, [1, cubes], DType::F32);
    let planes = has_planes(&x);
    // SAFETY: see [`crate::gpu`].
    unsafe {
        squares::launch_unchecked(
            &x.client.clone(),
            CubeCount::Static(cubes as u32, 1, 1),
            CubeDim::new_1d(UNITS),
            vector,
            x.into_buffer_arg(),
            parts.clone().into_buffer_arg(),
            UNITS as usize,
            planes,
        )
    }
    row_sums(parts)
}
