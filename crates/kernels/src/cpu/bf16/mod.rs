//! Matrix products whose factors are rounded to `bf16`, in the units that processors have for them: tiles of AMX, or vector
//! instructions of AVX-512. Sums are `f32`.
//!
//! Both units multiply pairs of neighbours along the inner axis, so both take the same packed factors ([`packing`]): tiles of
//! 16 × 32 elements, of `a` with its rows one after the other, of `b` with its rows interleaved by two. Rounding is done while
//! packing, and a factor that lies transposed is read as it lies.
//!
//! The instructions are not within reach of safe code, so most of this folder is `unsafe`. On other processors there is no unit,
//! and [`Unit::found`] says so.

#[cfg(target_arch = "x86_64")]
mod amx;
#[cfg(target_arch = "x86_64")]
mod avx512;
#[cfg(target_arch = "x86_64")]
mod packing;
#[cfg(target_arch = "x86_64")]
mod product;
#[cfg(test)]
mod tests;
mod unit;

#[cfg(target_arch = "x86_64")]
pub(crate) use product::multiply;
pub(crate) use unit::Unit;

/// No unit is found on such a processor, so nothing calls this.
#[cfg(not(target_arch = "x86_64"))]
pub(crate) fn multiply(
    _: Unit,
    out: faer::MatMut<'_, f32>,
    into: super::matmul::Into,
    [a, b]: [faer::MatRef<'_, f32>; 2],
    factor: f32,
) {
    super::matmul::multiply(out, into, a, b, factor);
}
