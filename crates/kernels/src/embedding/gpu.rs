//! The gradient of an embedding: a cube owns some columns of some rows of the table and adds to them, in shared memory, what
//! every token of theirs sends back. The tokens are taken in their order, so the sum does not change from run to run.

#![allow(unsafe_code)] // Launches; see [`crate::gpu`].

use burn::backend::autodiff::checkpoint::base::Checkpointer;
use burn::backend::autodiff::checkpoint::strategy::CheckpointStrategy;
use burn::backend::autodiff::grads::Gradients;
use burn::backend::autodiff::ops::{Backward, Ops, OpsKind};
use burn::backend::ops::FloatTensorOps;
use burn::backend::tensor::{FloatTensor, IntTensor};
use burn::backend::{Autodiff, Backend, Cube, TensorMetadata, backend_extension};
use burn::tensor::DType;
use burn_cubecl::CubeBackend;
use burn_cubecl::tensor::CubeTensor;
use cubecl::ir::ElemType;
use cubecl::prelude::*;

use crate::gpu::launch::{UNITS, dense, dense_ints, dims, elem, has_planes, output};
use crate::gpu::reduce::cube_max;
use crate::gpu::tape::register;

/// The backward pass on GPUs, off the gradient tape. The forward pass is the framework's.
#[backend_extension(Cube, Fusion: cfg(feature = "fusion"))]
pub(crate) trait EmbedKernels: Backend {
    /// The gradient of a table of `rows` rows.
    #[fusion(dtype = DType::F32, shape = [*rows, dy[1]].into())]
    fn embed_backward(ids: IntTensor<Self>, dy: FloatTensor<Self>, rows: usize) -> FloatTensor<Self>;
}

impl EmbedKernels for CubeBackend {
    fn embed_backward(ids: CubeTensor, dy: CubeTensor, rows: usize) -> CubeTensor {
        backward(ids, dy, rows)
    }
}

/// The operation on GPUs, on the gradient tape and off it.
#[backend_extension(Autodiff, Cube)]
pub(crate) trait EmbedGpu: Backend {
    /// See [`crate::embedding::embed`].
    fn embed(table: FloatTensor<Self>, ids: IntTensor<Self>) -> FloatTensor<Self>;
}

impl EmbedGpu for Cube {
    fn embed(table: FloatTensor<Self>, ids: IntTensor<Self>) -> FloatTensor<Self> {
        Self::float_select(table, 0, ids)
    }
}

impl<B: EmbedKernels, C: CheckpointStrategy> EmbedGpu for Autodiff<B, C> {
    fn embed(table: FloatTensor<Self>, ids: IntTensor<Self>) -> FloatTensor<Self> {
        match EmbedBackward.prepare::<C>([table.node()]).compute_bound().stateful() {
            OpsKind::Tracked(prep) => {
                let table = table.into_primitive();
                let rows = table.shape()[0];
                prep.finish((ids.clone(), rows), B::float_select(table, 0, ids))
            }
            OpsKind::UnTracked(prep) => prep.finish(B::float_select(table.into_primitive(), 0, ids)),
        }
    }
}

#[derive(Debug)]
struct EmbedBackward;

impl<B: EmbedKernels> Backward<B, 1> for EmbedBackward {
    /// The ids, and how many rows the table has.
    type State = (IntTensor<B>, usize);

    fn backward(self, ops: Ops<Self::State, 1>, grads: &mut Gradients, _: &mut Checkpointer) {
        let [node] = ops.parents.map(|parent| parent.map(|node| node.id));
        let (ids, rows) = ops.state;
        let dy = grads.consume::<B>(&ops.node);
        register::<B>(grads, node, B::embed_backward(ids, dy, rows));
    }
}

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
    for chunk in 0..ids.len().div_ceil(units) {
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
fn backward(ids: CubeTensor, dy: CubeTensor, rows: usize) -> CubeTensor {
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
