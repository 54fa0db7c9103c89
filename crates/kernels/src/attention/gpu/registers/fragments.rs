//! Fragments of `mma.sync.m16n8k16` whose elements each unit knows, and the two kinds of product that attention has.
//!
//! With `g = lane / 4` and `t = lane % 4`, a unit holds as pairs of neighbouring columns (PTX ISA, "Matrix fragments for
//! mma.m16n8k16 with floating point type"):
//!
//! | | pairs |
//! |---|---|
//! | left factor `[16, 16]` | `(g, 2t)`, `(g + 8, 2t)`, `(g, 2t + 8)`, `(g + 8, 2t + 8)` |
//! | sums `[16, 8]` | `(g, 2t)`, `(g + 8, 2t)` |
//!
//! So two fragments of sums side by side, rounded, are a left factor.

use cubecl::cmma::{MatrixIdent, MmaDefinition};
use cubecl::prelude::*;

use super::super::plan::FlashPlan;
use super::super::rows::HeadRows;

/// Rows of a fragment, and of the plane that works on it.
const ROWS: usize = 16;
/// Columns of a fragment of sums.
const COLUMNS: usize = 8;
/// Rows of the other side that are taken at a time: two fragments of sums, and one left factor.
pub(super) const BLOCK: usize = 16;
/// Units that hold a row.
const QUAD: usize = 4;

/// Sums `[16, 8]`.
pub(super) type Sums<P> = Array<Vector<f32, P>>;

#[cube]
fn zeros<P: Size>() -> Sums<P> {
    let mut sums = Array::<Vector<f32, P>>::new(2usize);
    sums[0] = Vector::new(0f32);
    sums[1] = Vector::new(0f32);
    sums
}

/// Sums `[16, Dh]` of zeros.
#[cube]
pub(super) fn accumulators<P: Size>(#[comptime] plan: FlashPlan) -> Sequence<Sums<P>> {
    let mut sums = Sequence::<Sums<P>>::new();
    #[unroll]
    for _column in 0..comptime!(plan.head_dim / COLUMNS) {
        sums.push(zeros());
    }
    sums
}

/// Four squares of 8 × 8 elements from shared memory; each unit names a row of one of them.
#[cube]
fn squares<F: Float, N: Size, P: Size>(
    tile: &Shared<[Vector<F, N>]>,
    row: usize,
    column: usize,
    #[comptime] transposed: bool,
    #[comptime] plan: FlashPlan,
) -> Array<Vector<F, P>> {
    let product = MmaDefinition::<F, F, f32>::new(16usize, 8usize, 16usize);
    let place = row * comptime!(plan.head_stride() / plan.vector) + column;
    let last = comptime!(plan.rows * plan.head_stride() / plan.vector);
    product.load_matrix::<Vector<F, N>, P>(&tile[place..last], MatrixIdent::A, 4usize, transposed)
}

/// The plane's rows of a tile as left factors, 16 columns each.
#[cube]
pub(super) fn lefts<F: Float, N: Size, P: Size>(
    tile: &Shared<[Vector<F, N>]>,
    #[comptime] plan: FlashPlan,
) -> Sequence<Array<Vector<F, P>>> {
    let lane = UNIT_POS_PLANE as usize;
    let row = PLANE_POS as usize * ROWS + lane % ROWS;
    let mut factors = Sequence::<Array<Vector<F, P>>>::new();
    #[unroll]
    for step in 0..comptime!(plan.head_dim / BLOCK) {
        factors.push(squares::<F, N, P>(tile, row, comptime!(step * BLOCK / plan.vector) + lane / ROWS, false, plan));
    }
    factors
}

/// `sums ← sums + left · right`, where `right` holds two right factors and `which` is meant.
#[cube]
fn multiply<F: Float, P: Size>(
    left: &Array<Vector<F, P>>,
    right: &Array<Vector<F, P>>,
    #[comptime] which: usize,
    sums: &mut Sums<P>,
) {
    let product = MmaDefinition::<F, F, f32>::new(16usize, 8usize, 16usize);
    let mut factor = Array::<Vector<F, P>>::new(2usize);
    factor[0] = right[comptime!(2 * which)];
    factor[1] = right[comptime!(2 * which + 1)];
    product.execute_inplace(left, &factor, sums);
}

/// Appends `own · tileᵀ` for one block of the tile's rows: two fragments of sums.
#[cube]
pub(super) fn push_scores<F: Float, N: Size, P: Size>(
    own: &Sequence<Array<Vector<F, P>>>,
    tile: &Shared<[Vector<F, N>]>,
    scores: &mut Sequence<Sums<P>>,
    #[comptime] block: usize,
    #[comptime] plan: FlashPlan,
) {
    let lane = UNIT_POS_PLANE as usize;
    let row = comptime!(block * BLOCK) + lane / 16 * 8 + lane % 8;
    let mut first = zeros::<P>();
    let mut second = zeros::<P>();
    #[unroll]
    for step in 0..comptime!(plan.head_dim / BLOCK) {
        let column = comptime!(step * BLOCK / plan.vector) + lane / 8 % 2;
        let right = squares::<F, N, P>(tile, row, column, false, plan);
        multiply(own.index(step), &right, 0usize, &mut first);
        multiply(own.index(step), &right, 1usize, &mut second);
    }
    scores.push(first);
    scores.push(second);
}

/// Two fragments of sums, from `first` on, as the left factor that they are.
#[cube]
pub(super) fn as_left<F: Float, P: Size>(sums: &Sequence<Sums<P>>, #[comptime] first: usize) -> Array<Vector<F, P>> {
    let second = sums.index(comptime!(first + 1));
    let first = sums.index(first);
    let mut factor = Array::<Vector<F, P>>::new(4usize);
    factor[0] = Vector::cast_from(first[0]);
    factor[1] = Vector::cast_from(first[1]);
    factor[2] = Vector::cast_from(second[0]);
    factor[3] = Vector::cast_from(second[1]);
    factor
}

/// `sums ← sums + weights · tile` for one block of the tile's rows, which are the columns of `weights`.
#[cube]
pub(super) fn accumulate<F: Float, N: Size, P: Size>(
    sums: &mut Sequence<Sums<P>>,
    weights: &Array<Vector<F, P>>,
    tile: &Shared<[Vector<F, N>]>,
    #[comptime] block: usize,
    #[comptime] plan: FlashPlan,
) {
    let lane = UNIT_POS_PLANE as usize;
    let row = comptime!(block * BLOCK) + lane % 16;
    #[unroll]
    for pair in 0..comptime!(plan.head_dim / BLOCK) {
        let column = comptime!(pair * BLOCK / plan.vector) + lane / 16;
        let right = squares::<F, N, P>(tile, row, column, true, plan);
        multiply(weights, &right, 0usize, sums.index_mut(comptime!(2 * pair)));
        multiply(weights, &right, 1usize, sums.index_mut(comptime!(2 * pair + 1)));
    }
}

/// The row of the tile that a unit's first (`half` 0) or second pairs belong to.
#[cube]
pub(super) fn row_of(#[comptime] half: usize) -> usize {
    PLANE_POS as usize * ROWS + comptime!(half * 8) + UNIT_POS_PLANE as usize / QUAD
}

/// The first of the two columns of a unit's pairs in the fragment `index` of a row of fragments.
#[cube]
pub(super) fn column_of(#[comptime] index: usize) -> usize {
    comptime!(index * COLUMNS) + UNIT_POS_PLANE as usize % QUAD * 2
}

/// The largest `value` of the units that hold a row.
#[cube]
pub(super) fn row_max(value: f32) -> f32 {
    let most = max(value, plane_shuffle_xor(value, 1u32));
    max(most, plane_shuffle_xor(most, 2u32))
}

/// The sum of `value` over the units that hold a row.
#[cube]
pub(super) fn row_sum(value: f32) -> f32 {
    let sum = value + plane_shuffle_xor(value, 1u32);
    sum + plane_shuffle_xor(sum, 2u32)
}

/// Writes sums `[16, Dh]`, the rows times `factors`, to the plane's rows of a tile.
#[cube]
pub(super) fn write<G: Float, P: Size>(
    sums: &Sequence<Sums<P>>,
    factors: &Array<f32>,
    target: &mut [Vector<G, P>],
    rows: &HeadRows,
    tile: usize,
    #[comptime] plan: FlashPlan,
) {
    #[unroll]
    for half in 0..2usize {
        let row = tile * comptime!(plan.rows) + row_of(half);
        if row < rows.rows {
            let start = rows.place(row, comptime!(plan.head_dim / 2));
            #[unroll]
            for index in 0..comptime!(plan.head_dim / COLUMNS) {
                let value = sums.index(index)[half] * Vector::new(factors[half]);
                target[start + column_of(index) / 2] = Vector::cast_from(value);
            }
        }
    }
}
