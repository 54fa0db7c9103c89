//! Tiles in shared memory: loaded from rows of heads, multiplied on tensor cores, stored.
//!
//! A tile of heads is `[T, Dh]`, a tile of scores or weights `[T, T]`; rows lie a stride apart. Each plane owns some blocks
//! of `m` rows of what a product gives.

use cubecl::cmma::{self, Matrix, MatrixIdent, MatrixLayout};
use cubecl::prelude::*;

use super::super::plan::{FlashPlan, VECTOR};
use super::super::rows::{HeadRows, fetch, put_rows};

/// Fragments of a plane's blocks of rows.
pub(super) type Fragments<E> = Sequence<Matrix<E>>;

/// A plane's rows of a tile of heads as left operands, by way of `target`, which nobody reads any more.
#[cube]
pub(super) fn lefts<G: Float, F: Float, N: Size>(
    source: &[Vector<G, N>],
    rows: &HeadRows,
    tile: usize,
    target: &mut Shared<[Vector<F, N>]>,
    #[comptime] plan: FlashPlan,
) -> Fragments<F> {
    let values = fetch::<G, F, N>(source, rows, tile, plan);
    put_rows(&values, target, plan);
    sync_cube();
    let stride = comptime!(plan.head_stride());
    let mut fragments = Sequence::<Matrix<F>>::new();
    #[unroll]
    for block in 0..comptime!(plan.blocks()) {
        let row = block_row(block, plan);
        #[unroll]
        for step in 0..comptime!(plan.head_dim / plan.k) {
            fragments.push(left(&*target, row, step, stride, plan));
        }
    }
    fragments
}

/// The first row of one of the plane's blocks.
#[cube]
fn block_row(#[comptime] block: usize, #[comptime] plan: FlashPlan) -> usize {
    (PLANE_POS as usize * comptime!(plan.blocks()) + block) * comptime!(plan.m)
}

#[cube]
fn left<F: Float, N: Size>(
    tile: &Shared<[Vector<F, N>]>,
    row: usize,
    #[comptime] step: usize,
    #[comptime] stride: usize,
    #[comptime] plan: FlashPlan,
) -> Matrix<F> {
    let mut fragment = unloaded::<F>(MatrixIdent::A, MatrixLayout::RowMajor, plan);
    let first = row * comptime!(stride / VECTOR) + comptime!(step * plan.k / VECTOR);
    cmma::load(&mut fragment, &tile[first..comptime!(plan.rows * stride / VECTOR)], comptime!(stride as u32));
    fragment
}

/// A fragment that is loaded next.
#[cube]
fn unloaded<F: Float>(
    #[comptime] ident: MatrixIdent,
    #[comptime] layout: MatrixLayout,
    #[comptime] plan: FlashPlan,
) -> Matrix<F> {
    unsafe { Matrix::<F>::uninitialized(ident, comptime!(plan.m), comptime!(plan.n), comptime!(plan.k), layout) }
}

/// `scores ← left · rightᵀ`, the left rows being the plane's.
#[cube]
pub(super) fn scores_of<F: Float, N: Size>(
    lefts: &Fragments<F>,
    right: &Shared<[Vector<F, N>]>,
    scores: &mut Shared<[Vector<f32, N>]>,
    #[comptime] plan: FlashPlan,
) {
    let stride = comptime!(plan.head_stride());
    let steps = comptime!(plan.head_dim / plan.k);
    #[unroll]
    for block in 0..comptime!(plan.blocks()) {
        let row = block_row(block, plan);
        #[unroll]
        for column in 0..comptime!(plan.rows / plan.n) {
            let sums = zeros(plan);
            #[unroll]
            for step in 0..steps {
                let mut fragment = unloaded::<F>(MatrixIdent::B, MatrixLayout::ColMajor, plan);
                let first = comptime!((column * plan.n * stride + step * plan.k) / VECTOR);
                let last = comptime!(plan.rows * stride / VECTOR);
                cmma::load(&mut fragment, &right[first..last], comptime!(stride as u32));
                cmma::execute(lefts.index(comptime!(block * steps + step)), &fragment, &sums, &sums);
            }
            put(&sums, scores, row, column, plan);
        }
    }
}

/// One accumulator of zeros.
#[cube]
fn zeros(#[comptime] plan: FlashPlan) -> Matrix<f32> {
    let (m, n, k) = comptime!((plan.m, plan.n, plan.k));
    Matrix::<f32>::from_value(MatrixIdent::Accumulator, m, n, k, MatrixLayout::Undefined, 0f32)
}

/// Stores a fragment into the tile of scores.
#[cube]
fn put<N: Size>(
    sums: &Matrix<f32>,
    scores: &mut Shared<[Vector<f32, N>]>,
    row: usize,
    #[comptime] column: usize,
    #[comptime] plan: FlashPlan,
) {
    let stride = comptime!(plan.wide_stride());
    let first = row * comptime!(stride / VECTOR) + comptime!(column * plan.n / VECTOR);
    let last = comptime!(plan.rows * stride / VECTOR);
    cmma::store(&mut scores[first..last], sums, comptime!(stride as u32), MatrixLayout::RowMajor);
}

/// Accumulators `[T, Dh]` of zeros, the plane's rows.
#[cube]
pub(super) fn accumulators(#[comptime] plan: FlashPlan) -> Fragments<f32> {
    let mut sums = Sequence::<Matrix<f32>>::new();
    #[unroll]
    for _index in 0..comptime!(plan.blocks() * plan.head_dim / plan.n) {
        sums.push(zeros(plan));
    }
    sums
}

/// `sums ← sums + weights · right`, the left rows being the plane's.
#[cube]
pub(super) fn accumulate<F: Float, N: Size>(
    sums: &Fragments<f32>,
    weights: &Shared<[Vector<F, N>]>,
    right: &Shared<[Vector<F, N>]>,
    #[comptime] plan: FlashPlan,
) {
    let stride = comptime!(plan.head_stride());
    let columns = comptime!(plan.head_dim / plan.n);
    #[unroll]
    for block in 0..comptime!(plan.blocks()) {
        let row = block_row(block, plan);
        #[unroll]
        for step in 0..comptime!(plan.rows / plan.k) {
            let weight = left(weights, row, step, comptime!(plan.weight_stride()), plan);
            #[unroll]
            for column in 0..columns {
                let mut fragment = unloaded::<F>(MatrixIdent::B, MatrixLayout::RowMajor, plan);
                let first = comptime!((step * plan.k * stride + column * plan.n) / VECTOR);
                let last = comptime!(plan.rows * stride / VECTOR);
                cmma::load(&mut fragment, &right[first..last], comptime!(stride as u32));
                let sum = sums.index(comptime!(block * columns + column));
                cmma::execute(&weight, &fragment, sum, sum);
            }
        }
    }
}

/// Multiplies the rows of the accumulators, by way of the tile of scores.
#[cube]
pub(super) fn rescale<N: Size>(
    sums: &mut Fragments<f32>,
    scores: &mut Shared<[Vector<f32, N>]>,
    factors: &Shared<[f32]>,
    #[comptime] plan: FlashPlan,
) {
    put_all(sums, scores, plan);
    sync_cube();
    let width = comptime!(plan.head_dim / VECTOR);
    let mut at = UNIT_POS as usize;
    while at < comptime!(plan.rows * plan.head_dim / VECTOR) {
        let (row, column) = (at / width, at % width);
        let place = row * comptime!(plan.wide_stride() / VECTOR) + column;
        scores[place] *= Vector::new(factors[row]);
        at += comptime!(plan.units);
    }
    sync_cube();
    let columns = comptime!(plan.head_dim / plan.n);
    let stride = comptime!(plan.wide_stride());
    #[unroll]
    for block in 0..comptime!(plan.blocks()) {
        let row = block_row(block, plan);
        #[unroll]
        for column in 0..columns {
            let first = row * comptime!(stride / VECTOR) + comptime!(column * plan.n / VECTOR);
            let last = comptime!(plan.rows * stride / VECTOR);
            let sum = sums.index_mut(comptime!(block * columns + column));
            cmma::load_with_layout(sum, &scores[first..last], comptime!(stride as u32), MatrixLayout::RowMajor);
        }
    }
}

/// Puts all accumulators into the tile of scores.
#[cube]
fn put_all<N: Size>(sums: &mut Fragments<f32>, scores: &mut Shared<[Vector<f32, N>]>, #[comptime] plan: FlashPlan) {
    let columns = comptime!(plan.head_dim / plan.n);
    #[unroll]
    for block in 0..comptime!(plan.blocks()) {
        let row = block_row(block, plan);
        #[unroll]
        for column in 0..columns {
            put(sums.index(comptime!(block * columns + column)), scores, row, column, plan);
        }
    }
}

/// Writes the accumulators, their rows times `factors`, to the rows of a tile, by way of the tile of scores.
#[cube]
pub(super) fn write<G: Float, N: Size>(
    sums: &mut Fragments<f32>,
    scores: &mut Shared<[Vector<f32, N>]>,
    factors: &Shared<[f32]>,
    target: &mut [Vector<G, N>],
    rows: &HeadRows,
    tile: usize,
    #[comptime] plan: FlashPlan,
) {
    sync_cube();
    put_all(sums, scores, plan);
    sync_cube();
    let width = comptime!(plan.head_dim / VECTOR);
    let mut at = UNIT_POS as usize;
    while at < comptime!(plan.rows * plan.head_dim / VECTOR) {
        let (row, column) = (at / width, at % width);
        let global = tile * comptime!(plan.rows) + row;
        if global < rows.rows {
            let value = scores[row * comptime!(plan.wide_stride() / VECTOR) + column];
            target[rows.place(global, width) + column] = Vector::cast_from(value * Vector::new(factors[row]));
        }
        at += comptime!(plan.units);
    }
}

/// One for every row.
#[cube]
pub(super) fn ones(factors: &mut Shared<[f32]>, #[comptime] plan: FlashPlan) {
    let mut at = UNIT_POS as usize;
    while at < comptime!(plan.rows) {
        factors[at] = 1f32;
        at += comptime!(plan.units);
    }
}

/// The row of a unit's `index`th row of scores.
#[cube]
pub(super) fn score_row(#[comptime] index: usize, #[comptime] plan: FlashPlan) -> usize {
    UNIT_POS as usize / comptime!(plan.units_per_row()) + comptime!(index * plan.units)
}

/// The column, in vectors, of a unit's `index`th vector of a row of scores. Units of a row take turns, so that they meet
/// different banks.
#[cube]
pub(super) fn score_column(#[comptime] index: usize, #[comptime] plan: FlashPlan) -> usize {
    UNIT_POS as usize % comptime!(plan.units_per_row()) + comptime!(index * plan.units_per_row())
}
