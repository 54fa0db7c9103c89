//! Rows of a table by their numbers.

#[cfg(feature = "gpu")]
mod gpu;

#[cfg(feature = "gpu")]
use burn::backend::Dispatch;
use burn::tensor::{Int, Tensor};

#[cfg(feature = "gpu")]
use crate::place::{Place, place_of};

/// The row of every id.
///
/// # Shapes
/// - `table`: `[V, D]`, `ids`: `[N]` in `0..V`; returns `[N, D]`
pub fn embed(table: Tensor<2>, ids: Tensor<1, Int>) -> Tensor<2> {
    #[cfg(feature = "gpu")]
    if place_of(&table) == Place::Gpu {
        let (table, ids) = (table.into_dispatch(), ids.into_dispatch());
        return Tensor::from_dispatch(<Dispatch as gpu::EmbedGpu>::embed(table, ids));
    }
    table.select(0, ids)
}
