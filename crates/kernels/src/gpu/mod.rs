//! What the operations share on GPUs: launches, sums over the units of a cube, the gradient tape, what a device can do.
//!
//! An operation's kernels lie in its own folder, in `gpu.rs` or `gpu/`, written once in CubeCL for CUDA, Vulkan, Metal and
//! WebGPU. Each has a reference implementation beside its public function, which it must equal. Rows of activations may be
//! `f32` or 16-bit; whatever is summed, exponentiated or compared is so in `f32`.
//!
//! An operation is two extensions of Burn's backend. `…Kernels` has its passes, off the gradient tape; where the framework
//! fuses elementwise operations, it records them as opaque ones, so what they return is stated beside each. `…Gpu` is what is
//! called: the operation on the gradient tape and off it. They are two because the framework asks for all of a trait
//! wherever it asks for any: a backward pass has no place on the tape, nor a node of the tape in what is fused.
//!
//! Kernels are launched without the checks of every index that the framework could add, which cost a multiple of what the
//! kernels do. So each kernel compares its place with the length of what it reads and writes, or with a plan from which the
//! grid was made, and the functions that launch them take shapes from the tensors themselves.

#![allow(unsafe_code)] // Launches; see above.

pub(crate) mod launch;
pub(crate) mod launches;
pub(crate) mod reduce;
pub(crate) mod tape;

use burn::backend::DispatchDevice;
use burn::tensor::{DType, Device};
use burn_cubecl::CubeDevice;
use cubecl::features::MmaConfig;
use cubecl::prelude::*;

/// Whether a device has tensor cores for factors of `dtype`.
pub(crate) fn multiplies(device: &Device, dtype: DType) -> bool {
    let factor = launch::elem(dtype);
    fragments(device).iter().any(|fragment| fragment.a_type == factor && fragment.cd_type == f32::elem_type_native())
}

/// See [`crate::precision::tensor_cores`].
pub(crate) fn tensor_cores(device: &Device) -> Vec<String> {
    let names =
        fragments(device).into_iter().map(|f| format!("{:?} x {:?}, {} x {} x {}", f.a_type, f.cd_type, f.m, f.n, f.k));
    names.collect()
}

fn fragments(device: &Device) -> Vec<MmaConfig> {
    match cube_device(device) {
        Some(device) => device.client().properties().features.matmul.cmma.iter().copied().collect(),
        None => vec![],
    }
}

/// The GPU that a device is, if it is one.
pub(crate) fn cube_device(device: &Device) -> Option<CubeDevice> {
    match device.clone().without_autodiff().as_dispatch() {
        DispatchDevice::Cube(device) => Some(device.clone()),
        _ => None,
    }
}
