//! The operations of this crate in few passes over memory, for Burn's CPU backend.
//!
//! Each has a reference implementation beside its public function, which it must equal. Nothing here is `unsafe`: matrix products
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

pub(crate) use ops::CpuKernels;
