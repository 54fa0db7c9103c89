//! The operations of this crate in few passes over memory, for Burn's CPU backend.
//!
//! Each has a plain definition beside its public function, which it must equal. Nothing here is `unsafe`: matrix products
//! are faer's, vector instructions are the compiler's ([`vector`]), threads are rayon's, and an operation runs on the pool
//! of the thread that calls it.

pub(crate) mod array;
pub(crate) mod attention;
mod convolution;
mod gated;
mod gradients;
mod groups;
mod norm;
mod ops;
mod product;
mod scores;
pub(crate) mod spans;
mod turn;
pub(crate) mod update;
mod vector;

use std::cell::Cell;

use burn::tensor::{DType, Device, Tensor};

pub(crate) use ops::CpuKernels;

thread_local! {
    static PLAIN: Cell<bool> = const { Cell::new(false) };
}

/// Runs `f` on this thread with the plain definitions in place of the fused operations: what the fused ones, and whole models
/// made of them, are compared with.
pub fn with_definitions<T>(f: impl FnOnce() -> T) -> T {
    /// Puts things back even when `f` panics.
    struct Restore(bool);
    impl Drop for Restore {
        fn drop(&mut self) {
            PLAIN.set(self.0);
        }
    }
    let _restore = Restore(PLAIN.replace(true));
    f()
}

/// Whether the fused operations take this tensor.
pub(crate) fn runs_here<const R: usize>(x: &Tensor<R>) -> bool {
    x.dtype() == DType::F32 && x.device().without_autodiff() == Device::flex() && !PLAIN.get()
}
