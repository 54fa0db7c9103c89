//! Between Burn's GPU tensors and launches: dense inputs, fresh outputs, element types, vector widths, grids.

use burn::tensor::{DType, Shape};
use burn_cubecl::kernel::{cast, into_contiguous};
use burn_cubecl::ops::numeric::empty_device_contiguous_dtype;
use burn_cubecl::tensor::CubeTensor;
use cubecl::features::Plane;
use cubecl::ir::ElemType;
use cubecl::prelude::*;

/// Units of a cube that streams through memory; WebGPU allows 256.
pub(crate) const UNITS: u32 = 256;

/// Cubes that share out the rows of a matrix, when each of them leaves a partial sum behind: enough to fill a large GPU.
pub(crate) const MOST_PARTS: usize = 512;

/// The same values in row-major order without gaps; no copy when they lie so already.
pub(crate) fn dense(x: CubeTensor) -> CubeTensor {
    into_contiguous(x)
}

/// As [`dense`], in 32 bits.
pub(crate) fn dense_ints(x: CubeTensor) -> CubeTensor {
    into_contiguous(cast(x, DType::I32))
}

/// A dense tensor that may be written to: `x` itself where nobody else holds it.
pub(crate) fn owned(x: CubeTensor) -> CubeTensor {
    let x = dense(x);
    if x.can_mut() { x } else { x.copy() }
}

/// Memory for a result on the device of `like`; whatever launches on it writes every element.
pub(crate) fn output(like: &CubeTensor, shape: impl Into<Shape>, dtype: DType) -> CubeTensor {
    empty_device_contiguous_dtype(like.client.clone(), like.device.clone(), shape.into(), dtype)
}

/// The element type of a kernel for tensors of `dtype`.
pub(crate) fn elem(dtype: DType) -> ElemType {
    match dtype {
        DType::F16 => half::f16::elem_type_native(),
        DType::BF16 => half::bf16::elem_type_native(),
        DType::I32 => i32::elem_type_native(),
        _ => f32::elem_type_native(),
    }
}

/// The lengths of all axes.
pub(crate) fn dims(x: &CubeTensor) -> Vec<usize> {
    x.meta.shape().iter().copied().collect()
}

/// Elements that are loaded at once: four where rows of `width` elements allow it. Every shading language has vectors of four.
pub(crate) fn vector_size(width: usize) -> usize {
    [4, 2].into_iter().find(|size| width.is_multiple_of(*size)).unwrap_or(1)
}

/// Whether sums over the units of a plane are one instruction.
pub(crate) fn has_planes(x: &CubeTensor) -> bool {
    x.client.properties().features.plane.contains(Plane::Ops)
}

/// Sizes `[m, n, k]` of the products that a device's tensor cores make of factors of a type, summed in `f32`.
pub(crate) fn fragment_sizes(properties: &DeviceProperties, factor: ElemType) -> Vec<[usize; 3]> {
    let sum = f32::elem_type_native();
    let fragments = properties.features.matmul.cmma.iter();
    let fitting = fragments.filter(|f| f.a_type == factor && f.b_type == factor && f.cd_type == sum);
    fitting.map(|f| [f.m as usize, f.n as usize, f.k as usize]).collect()
}

/// A grid with one unit for each of `units`.
pub(crate) fn grid(x: &CubeTensor, units: usize) -> (CubeCount, CubeDim) {
    let dim = CubeDim::new_1d(UNITS);
    (cubecl::calculate_cube_count_elemwise(&x.client, units, dim), dim)
}
