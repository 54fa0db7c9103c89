//! What the operations share on the CPU: slices of tensors, loops in vector instructions, matrix products, the gradient tape.
//!
//! Matrix products are faer's, or in `bf16` our own ([`bf16`]); vector instructions are the compiler's ([`vector`]), threads are
//! rayon's, and an operation runs on the pool of the thread that calls it. Only
//! [`bf16`] is `unsafe`, and memory that a product is the first to write ([`matmul`]).

pub(crate) mod array;
pub(crate) mod bf16;
pub(crate) mod matmul;
pub(crate) mod tape;
pub(crate) mod vector;
