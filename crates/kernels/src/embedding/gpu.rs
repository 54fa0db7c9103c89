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
use crate::gpu::reduce::cube_sum;
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

/// Tokens that each unit looks at before those of the owned rows are added.
const SEEN: usize = 16;

/// Tokens whose gradients are asked for before any is waited for.
const AHEAD: usize = 4;

#[cube(launch_unchecked)]
fn add_rows<G: Float>(
    ids: &[i32],
    dy: &[G],
    d_table: &mut [f32],
    width: u32,
    #[comptime] owned: usize,
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
    let mut counts = Shared::<[u32]>::new_slice(units);
    let mut found = Shared::<[u32]>::new_slice(comptime!(units * SEEN));
    let mut shared = Shared::<[f32]>::new_slice(units);
    let chunk = comptime!(units * SEEN);
    for start in range_stepped(0usize, ids.len(), chunk) {
        // Each unit looks at tokens that follow one another, so that all that are found stay in order.
        let mine = start + unit * comptime!(SEEN);
        let mut count = 0u32;
        #[unroll]
        for index in 0..comptime!(SEEN) {
            if is_owned(ids, mine + index, first, owned) {
                count += 1u32;
            }
        }
        let total = cube_sum(f32::cast_from(count), &mut shared, units, planes);
        if total > 0f32 {
            counts[unit] = count;
            sync_cube();
            if count > 0u32 {
                let mut place = 0u32;
                for before in 0..unit {
                    place += counts[before];
                }
                #[unroll]
                for index in 0..comptime!(SEEN) {
                    if is_owned(ids, mine + index, first, owned) {
                        found[place as usize] = (mine + index) as u32;
                        place += 1u32;
                    }
                }
            }
            sync_cube();
            add_found(ids, dy, &found, total as usize, &mut sums, first, width, units);
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

/// Whether a token is of one of the owned rows.
#[cube]
fn is_owned(ids: &[i32], token: usize, first: usize, #[comptime] owned: usize) -> bool {
    let mut owns = false;
    if token < ids.len() {
        let row = ids[token] - first as i32;
        owns = row >= 0 && row < owned as i32;
    }
    owns
}

/// Adds what `total` tokens send back to the sums of their rows, one after the other.
#[cube]
#[allow(clippy::too_many_arguments)] // A kernel's arguments come one by one.
fn add_found<G: Float>(
    ids: &[i32],
    dy: &[G],
    found: &Shared<[u32]>,
    total: usize,
    sums: &mut Shared<[f32]>,
    first: usize,
    width: usize,
    #[comptime] units: usize,
) {
    let unit = UNIT_POS as usize;
    let column = CUBE_POS_Y as usize * units + unit;
    for group in range_stepped(0usize, total, AHEAD) {
        let mut values = Array::<f32>::new(AHEAD);
        #[unroll]
        for index in 0..comptime!(AHEAD) {
            let mut value = 0f32;
            if group + index < total && column < width {
                value = f32::cast_from(dy[found[group + index] as usize * width + column]);
            }
            values[index] = value;
        }
        #[unroll]
        for index in 0..comptime!(AHEAD) {
            if group + index < total {
                let row = ids[found[group + index] as usize] as usize - first;
                sums[row * units + unit] += values[index];
            }
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
            UNITS as usize,
            planes,
            elem(dy.dtype),
        );
    }
    d_table
}
