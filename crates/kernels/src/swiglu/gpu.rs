//! SwiGLU: `y = silu(gate) · up`, each unit a vector.
//!
//! ```text
//! s = 1 / (1 + e^−g)       d_gate = dy · up · s · (1 + g · (1 − s))       d_up = dy · g · s
//! ```

#![allow(unsafe_code)] // Launches; see [`crate::gpu`].

use burn::backend::autodiff::NodeId;
use burn::backend::autodiff::checkpoint::base::Checkpointer;
use burn::backend::autodiff::checkpoint::strategy::CheckpointStrategy;
use burn::backend::autodiff::grads::Gradients;
use burn::backend::autodiff::ops::{Backward, Ops, OpsKind};
use burn::backend::tensor::FloatTensor;
use burn::backend::{Autodiff, Backend, Cube, backend_extension};
use burn_cubecl::CubeBackend;
use burn_cubecl::tensor::CubeTensor;
use cubecl::ir::ElemType;
use cubecl::prelude::*;

use crate::gpu::launch::{dense, dims, elem, grid, output, vector_size};
use crate::gpu::tape::register;

/// The passes on GPUs, off the gradient tape.
#[backend_extension(Cube, Fusion: cfg(feature = "fusion"))]
pub(crate) trait SwigluKernels: Backend {
    /// `silu(gate) · up`
    #[fusion(dtype = gate, shape = gate)]
    fn swiglu_forward(gate: FloatTensor<Self>, up: FloatTensor<Self>) -> FloatTensor<Self>;
    /// Gradients of gate and up.
    #[fusion(meta = |gate, up, _dy| (gate.clone(), up.clone()))]
    fn swiglu_backward(
        gate: FloatTensor<Self>,
        up: FloatTensor<Self>,
        dy: FloatTensor<Self>,
    ) -> (FloatTensor<Self>, FloatTensor<Self>);
}

impl SwigluKernels for CubeBackend {
    fn swiglu_forward(gate: CubeTensor, up: CubeTensor) -> CubeTensor {
        forward(gate, up)
    }

    fn swiglu_backward(gate: CubeTensor, up: CubeTensor, dy: CubeTensor) -> (CubeTensor, CubeTensor) {
        backward(gate, up, dy)
    }
}

/// The operation on GPUs, on the gradient tape and off it.
#[backend_extension(Autodiff, Cube)]
pub(crate) trait SwigluGpu: Backend {
    /// See [`crate::swiglu()`].
    fn swiglu(gate: FloatTensor<Self>, up: FloatTensor<Self>) -> FloatTensor<Self>;
}

impl SwigluGpu for Cube {
    fn swiglu(gate: FloatTensor<Self>, up: FloatTensor<Self>) -> FloatTensor<Self> {
        Self::swiglu_forward(gate, up)
    }
}

impl<B: SwigluKernels, C: CheckpointStrategy> SwigluGpu for Autodiff<B, C> {
    fn swiglu(gate: FloatTensor<Self>, up: FloatTensor<Self>) -> FloatTensor<Self> {
        match SwigluBackward.prepare::<C>([gate.node(), up.node()]).compute_bound().stateful() {
            OpsKind::Tracked(mut prep) => {
                let kept = (prep.checkpoint(&gate), prep.checkpoint(&up));
                prep.finish(kept, B::swiglu_forward(gate.into_primitive(), up.into_primitive()))
            }
            OpsKind::UnTracked(prep) => prep.finish(B::swiglu_forward(gate.into_primitive(), up.into_primitive())),
        }
    }
}

#[derive(Debug)]
struct SwigluBackward;

impl<B: SwigluKernels> Backward<B, 2> for SwigluBackward {
    /// Gate and up.
    type State = (NodeId, NodeId);

    fn backward(self, ops: Ops<Self::State, 2>, grads: &mut Gradients, checkpointer: &mut Checkpointer) {
        let [gate_node, up_node] = ops.parents.map(|parent| parent.map(|node| node.id));
        let (gate, up) = ops.state;
        let dy = grads.consume::<B>(&ops.node);
        let [gate, up] = [gate, up].map(|id| checkpointer.retrieve_node_output(id));
        let (d_gate, d_up) = B::swiglu_backward(gate, up, dy);
        register::<B>(grads, gate_node, d_gate);
        register::<B>(grads, up_node, d_up);
    }
}

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

fn forward(gate: CubeTensor, up: CubeTensor) -> CubeTensor {
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

fn backward(gate: CubeTensor, up: CubeTensor, dy: CubeTensor) -> (CubeTensor, CubeTensor) {
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
