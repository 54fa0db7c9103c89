//! SwiGLU: `y = silu(gate) · up`, each unit a vector.
//!
//! ```text
//! s = 1 / (1 + e^−g)       d_gate = dy · up · s · (1 + g · (1 − s))       d_up = dy · g · s
//! ```

#![allow(unsafe_code)] // Launches; see [`crate::gpu`].

use burn_cubecl::tensor::CubeTensor;
use cubecl::ir::ElemType;
use cubecl::prelude::*;

use crate::gpu::launch::{dense, dims, elem, grid, output, vector_size};

#[cube]
fn sigmoid<N: Size>(x: Vector<f32, N>) -> Vector<f32, N> {
    let one = Vector::new(1f32);
    one / (one + (-x).exp())
}

#[cube(launch_unchecked)]
fn gate_up<F: Float, N: Size>(
    gate: &[Vector<F, N>],
    up: &[Vector<F, N>],
    out: &mut [Vector<F, N>],
    #[define(F)] _dtype: ElemType,
) {
    if ABSOLUTE_POS < out.len() {
        let g = Vector::<f32, N>::cast_from(gate[ABSOLUTE_POS]);
        let u = Vector::<f32, N>::cast_from(up[ABSOLUTE_POS]);
        out[ABSOLUTE_POS] = Vector::cast_from(g * sigmoid(g) * u);
    }
}

pub(crate) fn forward(gate: CubeTensor, up: CubeTensor) -> CubeTensor {
    let (gate, up) = (dense(gate), dense(up));
    let shape = dims(&gate);
    let count: usize = shape.iter().product();
    let vector = vector_size(count);
    let out = output(&gate, shape, gate.dtype);
    let (cubes, dim) = grid(&gate, count / vector);
    // SAFETY: see [`crate::gpu`].
    unsafe {
        gate_up::launch_unchecked(
            &gate.client.clone(),
            cubes,
            dim,
            vector,
            gate.clone().into_buffer_arg(),
            up.into_buffer_arg(),
            out.clone().into_buffer_arg(),
            elem(gate.dtype),
        )
    }
    out
}

#[cube(launch_unchecked)]
fn gate_up_backward<F: Float, N: Size>(
    gate: &[Vector<F, N>],
    up: &[Vector<F, N>],
    dy: &[Vector<F, N>],
    d_gate: &mut [Vector<F, N>],
    d_up: &mut [Vector<F, N>],
    #[define(F)] _dtype: ElemType,
) {
    if ABSOLUTE_POS < d_gate.len() {
        let one = Vector::new(1f32);
        let g = Vector::<f32, N>::cast_from(gate[ABSOLUTE_POS]);
        let u = Vector::<f32, N>::cast_from(up[ABSOLUTE_POS]);
        let d = Vector::<f32, N>::cast_from(dy[ABSOLUTE_POS]);
        let s = sigmoid(g);
        d_gate[ABSOLUTE_POS] = Vector::cast_from(d * u * s * (one + g * (one - s)));
        d_up[ABSOLUTE_POS] = Vector::cast_from(d * g * s);
    }
}

pub(crate) fn backward(gate: CubeTensor, up: CubeTensor, dy: CubeTensor) -> (CubeTensor, CubeTensor) {
    let [gate, up, dy] = [gate, up, dy].map(dense);
    let shape = dims(&gate);
    let count: usize = shape.iter().product();
    let vector = vector_size(count);
    let [d_gate, d_up] = [(); 2].map(|()| output(&gate, shape.clone(), gate.dtype));
    let (cubes, dim) = grid(&gate, count / vector);
    // SAFETY: see [`crate::gpu`].
    unsafe {
        gate_up_backward::launch_unchecked(
            &gate.client.clone(),
            cubes,
            dim,
            vector,
            gate.clone().into_buffer_arg(),
            up.into_buffer_arg(),
            dy.into_buffer_arg(),
            d_gate.clone().into_buffer_arg(),
            d_up.clone().into_buffer_arg(),
            elem(gate.dtype),
        )
    }
    (d_gate, d_up)
}
