//! What the operations share on the CPU: slices of tensors, loops in vector instructions, matrix products, the gradient tape.
//!
//! Nothing here is `unsafe`: matrix products are faer's, vector instructions are the compiler's ([`vector`]), threads are
//! rayon's, and an operation runs on the pool of the thread that calls it.

pub(crate) mod array;
pub(crate) mod matmul;
pub(crate) mod tape;
pub(crate) mod vector;
