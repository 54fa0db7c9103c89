//! Every fused operation equals its reference implementation, in its values and all its gradients, over random shapes and on any number of
//! threads; and the gradients of the reference implementations are those of finite differences.

mod bf16;
mod differences;
mod parity;
mod probe;
