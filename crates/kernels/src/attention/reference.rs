//! The reference implementation, in Burn primitives.

use burn::tensor::Tensor;
use burn::tensor::activation::softmax;

use super::*;

/// [`ranged_attention`] in Burn primitives, with all scores in memory.
pub fn reference(q: Tensor<4>, k: Tensor<4>, v: Tensor<4>, visible: &VisibleRanges) -> Tensor<4> {
    let [batch, queries, heads, head_dim] = q.dims();
    let [_, keys, kv_heads, _] = k.dims();
    let group = heads / kv_heads;
    let mask = visible.comparison();
    let (bias, sees_any) = (mask.bias.clone().cast(q.dtype()), mask.sees_any.clone().cast(q.dtype()));

    // Query heads that share a key head become rows of one matrix product.
    let q = q.swap_dims(1, 2).reshape([batch, kv_heads, group * queries, head_dim]);
    let k = k.permute([0, 2, 3, 1]);
    let v = v.swap_dims(1, 2);

    let scores = q.mul_scalar(1.0 / (head_dim as f64).sqrt()).matmul(k);
    let scores = scores.reshape([batch, heads, queries, keys]) + bias;
    let weights = softmax(scores, 3).reshape([batch, kv_heads, group * queries, keys]);
    let out = weights.matmul(v).reshape([batch, heads, queries, head_dim]).swap_dims(1, 2);
    // The softmax of a row whose keys are all hidden is uniform; such a row must yield nothing.
    out * sees_any
}
