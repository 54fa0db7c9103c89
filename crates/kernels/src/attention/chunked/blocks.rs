//! The forward and backward pass in a backend's primitives.
//!
//! Dimensions: `B` batch, `Sq` query rows, `R` query rows of a chunk, `Sk` key rows, `H` query heads, `G` key/value heads,
//! `Dh` width of a head. Query heads that share a key head become rows of one product: `[B, G, H/G · R, …]`.

use std::ops::Range;

use burn::backend::tensor::{Device, FloatTensor, IntTensor};
use burn::backend::{Backend, TensorMetadata, get_device_settings};
use burn::tensor::{FloatDType, Shape, Slice};

use crate::attention::HIDDEN;

/// Below any sum of weights of a row that sees something: the sum is divided by no less.
const LEAST_SUM: f32 = 1e-20;

/// Queries `[B, Sq, H, Dh]`, keys and values `[B, Sk, G, Dh]`.
#[derive(Clone, Debug)]
pub(crate) struct Inputs<B: Backend> {
    pub(crate) q: FloatTensor<B>,
    pub(crate) k: FloatTensor<B>,
    pub(crate) v: FloatTensor<B>,
}

/// `key_order`: `[B, Sk]`; `from`, `until`: `[B, Sq]`. Where keys are hidden, `key_order` is `[2, B, Sk]`, with their `hidden_from`
/// behind it, and `from` is `[2, B, Sq]`, with the order of the queries behind it.
#[derive(Clone, Debug)]
pub(crate) struct Ranges<B: Backend> {
    pub(crate) key_order: IntTensor<B>,
    pub(crate) from: IntTensor<B>,
    pub(crate) until: IntTensor<B>,
}

#[derive(Clone, Copy)]
struct Dimensions {
    batch: usize,
    queries: usize,
    keys: usize,
    heads: usize,
    kv_heads: usize,
    head_dim: usize,
}

/// Keys `[B, G, Dh, Sk]` and values `[B, G, Sk, Dh]` of all rows, and who sees them.
struct Seen<'a, B: Backend> {
    keys: FloatTensor<B>,
    values: FloatTensor<B>,
    ranges: &'a Ranges<B>,
    dims: Dimensions,
    dtype: FloatDType,
    device: Device<B>,
}

impl<'a, B: Backend> Seen<'a, B> {
    fn new(inputs: &Inputs<B>, ranges: &'a Ranges<B>) -> Self {
        let (q, k) = (inputs.q.shape(), inputs.k.shape());
        let dims = Dimensions { batch: q[0], queries: q[1], heads: q[2], head_dim: q[3], keys: k[1], kv_heads: k[2] };
        Self {
            keys: B::float_permute(inputs.k.clone(), &[0, 2, 3, 1]),
            values: B::float_permute(inputs.v.clone(), &[0, 2, 1, 3]),
            ranges,
            dims,
            dtype: inputs.q.dtype().into(),
            device: inputs.q.device(),
        }
    }

    /// The query rows of each chunk.
    fn chunks(&self, most_scores: usize) -> impl Iterator<Item = Range<usize>> + use<B> {
        let Dimensions { batch, queries, keys, heads, .. } = self.dims;
        let rows = (most_scores / (batch * heads * keys).max(1)).clamp(1, queries.max(1));
        (0..queries).step_by(rows).map(move |start| start..(start + rows).min(queries))
    }

    /// Rows of a chunk of `x`, `[B, Sq, H, Dh]`, as `[B, G, H/G · R, Dh]`.
    fn rows(&self, x: &FloatTensor<B>, rows: &Range<usize>) -> FloatTensor<B> {
        let Dimensions { batch, heads, kv_heads, head_dim, .. } = self.dims;
        let part = B::float_slice(x.clone(), &[Slice::full(), Slice::from(rows.clone())]);
        let part = B::float_permute(part, &[0, 2, 1, 3]);
        B::float_reshape(part, Shape::new([batch, kv_heads, heads / kv_heads * rows.len(), head_dim]))
    }

    /// The inverse of [`Self::rows`].
    fn unfold(&self, x: FloatTensor<B>, rows: &Range<usize>) -> FloatTensor<B> {
        let Dimensions { batch, heads, head_dim, .. } = self.dims;
        let x = B::float_reshape(x, Shape::new([batch, heads, rows.len(), head_dim]));
        B::float_permute(x, &[0, 2, 1, 3])
    }

    /// 1 where a row of the chunk sees a key, else 0. `[B, 1, R, Sk]`
    fn visible(&self, rows: &Range<usize>) -> FloatTensor<B> {
        let (batch, keys) = (self.dims.batch, self.dims.keys);
        let all = Shape::new([batch, rows.len(), keys]);
        let of_rows = |x: IntTensor<B>| {
            let part = B::int_slice(x, &[Slice::full(), Slice::from(rows.clone())]);
            B::int_expand(B::int_reshape(part, Shape::new([batch, rows.len(), 1])), all.clone())
        };
        let of_keys = |x: IntTensor<B>| B::int_expand(B::int_reshape(x, Shape::new([batch, 1, keys])), all.clone());
        let Ranges { key_order, from, until } = self.ranges.clone();
        let (order, hidden_from) = parts::<B>(key_order, [batch, keys]);
        let (from, query_order) = parts::<B>(from, [batch, self.dims.queries]);
        let order = of_keys(order);
        let bools = get_device_settings::<B>(&self.device).bool_dtype;
        let after = B::int_greater_equal(order.clone(), of_rows(from), bools);
        let before = B::int_lower(order, of_rows(until), bools);
        let mut visible = B::bool_and(after, before);
        if let (Some(hidden_from), Some(query_order)) = (hidden_from, query_order) {
            visible = B::bool_and(visible, B::int_lower(of_rows(query_order), of_keys(hidden_from), bools));
        }
        let visible = B::bool_into_float(visible, self.dtype);
        B::float_reshape(visible, Shape::new([batch, 1, rows.len(), keys]))
    }

    /// Scores of a chunk, hidden ones far below all others. `[B, H, R, Sk]`
    fn scores(&self, q: FloatTensor<B>, visible: FloatTensor<B>, rows: &Range<usize>) -> FloatTensor<B> {
        let scores = B::float_matmul(B::float_mul_scalar(q, self.scale().into()), self.keys.clone());
        // (visible − 1) · 1e30 is 0 or HIDDEN.
        let bias = B::float_mul_scalar(B::float_sub_scalar(visible, 1.0.into()), (-HIDDEN).into());
        B::float_add(self.by_head(scores, rows), bias)
    }

    fn scale(&self) -> f32 {
        1.0 / (self.dims.head_dim as f32).sqrt()
    }

    /// `[B, G, H/G · R, Sk]` → `[B, H, R, Sk]`
    fn by_head(&self, x: FloatTensor<B>, rows: &Range<usize>) -> FloatTensor<B> {
        B::float_reshape(x, Shape::new([self.dims.batch, self.dims.heads, rows.len(), self.dims.keys]))
    }

    /// The inverse of [`Self::by_head`].
    fn by_group(&self, x: FloatTensor<B>, rows: &Range<usize>) -> FloatTensor<B> {
        let Dimensions { batch, heads, kv_heads, keys, .. } = self.dims;
        B::float_reshape(x, Shape::new([batch, kv_heads, heads / kv_heads * rows.len(), keys]))
    }
}

/// What every query gathers, `[B, Sq, H, Dh]`, and the logarithm of its sum of weights, `[B, H, Sq, 1]`.
pub(crate) fn forward<B: Backend>(
    inputs: &Inputs<B>,
    ranges: &Ranges<B>,
    most_scores: usize,
) -> (FloatTensor<B>, FloatTensor<B>) {
    let seen = Seen::new(inputs, ranges);
    let (mut outs, mut log_sums) = (vec![], vec![]);
    for rows in seen.chunks(most_scores) {
        let visible = seen.visible(&rows);
        let scores = seen.scores(seen.rows(&inputs.q, &rows), visible.clone(), &rows);
        let peaks = B::float_max_dim(scores.clone(), 3);
        let weights = B::float_mul(B::float_exp(B::float_sub(scores, peaks.clone())), visible);
        let sums = B::float_clamp_min(B::float_sum_dim(weights.clone(), 3), LEAST_SUM.into());
        let weights = seen.by_group(B::float_div(weights, sums.clone()), &rows);
        outs.push(seen.unfold(B::float_matmul(weights, seen.values.clone()), &rows));
        log_sums.push(B::float_add(peaks, B::float_log(sums)));
    }
    (joined::<B>(outs, 1), joined::<B>(log_sums, 2))
}

/// What the backward pass has besides the inputs; shapes as [`forward`] gives them.
pub(crate) struct Outcome<B: Backend> {
    pub(crate) out: FloatTensor<B>,
    pub(crate) log_sums: FloatTensor<B>,
    pub(crate) d_out: FloatTensor<B>,
}

/// Gradients of queries, keys and values.
pub(crate) fn backward<B: Backend>(
    inputs: &Inputs<B>,
    outcome: &Outcome<B>,
    ranges: &Ranges<B>,
    most_scores: usize,
) -> [FloatTensor<B>; 3] {
    let seen = Seen::new(inputs, ranges);
    let transposed = |x: FloatTensor<B>| B::float_swap_dims(x, 2, 3);
    let (mut dq, mut dk, mut dv) = (vec![], None, None);
    for rows in seen.chunks(most_scores) {
        let [q, d_out] = [&inputs.q, &outcome.d_out].map(|x| seen.rows(x, &rows));
        let out = seen.rows(&outcome.out, &rows);
        let visible = seen.visible(&rows);
        let scores = seen.scores(q.clone(), visible.clone(), &rows);
        let of_rows = [Slice::full(), Slice::full(), Slice::from(rows.clone())];
        let log_sums = B::float_slice(outcome.log_sums.clone(), &of_rows);
        let weights = B::float_mul(B::float_exp(B::float_sub(scores, log_sums)), visible);
        let weights = seen.by_group(weights, &rows);
        let deltas = B::float_sum_dim(B::float_mul(out, d_out.clone()), 3);
        let d_weights = B::float_matmul(d_out.clone(), transposed(seen.values.clone()));
        let d_scores = B::float_mul(weights.clone(), B::float_sub(d_weights, deltas));
        let d_scores = B::float_mul_scalar(d_scores, seen.scale().into());
        dq.push(seen.unfold(B::float_matmul(d_scores.clone(), transposed(seen.keys.clone())), &rows));
        dk = Some(added::<B>(dk, B::float_matmul(transposed(d_scores), q)));
        dv = Some(added::<B>(dv, B::float_matmul(transposed(weights), d_out)));
    }
    let by_row = |x: Option<FloatTensor<B>>, like: &FloatTensor<B>| match x {
        Some(x) => B::float_permute(x, &[0, 2, 1, 3]),
        None => B::float_zeros(like.shape(), &seen.device, seen.dtype),
    };
    [joined::<B>(dq, 1), by_row(dk, &inputs.k), by_row(dv, &inputs.v)]
}

/// `[B, S]` as it is, or the two halves of `[2, B, S]`.
fn parts<B: Backend>(x: IntTensor<B>, shape: [usize; 2]) -> (IntTensor<B>, Option<IntTensor<B>>) {
    if x.shape().num_dims() == 2 {
        return (x, None);
    }
    let half = |index: usize| B::int_reshape(B::int_slice(x.clone(), &[Slice::from(index..index + 1)]), shape.into());
    (half(0), Some(half(1)))
}

fn added<B: Backend>(sum: Option<FloatTensor<B>>, part: FloatTensor<B>) -> FloatTensor<B> {
    match sum {
        Some(sum) => B::float_add(sum, part),
        None => part,
    }
}

fn joined<B: Backend>(mut parts: Vec<FloatTensor<B>>, axis: usize) -> FloatTensor<B> {
    match parts.len() {
        1 => parts.remove(0),
        _ => B::float_cat(parts, axis),
    }
}
