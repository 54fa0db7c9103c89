//! Attention in which each row sees a contiguous range of reading order.
//!
//! Dimensions: `B` batch, `Sq` query rows, `Sk` key rows, `H` query heads, `G` key/value heads (`G` divides `H`),
//! `Dh` width of a head.
//!
//! ```text
//! may_attend(i, j)  =  visible_from[i] ≤ order[j] < visible_until[i]   and   order[i] < hidden_from[j]
//! out[i]            =  Σ_j softmax_j(q_i · k_j / √Dh | may_attend(i, j)) v_j
//! ```
//!
//! The rows may lie in any order: who sees whom is a matter of the four integers alone. A row that sees nothing yields
//! zeros, never NaN. Mostly no key is hidden from anybody, and then the second condition is asked nowhere.

mod chunked;
pub(crate) mod cpu;
#[cfg(feature = "gpu")]
mod gpu;
mod reference;

use std::sync::{Arc, OnceLock};

use burn::backend::{Dispatch, DispatchTensor};
use burn::tensor::{Int, Tensor};

use self::chunked::ChunkedAttention;
use self::cpu::AttentionCpu;
use self::cpu::spans::Spans;
use crate::place::{Place, place_of};
use crate::precision::arithmetic;

pub use self::reference::reference;

/// What is added to the score of a hidden key: so far below any score that its weight is exactly zero in `f32`, and
/// still finite in `bf16`.
pub(crate) const HIDDEN: f32 = -1e30;

/// Scores that a GPU holds at once; 128 MiB in `f32`.
const MOST_SCORES: usize = 1 << 25;

/// For each query row the range of reading order that it sees, and for each key row its place in that order.
#[derive(Clone, Debug)]
pub struct VisibleRanges {
    key_order: Tensor<2, Int>,
    visible_from: Tensor<2, Int>,
    visible_until: Tensor<2, Int>,
    hidden: Option<HiddenKeys>,
    /// The comparison of the arrays, made at most once for all layers.
    comparison: Arc<OnceLock<Comparison>>,
    /// The same ranges in one buffer, for tensor cores, with the rows of a tile; made at most once as well.
    #[cfg(feature = "gpu")]
    packed: Arc<OnceLock<(usize, Tensor<1, Int>)>>,
    /// The same ranges as intervals of key rows, for the CPU; made at most once as well.
    spans: Arc<OnceLock<Arc<Spans>>>,
}

/// What decides whether a key is hidden from a query that has it in its range.
#[derive(Clone, Debug)]
struct HiddenKeys {
    /// The place of each query in reading order. `[B, Sq]`
    query_order: Tensor<2, Int>,
    /// The first place that does not see the key. `[B, Sk]`
    hidden_from: Tensor<2, Int>,
}

/// The ranges written out for every pair of rows.
#[derive(Clone, Debug)]
struct Comparison {
    /// 0 where the key is visible, [`HIDDEN`] elsewhere. `[B, 1, Sq, Sk]`
    bias: Tensor<4>,
    /// 1 for a row that sees anything, else 0. `[B, Sq, 1, 1]`
    sees_any: Tensor<4>,
}

impl VisibleRanges {
    /// # Shapes
    /// - `key_order`: `[B, Sk]`
    /// - `visible_from`, `visible_until`: `[B, Sq]`
    pub fn new(key_order: Tensor<2, Int>, visible_from: Tensor<2, Int>, visible_until: Tensor<2, Int>) -> Self {
        Self {
            key_order,
            visible_from,
            visible_until,
            hidden: None,
            comparison: Arc::default(),
            #[cfg(feature = "gpu")]
            packed: Arc::default(),
            spans: Arc::default(),
        }
    }

    /// The same ranges, of which each key is hidden from the queries that stand at `hidden_from` or behind; `i32::MAX` hides it
    /// from nobody.
    ///
    /// # Shapes
    /// - `query_order`: `[B, Sq]`, `hidden_from`: `[B, Sk]`
    #[must_use]
    pub fn with_hidden_keys(self, query_order: Tensor<2, Int>, hidden_from: Tensor<2, Int>) -> Self {
        let Self { key_order, visible_from, visible_until, .. } = self;
        let hidden = Some(HiddenKeys { query_order, hidden_from });
        Self { hidden, ..Self::new(key_order, visible_from, visible_until) }
    }

    /// The arrays as [`in_chunks`] takes them: the keys' order, where queries begin to see and where they end. Where keys are
    /// hidden, `[2, B, Sk]` with their `hidden_from` behind the first, and `[2, B, Sq]` with the queries' order behind the second.
    fn arrays(&self) -> [DispatchTensor; 3] {
        let Self { key_order, visible_from, visible_until, hidden, .. } = self;
        let until = visible_until.clone().into_dispatch();
        let both = |a: &Tensor<2, Int>, b: &Tensor<2, Int>| Tensor::stack::<3>(vec![a.clone(), b.clone()], 0);
        match hidden {
            None => [key_order.clone().into_dispatch(), visible_from.clone().into_dispatch(), until],
            Some(HiddenKeys { query_order, hidden_from }) => {
                let (keys, queries) = (both(key_order, hidden_from), both(visible_from, query_order));
                [keys.into_dispatch(), queries.into_dispatch(), until]
            }
        }
    }

    #[cfg(feature = "gpu")]
    fn packed(&self, tile_rows: usize) -> Tensor<1, Int> {
        let make = || {
            let parts = [&self.key_order, &self.visible_from, &self.visible_until];
            let [order, from, until] = parts.map(|part| part.clone().into_dispatch());
            let ranges = <Dispatch as gpu::AttentionGpu>::packed_ranges(order, from, until, tile_rows);
            let ranges = Tensor::<1, Int>::from_dispatch(ranges);
            let Some(HiddenKeys { query_order, hidden_from }) = &self.hidden else { return ranges };
            let [order, from] = [query_order, hidden_from].map(|part| part.clone().into_dispatch());
            let hidden = <Dispatch as gpu::AttentionGpu>::packed_hidden(order, from, tile_rows);
            Tensor::cat(vec![ranges, Tensor::from_dispatch(hidden)], 0)
        };
        match self.packed.get_or_init(|| (tile_rows, make())) {
            (rows, packed) if *rows == tile_rows => packed.clone(),
            _ => make(),
        }
    }

    fn spans(&self) -> Arc<Spans> {
        let make = || {
            let host = |x: &Tensor<2, Int>| x.to_data().iter::<i64>().collect::<Vec<_>>();
            let [batch, _] = self.visible_from.dims();
            let ranges = [&self.visible_from, &self.visible_until].map(host);
            let hidden = self.hidden.as_ref().map(|hidden| [&hidden.query_order, &hidden.hidden_from].map(host));
            Arc::new(Spans::new(batch, &host(&self.key_order), &ranges, hidden.as_ref()))
        };
        Arc::clone(self.spans.get_or_init(make))
    }

    fn comparison(&self) -> &Comparison {
        self.comparison.get_or_init(|| {
            let [batch, queries] = self.visible_from.dims();
            let [_, keys] = self.key_order.dims();
            let of_keys = |x: &Tensor<2, Int>| x.clone().unsqueeze_dim::<3>(1).expand([batch, queries, keys]);
            let of_queries = |x: &Tensor<2, Int>| x.clone().unsqueeze_dim::<3>(2).expand([batch, queries, keys]);
            let (order, from) = (of_keys(&self.key_order), of_queries(&self.visible_from));
            let in_range = order.clone().greater_equal(from).bool_and(order.lower(of_queries(&self.visible_until)));
            let visible = match &self.hidden {
                Some(HiddenKeys { query_order, hidden_from }) => {
                    in_range.bool_and(of_queries(query_order).lower(of_keys(hidden_from)))
                }
                None => in_range,
            };
            let sees_any = visible.clone().any_dim(2).float().reshape([batch, queries, 1, 1]);
            let bias = visible.bool_not().float().mul_scalar(HIDDEN).unsqueeze_dim::<4>(1);
            Comparison { bias, sees_any }
        })
    }
}

/// Attention of every query row to the keys in its range; grouped-query when there are fewer key heads than query heads.
///
/// # Shapes
/// - `q`: `[B, Sq, H, Dh]`, `k` and `v`: `[B, Sk, G, Dh]`
/// - returns `[B, Sq, H, Dh]`
///
/// Memory grows with the rows, not with their square. On the CPU nothing outside the ranges is computed.
pub fn ranged_attention(q: Tensor<4>, k: Tensor<4>, v: Tensor<4>, visible: &VisibleRanges) -> Tensor<4> {
    match place_of(&q) {
        Place::Cpu => {
            let (q, k, v) = (q.into_dispatch(), k.into_dispatch(), v.into_dispatch());
            Tensor::from_dispatch(<Dispatch as AttentionCpu>::attention(q, k, v, visible.spans(), arithmetic()))
        }
        #[cfg(feature = "gpu")]
        Place::Gpu => match gpu::plan::FlashPlan::new(&q, &k, visible.hidden.is_some()) {
            Some(plan) => in_tiles(q, k, v, visible, plan),
            None => in_chunks(q, k, v, visible, MOST_SCORES),
        },
        Place::Reference => in_chunks(q, k, v, visible, MOST_SCORES),
    }
}

/// [`ranged_attention`] on tensor cores.
#[cfg(feature = "gpu")]
fn in_tiles(
    q: Tensor<4>,
    k: Tensor<4>,
    v: Tensor<4>,
    visible: &VisibleRanges,
    plan: gpu::plan::FlashPlan,
) -> Tensor<4> {
    let ranges = visible.packed(plan.tile_rows()).into_dispatch();
    let (q, k, v) = (q.into_dispatch(), k.into_dispatch(), v.into_dispatch());
    Tensor::from_dispatch(<Dispatch as gpu::AttentionGpu>::attention(q, k, v, ranges, plan))
}

/// [`ranged_attention`] as it is computed on a GPU without tensor cores for its type: as many query rows at a time as have
/// `most_scores` scores, and again in the backward pass.
pub fn in_chunks(q: Tensor<4>, k: Tensor<4>, v: Tensor<4>, visible: &VisibleRanges, most_scores: usize) -> Tensor<4> {
    let [order, from, until] = visible.arrays();
    let (q, k, v) = (q.into_dispatch(), k.into_dispatch(), v.into_dispatch());
    Tensor::from_dispatch(<Dispatch as ChunkedAttention>::chunked_attention(q, k, v, order, from, until, most_scores))
}

#[cfg(test)]
mod tests {
    use super::*;
    use burn::tensor::{Device, TensorData};

    fn ints(rows: &[i32], device: &Device) -> Tensor<2, Int> {
        Tensor::from_data(TensorData::new(rows.to_vec(), [1, rows.len()]), device)
    }

    fn ramp(shape: [usize; 4], scale: f32, device: &Device) -> Tensor<4> {
        let count: usize = shape.iter().product();
        let values: Vec<f32> = (0..count).map(|i| (i as f32 * scale).sin()).collect();
        Tensor::from_data(TensorData::new(values, shape), device)
    }

    /// Written out with loops from the formula at the top of the file.
    fn by_hand(q: &[f32], k: &[f32], v: &[f32], dims: [usize; 4], ranges: (&[i32], &[i32], &[i32])) -> Vec<f32> {
        let [queries, keys, heads, dh] = dims;
        let (order, from, until) = ranges;
        let mut out = vec![0.0; queries * heads * dh];
        for h in 0..heads {
            for i in 0..queries {
                let seen: Vec<usize> = (0..keys).filter(|&j| from[i] <= order[j] && order[j] < until[i]).collect();
                let score = |j: usize| -> f32 {
                    let dot: f32 = (0..dh).map(|c| q[(i * heads + h) * dh + c] * k[(j * heads + h) * dh + c]).sum();
                    (dot / (dh as f32).sqrt()).exp()
                };
                let total: f32 = seen.iter().map(|&j| score(j)).sum();
                for &j in &seen {
                    for c in 0..dh {
                        out[(i * heads + h) * dh + c] += score(j) / total * v[(j * heads + h) * dh + c];
                    }
                }
            }
        }
        out
    }

    #[test]
    fn equals_the_formula_for_shuffled_rows_and_a_row_that_sees_nothing() {
        let device = Device::flex();
        let (queries, keys, heads, dh) = (3, 5, 2, 4);
        let (order, from, until) = ([3, 0, 4, 1, 2], [0, 2, 0], [3, 5, 0]);
        let q = ramp([1, queries, heads, dh], 0.7, &device);
        let k = ramp([1, keys, heads, dh], 1.3, &device);
        let v = ramp([1, keys, heads, dh], 0.37, &device);
        let values = |t: &Tensor<4>| t.to_data().try_to_vec::<f32>().unwrap();
        let expected =
            by_hand(&values(&q), &values(&k), &values(&v), [queries, keys, heads, dh], (&order, &from, &until));

        let visible = VisibleRanges::new(ints(&order, &device), ints(&from, &device), ints(&until, &device));
        let out = values(&ranged_attention(q, k, v, &visible));

        for (found, expected) in out.iter().zip(&expected) {
            assert!((found - expected).abs() < 1e-5, "{found} against {expected}");
        }
        assert!(out[2 * heads * dh..].iter().all(|&x| x == 0.0), "the fully masked row must be zero");
    }

    #[test]
    fn grouped_queries_equal_repeated_keys() {
        let device = Device::flex();
        let q = ramp([2, 3, 4, 4], 0.7, &device);
        let k = ramp([2, 3, 2, 4], 1.3, &device);
        let v = ramp([2, 3, 2, 4], 0.37, &device);
        let range = |rows: [i32; 3]| ints(&rows, &device).expand([2, 3]);
        let visible = VisibleRanges::new(range([0, 1, 2]), range([0, 0, 0]), range([1, 2, 3]));
        let repeated = |x: Tensor<4>| x.unsqueeze_dim::<5>(3).expand([2, 3, 2, 2, 4]).reshape([2, 3, 4, 4]);

        let grouped = ranged_attention(q.clone(), k.clone(), v.clone(), &visible);
        let plain = ranged_attention(q, repeated(k), repeated(v), &visible);

        assert!((grouped - plain).abs().max().into_scalar::<f32>() < 1e-6);
    }

    #[test]
    fn a_fully_masked_row_has_finite_gradients() {
        let device = Device::flex().autodiff();
        let q = ramp([1, 2, 1, 4], 0.7, &device).require_grad();
        let k = ramp([1, 2, 1, 4], 1.3, &device).require_grad();
        let visible = VisibleRanges::new(ints(&[0, 1], &device), ints(&[0, 0], &device), ints(&[1, 0], &device));
        let out = ranged_attention(q.clone(), k.clone(), k.clone(), &visible);
        let grads = out.sum().backward();
        for grad in [q.grad(&grads), k.grad(&grads)] {
            let values = grad.expect("gradient").to_data().try_to_vec::<f32>().unwrap();
            assert!(values.iter().all(|g| g.is_finite()));
        }
    }
}
