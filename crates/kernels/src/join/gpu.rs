//! Rows side by side on GPUs: a unit moves a vector. The framework's own copies move an element at a time where rows lie apart.

#![allow(unsafe_code)] // Launches; see [`crate::gpu`].

use burn::backend::autodiff::checkpoint::base::Checkpointer;
use burn::backend::autodiff::checkpoint::strategy::CheckpointStrategy;
use burn::backend::autodiff::grads::Gradients;
use burn::backend::autodiff::ops::{Backward, Ops, OpsKind};
#[cfg(feature = "fusion")]
use burn::backend::fusion::custom::TensorSpec;
use burn::backend::tensor::FloatTensor;
use burn::backend::{Autodiff, Backend, Cube, TensorMetadata, backend_extension};
use burn::tensor::Shape;
use burn_cubecl::CubeBackend;
use burn_cubecl::tensor::CubeTensor;
use cubecl::ir::ElemType;
use cubecl::prelude::*;

use crate::gpu::launch::{dense, dims, elem, grid, output, vector_size};
use crate::gpu::tape::register;
use crate::tape::list::TensorList;

/// The passes on GPUs, off the gradient tape.
#[backend_extension(Cube, Fusion: cfg(feature = "fusion"))]
pub(crate) trait JoinKernels: Backend {
    /// The rows of all parts, part by part.
    #[fusion(meta = joined)]
    fn join_parts(#[extension_type] parts: TensorList<Self>) -> FloatTensor<Self>;
    /// The parts again, of so many rows each.
    #[fusion(meta = split)]
    fn split_parts(x: FloatTensor<Self>, rows: Vec<usize>) -> TensorList<Self>;
}

/// What joining returns, known before it runs.
#[cfg(feature = "fusion")]
fn joined(parts: &Vec<TensorSpec>) -> TensorSpec {
    let rows: usize = parts.iter().map(|part| part.shape[1]).sum();
    TensorSpec::new(with_rows(&parts[0].shape, rows), parts[0].dtype)
}

/// What splitting returns, known before it runs.
#[cfg(feature = "fusion")]
fn split(x: &TensorSpec, rows: &Vec<usize>) -> Vec<TensorSpec> {
    rows.iter().map(|rows| TensorSpec::new(with_rows(&x.shape, *rows), x.dtype)).collect()
}

/// The same shape with another number of rows.
fn with_rows(shape: &Shape, rows: usize) -> Shape {
    let mut shape: Vec<usize> = shape.iter().copied().collect();
    shape[1] = rows;
    shape.into()
}

impl JoinKernels for CubeBackend {
    fn join_parts(parts: TensorList<Self>) -> CubeTensor {
        let parts: Vec<CubeTensor> = parts.0.into_iter().map(dense).collect();
        let rows = parts.iter().map(|part| dims(part)[1]).sum();
        let y = output(&parts[0], with_rows(&parts[0].shape(), rows), parts[0].dtype);
        let mut first = 0;
        for part in parts {
            let rows = dims(&part)[1];
            move_rows((part, 0), (&y, first), rows);
            first += rows;
        }
        y
    }

    fn split_parts(x: CubeTensor, rows: Vec<usize>) -> TensorList<Self> {
        let x = dense(x);
        let mut first = 0;
        let part = |rows: usize| {
            let y = output(&x, with_rows(&x.shape(), rows), x.dtype);
            move_rows((x.clone(), first), (&y, 0), rows);
            first += rows;
            y
        };
        TensorList(rows.into_iter().map(part).collect())
    }
}

/// The operation on GPUs, on the gradient tape and off it.
#[backend_extension(Autodiff, Cube)]
pub(crate) trait JoinGpu: Backend {
    /// See [`crate::join_rows`].
    fn join(#[extension_type] parts: TensorList<Self>) -> FloatTensor<Self>;
}

impl JoinGpu for Cube {
    fn join(parts: TensorList<Self>) -> FloatTensor<Self> {
        Self::join_parts(parts)
    }
}

impl<B: JoinKernels, C: CheckpointStrategy> JoinGpu for Autodiff<B, C> {
    fn join(parts: TensorList<Self>) -> FloatTensor<Self> {
        let mut parts = parts.0.into_iter();
        // A node has a fixed number of parents: the first two parts, then one more at a time.
        let (Some(first), Some(second)) = (parts.next(), parts.next()) else {
            unreachable!("one part needs no joining")
        };
        parts.fold(pair::<B, C>(first, second), pair::<B, C>)
    }
}

/// Two parts side by side.
fn pair<B: JoinKernels, C: CheckpointStrategy>(
    first: FloatTensor<Autodiff<B, C>>,
    second: FloatTensor<Autodiff<B, C>>,
) -> FloatTensor<Autodiff<B, C>> {
    let nodes = [first.node(), second.node()];
    let parts = [first, second].map(|part| part.into_primitive());
    let rows = parts.each_ref().map(|part| part.shape()[1]);
    let y = B::join_parts(TensorList(parts.into()));
    match JoinBackward.prepare::<C>(nodes).compute_bound().stateful() {
        OpsKind::Tracked(prep) => prep.finish(rows, y),
        OpsKind::UnTracked(prep) => prep.finish(y),
    }
}

#[derive(Debug)]
struct JoinBackward;

impl<B: JoinKernels> Backward<B, 2> for JoinBackward {
    /// Rows of each part.
    type State = [usize; 2];

    fn backward(self, ops: Ops<Self::State, 2>, grads: &mut Gradients, _: &mut Checkpointer) {
        let nodes = ops.parents.map(|parent| parent.map(|node| node.id));
        let dy = grads.consume::<B>(&ops.node);
        let parts = B::split_parts(dy, ops.state.into()).0;
        nodes.into_iter().zip(parts).for_each(|(node, part)| register::<B>(grads, node, part));
    }
}

#[cube(launch_unchecked)]
fn move_vectors<F: Float, N: Size>(
    source: &[Vector<F, N>],
    target: &mut [Vector<F, N>],
    count: u32,
    vectors: u32,
    source_pitch: u32,
    source_first: u32,
    target_pitch: u32,
    target_first: u32,
    #[define(F)] _dtype: ElemType,
) {
    let at = ABSOLUTE_POS;
    if at < count as usize {
        let (batch, place) = (at / vectors as usize, at % vectors as usize);
        let from = batch * source_pitch as usize + source_first as usize + place;
        target[batch * target_pitch as usize + target_first as usize + place] = source[from];
    }
}

/// Moves `rows` rows of every element of the batch, from a row of the one tensor to a row of the other.
fn move_rows((source, from): (CubeTensor, usize), (target, to): (&CubeTensor, usize), rows: usize) {
    let (shape, target_shape) = (dims(&source), dims(target));
    let width = shape[2] * shape[3];
    let vector = vector_size(width);
    let row = width / vector;
    let count = shape[0] * rows * row;
    let (cubes, dim) = grid(&source, count);
    let dtype = elem(source.dtype);
    // SAFETY: see [`crate::gpu`].
    unsafe {
        move_vectors::launch_unchecked(
            &target.client.clone(),
            cubes,
            dim,
            vector,
            source.into_buffer_arg(),
            target.clone().into_buffer_arg(),
            count as u32,
            (rows * row) as u32,
            (shape[1] * row) as u32,
            (from * row) as u32,
            (target_shape[1] * row) as u32,
            (to * row) as u32,
            dtype,
        )
    }
}
