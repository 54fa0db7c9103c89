//! The places of a row's elements from the largest to the smallest. It has no gradient, so no node on the tape.
//!
//! On GPUs the reference implementation runs: Burn sorts there by way of the host, which a forward pass must not.

mod cpu;
mod reference;

use burn::tensor::{Int, Tensor};

use crate::place::{Place, place_of};

pub use self::reference::reference;

/// Where the largest element of each row lies, where the next largest, and so on; of equal ones the earlier comes first.
///
/// # Shapes
/// - `scores`: `[G, S]`; returns `[G, S]` in `0..S`
pub fn descending_order(scores: Tensor<2>) -> Tensor<2, Int> {
    match place_of(&scores) {
        Place::Cpu => cpu::descending_order(scores),
        _ => reference(scores),
    }
}
