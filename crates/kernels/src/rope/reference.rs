//! The reference implementation, in Burn primitives.

use burn::tensor::Tensor;

use crate::rms_norm;

use super::*;

/// [`norm_rotate`] in Burn primitives.
pub fn norm_rotate_reference(x: Tensor<4>, weight: Tensor<1>, epsilon: f64, table: &RopeTable) -> Tensor<4> {
    reference(rms_norm::reference(x, weight, epsilon), table)
}

/// [`rotate`] in Burn primitives.
pub fn reference(x: Tensor<4>, table: &RopeTable) -> Tensor<4> {
    let [_, _, _, head_dim] = x.dims();
    let first = x.clone().narrow(3, 0, head_dim / 2);
    let second = x.narrow(3, head_dim / 2, head_dim / 2);
    let turned_first = first.clone() * table.cos.clone() - second.clone() * table.sin.clone();
    let turned_second = second * table.cos.clone() + first * table.sin.clone();
    Tensor::cat(vec![turned_first, turned_second], 3)
}
