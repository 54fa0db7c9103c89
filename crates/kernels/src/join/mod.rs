//! Rows of several tensors side by side.

#[cfg(feature = "gpu")]
mod gpu;

use burn::tensor::Tensor;

#[cfg(feature = "gpu")]
use crate::place::{Place, place_of};

/// The rows of all parts, part by part.
///
/// # Shapes
/// - `parts`: `[B, S_p, G, Dh]` each; returns `[B, Σ S_p, G, Dh]`
pub fn join_rows(mut parts: Vec<Tensor<4>>) -> Tensor<4> {
    if parts.len() == 1 {
        return parts.remove(0);
    }
    #[cfg(feature = "gpu")]
    if parts.first().is_some_and(|part| place_of(part) == Place::Gpu) {
        use crate::tape::list::TensorList;
        let parts = TensorList(parts.into_iter().map(Tensor::into_dispatch).collect());
        return Tensor::from_dispatch(<burn::backend::Dispatch as gpu::JoinGpu>::join(parts));
    }
    Tensor::cat(parts, 1)
}
