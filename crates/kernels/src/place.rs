//! Which implementation of an operation a tensor gets.

use std::cell::Cell;

use burn::tensor::{DType, Device, Tensor};

thread_local! {
    static PLAIN: Cell<bool> = const { Cell::new(false) };
}

/// Where an operation runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Place {
    /// In the operation's `cpu`, its fused kernels.
    Cpu,
    /// In the operation's `gpu`, its kernels for GPUs.
    #[cfg(feature = "gpu")]
    Gpu,
    /// In its reference implementation.
    Reference,
}

/// Runs `f` on this thread with the reference implementations in place of the fused operations: what the fused ones, and whole models
/// made of them, are compared with.
pub fn with_reference<T>(f: impl FnOnce() -> T) -> T {
    with_reference_as(true, f)
}

/// Runs `f` on this thread with the reference implementations, or with the fused ones.
pub(crate) fn with_reference_as<T>(is_reference: bool, f: impl FnOnce() -> T) -> T {
    /// Puts things back even when `f` panics.
    struct Restore(bool);
    impl Drop for Restore {
        fn drop(&mut self) {
            PLAIN.set(self.0);
        }
    }
    let _restore = Restore(PLAIN.replace(is_reference));
    f()
}

/// Whether the reference implementations run on this thread.
pub(crate) fn is_reference() -> bool {
    PLAIN.get()
}

/// Whether this is the CPU, on the gradient tape or off it.
pub(crate) fn is_cpu(device: &Device) -> bool {
    device.clone().without_autodiff() == Device::flex()
}

/// Where an operation on this tensor runs.
pub(crate) fn place_of<const R: usize>(x: &Tensor<R>) -> Place {
    if PLAIN.get() {
        return Place::Reference;
    }
    match is_cpu(&x.device()) {
        true if x.dtype() == DType::F32 => Place::Cpu,
        true => Place::Reference,
        #[cfg(feature = "gpu")]
        false => Place::Gpu,
        #[cfg(not(feature = "gpu"))]
        false => Place::Reference,
    }
}
