//! The operations of this crate as kernels for GPUs, written once in CubeCL for CUDA, Vulkan, Metal and WebGPU.
//!
//! Each has a reference implementation beside its public function, which it must equal. Rows of activations may be `f32` or
//! 16-bit; whatever is summed, exponentiated or compared is so in `f32`. `ops.rs` is the list of them, `tape.rs` their nodes
//! on the gradient tape, and every other file one operation: its kernels, and the functions that launch them.
//!
//! Kernels are launched without the checks of every index that the framework could add, which cost a multiple of what the
//! kernels do. So each kernel compares its place with the length of what it reads and writes, or with a plan from which the
//! grid was made, and the functions that launch them take shapes from the tensors themselves.

#![allow(unsafe_code)] // Launches; see above.

pub(crate) mod launch;
mod ops;
pub(crate) mod reduce;
pub(crate) mod tape;

use burn::backend::DispatchDevice;
use burn::tensor::{DType, Device, Tensor};
use cubecl::features::MmaConfig;
use cubecl::prelude::*;

use crate::attention::gpu::plan::FlashPlan;

pub(crate) use tape::GpuKernels;

/// The tiles of attention on the device of these queries and keys, where it has tensor cores for them.
pub(crate) fn flash_plan(q: &Tensor<4>, k: &Tensor<4>) -> Option<FlashPlan> {
    match q.device().without_autodiff().as_dispatch() {
        DispatchDevice::Cube(device) => FlashPlan::new(device, q.dtype(), q.dims(), k.dims()),
        _ => None,
    }
}

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
    match device.clone().without_autodiff().as_dispatch() {
        DispatchDevice::Cube(device) => device.client().properties().features.matmul.cmma.iter().copied().collect(),
        _ => vec![],
    }
}
