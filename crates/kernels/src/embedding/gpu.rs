//! The gradient of an embedding: a cube owns some columns of some rows of the table and adds to them, in shared memory, what
//! every token of theirs sends back. The tokens are taken in their order, so the sum does not change from run to run.

#![allow(unsafe_code)] // Launches; see [`crate::gpu`].

use burn::tensor::DType;
use burn_cubecl::tensor::CubeTensor;
use cubecl::ir::ElemType;
use cubecl::prelude::*;

use crate::gpu::launch::{UNITS, dense, dense_ints, dims, elem, has_planes, output};
use crate::gpu::reduce::cube_max;

/// Rows of the table that a cube owns; of each it owns a column for each unit.
const OWNED: usize = 8;

/// Tokens whose gradients are asked for before any is waited for.
const AHEAD: usize = 8;

#[cube(launch_unchecked)]
fn add_rows<G: Float>(
    ids: &[i32],
    dy: &[G],
    d_table: &mut [f32],
    width: u32,
    #[comptime] owned: usize,
    #[comptime] ahead: usize,
    #[comptime] units: usize,
    #[comptime] planes: bool,
    #[define(G)] _dtype: ElemType,
) {
    let (unit, width) = (UNIT_POS as usize, width as usize);
    let first = CUBE_POS_X as usize * owned;
    let column = CUBE_POS_Y as usize * units + unit;
    let mut sums = Shared::<[f32]>::new_slice(owned * units);
    #[unroll]
    for row in 0..owned {
        sums[row * units + unit] = 0f32;
    }
    let mut some = Shared::<[i32]>::new_slice(units);
    let mut shared = Shared::<[f32]>::new_slice(units);
    for chunk in 0..(ids.len() + units - 1) / units {
        let start = chunk * units;
        // Which of the owned rows each token is of; −1 for none of them.
        let mut row = i32::new(-1);
        if start + unit < ids.len() {
            let place = ids[start + unit] - first as i32;
            if place >= 0 && place < owned as i32 {
                row = place;
            }
        }
        let any = cube_max(f32::cast_from(row), &mut shared, units, planes);
        if any >= 0f32 {
            some[unit] = row;
            sync_cube();
            for group in 0..units / ahead {
                let mut values = Array::<f32>::new(ahead);
                #[unroll]
                for index in 0..ahead {
                    let token = group * ahead + index;
                    let mut value = 0f32;
                    if some[token] >= 0 && column < width {
                        value = f32::cast_from(dy[(start + token) * width + column]);
                    }
                    values[index] = value;
                }
                #[unroll]
                for index in 0..ahead {
                    let row = some[group * ahead + index];
                    if row >= 0 {
                        sums[row as usize * units + unit] += values[index];
                    }
                }
            }
        }
    }
    #[unroll]
    for row in 0..owned {
        let place = (first + row) * width + column;
        if column < width && place < d_table.len() {
            d_table[place] = sums[row * units + unit];
        }
    }
}

/// `ids`: `[N]`, `dy`: `[N, D]`; returns `[rows, D]`.
pub(crate) fn backward(ids: CubeTensor, dy: CubeTensor, rows: usize) -> CubeTensor {
    let (ids, dy) = (dense_ints(ids), dense(dy));
    let width = dims(&dy)[1];
    let d_table = output(&dy, [rows, width], DType::F32);
    let columns = width.div_ceil(UNITS as usize);
    let planes = has_planes(&dy);
    // SAFETY: see [`crate::gpu`].
    unsafe {
        add_rows::launch_unchecked(
            &dy.client.clone(),
            CubeCount::Static(rows.div_ceil(OWNED) as u32, columns as u32, 1),
            CubeDim::new_1d(UNITS),
            ids.into_buffer_arg(),
            dy.clone().into_buffer_arg(),
            d_table.clone().into_buffer_arg(),
            width as u32,
            OWNED,
            AHEAD,
            UNITS as usize,
            planes,
            elem(dy.dtype),
        );
    }
    d_table
}
