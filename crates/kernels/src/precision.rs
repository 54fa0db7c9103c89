//! In which type the matrix products of a step are computed.

use std::cell::Cell;

use burn::tensor::{DType, Device, Tensor};

use crate::cpu::bf16::Unit;
use crate::cpu::matmul::Arithmetic;
use crate::place::is_cpu;

#[cfg(feature = "gpu")]
use crate::gpu::{multiplies, tensor_cores as fragments};

/// The type of the factors of matrix products, and of the rows between them. Weights, sums, norms, softmax, losses and angles
/// are `f32` in every case.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Precision {
    /// 32-bit factors. Where the framework multiplies them on tensor cores they are rounded to TF32, which has 10 bits of
    /// mantissa; the products of linear maps on CUDA are not, if cuBLASLt is there.
    #[default]
    F32,
    /// Factors of `bf16`: 8 bits of exponent, 7 of mantissa; on GPUs the rows between them as well.
    Bf16,
    /// Factors and rows of `f16`: 5 bits of exponent, 10 of mantissa, so small gradients vanish. Only on GPUs; for those whose
    /// tensor cores have no `bf16`.
    F16,
}

impl std::fmt::Display for Precision {
    /// As configurations call it.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::F32 => "f32",
            Self::Bf16 => "bf16",
            Self::F16 => "f16",
        })
    }
}

impl Precision {
    fn dtype(self) -> DType {
        match self {
            Self::F32 => DType::F32,
            Self::Bf16 => DType::BF16,
            Self::F16 => DType::F16,
        }
    }

    /// What a device multiplies fastest in: `bf16` on tensor cores, on AMX and in the vectors of AMD's processors since Zen 4,
    /// `f32` elsewhere. Intel's vectors of `bf16` are slower than those of `f32`, so they are for those who ask for them.
    pub fn fastest_on(device: &Device) -> Self {
        let short =
            if is_cpu(device) { Unit::found().is_some_and(Unit::is_faster) } else { Self::Bf16.runs_on(device) };
        if short { Self::Bf16 } else { Self::F32 }
    }

    /// The type of the rows between products on a device, where it has fewer bits than `f32`: on GPUs alone.
    pub fn shorter_rows_on(self, device: &Device) -> Option<DType> {
        (self != Self::F32 && !is_cpu(device)).then(|| self.dtype())
    }

    /// Whether a device computes in it: every device in `f32`, a GPU in 16 bits if its tensor cores take them, a CPU in
    /// `bf16` if it has instructions for it (AMX, or AVX-512 with BF16).
    pub fn runs_on(self, device: &Device) -> bool {
        match self {
            Self::F32 => true,
            Self::Bf16 if is_cpu(device) => Unit::found().is_some(),
            _ => multiplies(device, self.dtype()),
        }
    }
}

/// The products of fragments that a device's tensor cores take, `factors × sums, rows × columns × depth` each; none on the CPU.
pub fn tensor_cores(device: &Device) -> Vec<String> {
    fragments(device)
}

/// Only GPUs have tensor cores.
#[cfg(not(feature = "gpu"))]
fn multiplies(_: &Device, _: DType) -> bool {
    false
}

#[cfg(not(feature = "gpu"))]
fn fragments(_: &Device) -> Vec<String> {
    vec![]
}

thread_local! {
    static CURRENT: Cell<Precision> = const { Cell::new(Precision::F32) };
}

/// Runs `f` on this thread with its matrix products in `precision`; what it puts on the gradient tape stays so in the backward
/// pass. Where a device does not compute in it ([`Precision::runs_on`]), products are in `f32`.
pub fn with_precision<T>(precision: Precision, f: impl FnOnce() -> T) -> T {
    /// Puts things back even when `f` panics.
    struct Restore(Precision);
    impl Drop for Restore {
        fn drop(&mut self) {
            CURRENT.set(self.0);
        }
    }
    let _restore = Restore(CURRENT.replace(precision));
    f()
}

/// What products on this thread are asked to be computed in.
pub(crate) fn current() -> Precision {
    CURRENT.get()
}

/// The type of factors on this thread.
#[cfg(feature = "gpu")]
pub(crate) fn factor_type() -> DType {
    CURRENT.get().dtype()
}

/// What products on this thread are computed in on the CPU.
pub(crate) fn arithmetic() -> Arithmetic {
    match CURRENT.get() {
        Precision::Bf16 => Unit::found().map_or(Arithmetic::F32, Arithmetic::Bf16),
        Precision::F32 | Precision::F16 => Arithmetic::F32,
    }
}

/// The type of rows that come out of a norm: that of the step's factors on a GPU, and that of what was normed elsewhere.
pub(crate) fn row_type<const R: usize>(x: &Tensor<R>) -> DType {
    CURRENT.get().shorter_rows_on(&x.device()).unwrap_or(x.dtype())
}

/// `x + y` in the type of `x`: what a sub-layer adds to the stream may be of fewer bits than the stream.
pub fn add_rows<const R: usize>(x: Tensor<R>, y: Tensor<R>) -> Tensor<R> {
    let y = y.cast(x.dtype());
    x + y
}
