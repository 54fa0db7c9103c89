//! Attention over intervals of keys, a tile at a time, so that memory grows with the rows alone (FlashAttention-2,
//! 2307.08691, algorithms 1 and 2).
//!
//! Dimensions: `B` batch, `Sq` query rows, `Sk` key rows, `H` query heads, `G` key/value heads, `Dh` width of a head.
//!
//! ```text
//! s_ij = q_i · k_j / √Dh        L_i = log Σ_j e^{s_ij}        o_i = Σ_j e^{s_ij − L_i} v_j
//! p_ij = e^{s_ij − L_i}         δ_i = o_i · ∂o_i              ds_ij = p_ij (∂o_i · v_j − δ_i)
//! ∂v_j = Σ_i p_ij ∂o_i          ∂q_i = Σ_j ds_ij k_j / √Dh    ∂k_j = Σ_i ds_ij q_i / √Dh
//! ```
//!
//! The sums run over the visible pairs. `L` is what the backward pass needs to find `p` again.

use std::ops::Range;

use faer::prelude::ReborrowMut;
use faer::{MatMut, MatRef};
use rayon::prelude::*;

use super::spans::{Run, Spans};
use crate::cpu::matmul::{Arithmetic, Into, multiply, view, view_mut};
use crate::cpu::vector::{dot, exp, max, sum, vectorised};

/// Query rows of a tile.
const QUERIES: usize = 64;
/// Key rows of a tile: a tile of scores stays in the second-level cache.
const KEYS: usize = 256;

/// The lengths of all axes.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Dimensions {
    pub(crate) batch: usize,
    pub(crate) queries: usize,
    pub(crate) keys: usize,
    pub(crate) heads: usize,
    pub(crate) kv_heads: usize,
    pub(crate) head_dim: usize,
    /// What products are computed in.
    pub(crate) arithmetic: Arithmetic,
}

impl Dimensions {
    fn group(&self) -> usize {
        self.heads / self.kv_heads
    }

    fn scale(&self) -> f32 {
        1.0 / (self.head_dim as f32).sqrt()
    }
}

/// Queries `[B, Sq, H, Dh]`, keys and values `[B, Sk, G, Dh]`.
#[derive(Clone, Copy)]
pub(crate) struct Inputs<'a> {
    pub(crate) q: &'a [f32],
    pub(crate) k: &'a [f32],
    pub(crate) v: &'a [f32],
}

/// One head of one element of the batch: rows of `width` elements that begin `stride` apart.
#[derive(Clone, Copy)]
struct Head<'a> {
    values: &'a [f32],
    width: usize,
    stride: usize,
}

impl<'a> Head<'a> {
    /// Head `head` of `heads` in `rows` rows of element `element`.
    fn of(values: &'a [f32], element: usize, rows: usize, (head, heads): (usize, usize), width: usize) -> Self {
        let stride = heads * width;
        Self { values: &values[element * rows * stride + head * width..], width, stride }
    }

    fn rows(&self, range: Range<usize>) -> MatRef<'a, f32> {
        let values = &self.values[range.start * self.stride..];
        view(values, range.len(), self.width, self.stride)
    }

    #[inline(always)]
    fn row(&self, index: usize) -> &'a [f32] {
        &self.values[index * self.stride..][..self.width]
    }
}

/// What every query gathers, `[B, Sq, H, Dh]`, and `L`, `[B, H, Sq]`; zeros and −∞ for a row that sees nothing.
pub(crate) fn forward(inputs: Inputs<'_>, spans: &Spans, dims: Dimensions) -> (Vec<f32>, Vec<f32>) {
    let Dimensions { batch, queries, keys, heads, kv_heads, head_dim, .. } = dims;
    let mut out = vec![0.0; batch * queries * heads * head_dim];
    let mut log_sums = vec![f32::NEG_INFINITY; batch * heads * queries];
    if out.is_empty() || keys == 0 {
        return (out, log_sums);
    }
    let elements = out.par_chunks_mut(queries * heads * head_dim).zip(log_sums.par_chunks_mut(heads * queries));
    elements.enumerate().for_each(|(element, (out, log_sums))| {
        let out = view_mut(out, queries, heads * head_dim, heads * head_dim);
        let by_head = out.par_col_chunks_mut(head_dim).zip(log_sums.par_chunks_mut(queries));
        by_head.enumerate().for_each(|(head, (out, log_sums))| {
            let kv_head = (head / dims.group(), kv_heads);
            let q = Head::of(inputs.q, element, queries, (head, heads), head_dim);
            let k = Head::of(inputs.k, element, keys, kv_head, head_dim);
            let v = Head::of(inputs.v, element, keys, kv_head, head_dim);
            forward_head([q, k, v], &spans.batch[element], dims, out, log_sums);
        });
    });
    (out, log_sums)
}

fn forward_head(
    [q, k, v]: [Head<'_>; 3],
    runs: &[Run],
    dims: Dimensions,
    mut out: MatMut<'_, f32>,
    log_sums: &mut [f32],
) {
    let (width, scale, arithmetic) = (q.width, dims.scale(), dims.arithmetic);
    let mut scores = vec![0.0; QUERIES * KEYS];
    let mut gathered = vec![0.0; QUERIES * width];
    for rows in tiles(0..log_sums.len(), QUERIES) {
        let (mut peaks, mut sums) = ([f32::NEG_INFINITY; QUERIES], [0.0; QUERIES]);
        let gathered = &mut gathered[..rows.len() * width];
        gathered.fill(0.0);
        for run in runs {
            for keys in tiles(run.cover(rows.clone()), KEYS) {
                let scores = &mut scores[..rows.len() * keys.len()];
                let tile = view_mut(scores, rows.len(), keys.len(), keys.len());
                multiply(
                    arithmetic,
                    tile,
                    Into::Replaced,
                    q.rows(rows.clone()),
                    k.rows(keys.clone()).transpose(),
                    scale,
                );
                vectorised(
                    #[inline(always)]
                    || {
                        let each = scores.chunks_exact_mut(keys.len()).zip(gathered.chunks_exact_mut(width));
                        for (index, (scores, gathered)) in each.enumerate() {
                            let seen = within(run.of(rows.start + index), &keys);
                            fold(scores, seen, gathered, &mut peaks[index], &mut sums[index]);
                        }
                    },
                );
                let weights = view(scores, rows.len(), keys.len(), keys.len());
                multiply(
                    arithmetic,
                    view_mut(gathered, rows.len(), width, width),
                    Into::Added,
                    weights,
                    v.rows(keys),
                    1.0,
                );
            }
        }
        for (index, gathered) in gathered.chunks_exact_mut(width).enumerate() {
            if sums[index] > 0.0 {
                log_sums[rows.start + index] = peaks[index] + sums[index].ln();
                let share = 1.0 / sums[index];
                gathered.iter_mut().for_each(|x| *x *= share);
            }
        }
        let mut out = out.rb_mut().subrows_mut(rows.start, rows.len());
        out.copy_from(view(gathered, rows.len(), width, width));
    }
}

/// Turns a row's scores of a tile into weights relative to its peak, and what was gathered before to the same peak.
#[inline(always)]
fn fold(scores: &mut [f32], seen: Range<usize>, gathered: &mut [f32], peak: &mut f32, total: &mut f32) {
    scores[..seen.start].fill(0.0);
    scores[seen.end..].fill(0.0);
    if seen.is_empty() {
        return;
    }
    let scores = &mut scores[seen];
    let (before, after) = (*peak, peak.max(max(scores)));
    for score in scores.iter_mut() {
        *score = exp(*score - after);
    }
    if after > before {
        let kept = exp(before - after);
        *total *= kept;
        gathered.iter_mut().for_each(|x| *x *= kept);
    }
    *total += sum(scores);
    *peak = after;
}

/// What the backward pass has besides the inputs.
#[derive(Clone, Copy)]
pub(crate) struct Outcome<'a> {
    /// `[B, Sq, H, Dh]`
    pub(crate) out: &'a [f32],
    /// `[B, H, Sq]`
    pub(crate) log_sums: &'a [f32],
    /// `[B, Sq, H, Dh]`
    pub(crate) d_out: &'a [f32],
}

/// Gradients of queries, keys and values.
pub(crate) fn backward(inputs: Inputs<'_>, outcome: Outcome<'_>, spans: &Spans, dims: Dimensions) -> [Vec<f32>; 3] {
    let Dimensions { batch, queries, keys, heads, kv_heads, head_dim, .. } = dims;
    let mut dq = vec![0.0; batch * queries * heads * head_dim];
    let mut dk = vec![0.0; batch * keys * kv_heads * head_dim];
    let mut dv = vec![0.0; dk.len()];
    if dq.is_empty() || dk.is_empty() {
        return [dq, dk, dv];
    }
    let kv_width = kv_heads * head_dim;
    let of_keys = dk.par_chunks_mut(keys * kv_width).zip(dv.par_chunks_mut(keys * kv_width));
    let elements = dq.par_chunks_mut(queries * heads * head_dim).zip(of_keys);
    elements.enumerate().for_each(|(element, (dq, (dk, dv)))| {
        let dq = view_mut(dq, queries, heads * head_dim, heads * head_dim);
        let dk = view_mut(dk, keys, kv_width, kv_width).par_col_chunks_mut(head_dim);
        let dv = view_mut(dv, keys, kv_width, kv_width).par_col_chunks_mut(head_dim);
        let by_kv_head = dq.par_col_chunks_mut(dims.group() * head_dim).zip(dk.zip(dv));
        by_kv_head.enumerate().for_each(|(kv_head, (mut dq, (dk, dv)))| {
            let mut gradients = KeyGradients { dk: vec![0.0; keys * head_dim], dv: vec![0.0; keys * head_dim] };
            let k = Head::of(inputs.k, element, keys, (kv_head, kv_heads), head_dim);
            let v = Head::of(inputs.v, element, keys, (kv_head, kv_heads), head_dim);
            for index in 0..dims.group() {
                let head = kv_head * dims.group() + index;
                let dq = dq.rb_mut().subcols_mut(index * head_dim, head_dim);
                let of_queries = |values| Head::of(values, element, queries, (head, heads), head_dim);
                let rows = QueryRows {
                    q: of_queries(inputs.q),
                    out: of_queries(outcome.out),
                    d_out: of_queries(outcome.d_out),
                    log_sums: &outcome.log_sums[(element * heads + head) * queries..][..queries],
                };
                backward_head(&rows, [k, v], &spans.batch[element], dims, dq, &mut gradients);
            }
            let copy = |mut to: MatMut<'_, f32>, from: &[f32]| to.copy_from(view(from, keys, head_dim, head_dim));
            copy(dk, &gradients.dk);
            copy(dv, &gradients.dv);
        });
    });
    [dq, dk, dv]
}

/// Gradients of the keys and values of a head, which all query heads of its group add to. Each `[Sk, Dh]`.
struct KeyGradients {
    dk: Vec<f32>,
    dv: Vec<f32>,
}

/// What is known of the query rows of a head.
struct QueryRows<'a> {
    q: Head<'a>,
    out: Head<'a>,
    d_out: Head<'a>,
    log_sums: &'a [f32],
}

fn backward_head(
    queries: &QueryRows<'_>,
    [k, v]: [Head<'_>; 2],
    runs: &[Run],
    dims: Dimensions,
    mut dq: MatMut<'_, f32>,
    gradients: &mut KeyGradients,
) {
    let (width, scale, arithmetic) = (k.width, dims.scale(), dims.arithmetic);
    let QueryRows { q, out, d_out, log_sums } = *queries;
    let (mut weights, mut d_scores) = (vec![0.0; QUERIES * KEYS], vec![0.0; QUERIES * KEYS]);
    let mut gathered = vec![0.0; QUERIES * width];
    for rows in tiles(0..log_sums.len(), QUERIES) {
        let gathered = &mut gathered[..rows.len() * width];
        gathered.fill(0.0);
        let mut deltas = [0.0; QUERIES];
        vectorised(
            #[inline(always)]
            || {
                for (row, delta) in rows.clone().zip(&mut deltas) {
                    *delta = dot(out.row(row), d_out.row(row));
                }
            },
        );
        for run in runs {
            for keys in tiles(run.cover(rows.clone()), KEYS) {
                let (height, tile) = (rows.len(), keys.len());
                let (weights, d_scores) = (&mut weights[..height * tile], &mut d_scores[..height * tile]);
                let (q, d_out) = (q.rows(rows.clone()), d_out.rows(rows.clone()));
                let (k, v) = (k.rows(keys.clone()), v.rows(keys.clone()));
                multiply(arithmetic, view_mut(weights, height, tile, tile), Into::Replaced, q, k.transpose(), scale);
                multiply(arithmetic, view_mut(d_scores, height, tile, tile), Into::Replaced, d_out, v.transpose(), 1.0);
                vectorised(
                    #[inline(always)]
                    || {
                        let each = weights.chunks_exact_mut(tile).zip(d_scores.chunks_exact_mut(tile));
                        for (index, (weights, d_scores)) in each.enumerate() {
                            let row = rows.start + index;
                            unfold(weights, d_scores, within(run.of(row), &keys), log_sums[row], deltas[index]);
                        }
                    },
                );
                let (weights, d_scores) = (view(weights, height, tile, tile), view(d_scores, height, tile, tile));
                let place = keys.start * width..keys.end * width;
                let dv = view_mut(&mut gradients.dv[place.clone()], tile, width, width);
                multiply(arithmetic, dv, Into::Added, weights.transpose(), d_out, 1.0);
                let dk = view_mut(&mut gradients.dk[place], tile, width, width);
                multiply(arithmetic, dk, Into::Added, d_scores.transpose(), q, scale);
                multiply(arithmetic, view_mut(gathered, height, width, width), Into::Added, d_scores, k, scale);
            }
        }
        dq.rb_mut().subrows_mut(rows.start, rows.len()).copy_from(view(gathered, rows.len(), width, width));
    }
}

/// Turns scores into weights, and gradients of weights into gradients of scores.
#[inline(always)]
fn unfold(scores: &mut [f32], d_weights: &mut [f32], seen: Range<usize>, log_sum: f32, delta: f32) {
    for array in [&mut *scores, &mut *d_weights] {
        array[..seen.start].fill(0.0);
        array[seen.end..].fill(0.0);
    }
    for (score, d_weight) in scores[seen.clone()].iter_mut().zip(&mut d_weights[seen]) {
        *score = exp(*score - log_sum);
        *d_weight = *score * (*d_weight - delta);
    }
}

/// `range` in pieces of at most `size`.
fn tiles(range: Range<usize>, size: usize) -> impl Iterator<Item = Range<usize>> {
    range.clone().step_by(size).map(move |start| start..(start + size).min(range.end))
}

/// The part of `seen` inside `tile`, counted from the tile's start; an empty range inside the tile when there is none.
#[inline(always)]
fn within(seen: Range<usize>, tile: &Range<usize>) -> Range<usize> {
    let start = seen.start.clamp(tile.start, tile.end) - tile.start;
    let end = seen.end.clamp(tile.start, tile.end) - tile.start;
    start..end.max(start)
}
