//! A product in blocks that stay in the caches.
#![allow(unsafe_code)]

use std::cell::RefCell;
use std::marker::PhantomData;

use faer::prelude::ReborrowMut;
use faer::{MatMut, MatRef};

use super::packing::{BLOCK, Block, DEPTH, Order, TILE, Tile, pack};
use super::{Unit, amx, avx512};
use crate::cpu::matmul::Into;

/// Elements of the inner axis at once: so many of 32 rows of `a` are half of the first-level cache.
const MOST_INNER: usize = 384;
/// Columns of `b` at once, whose tiles stay in the second-level cache.
const MOST_COLUMNS: usize = 1024;
/// Rows of `a` that are packed at once, and are still near when they are multiplied.
const MOST_ROWS: usize = 128;

thread_local! {
    /// Memory for the tiles of both factors, which a thread keeps from product to product.
    static PACKED: RefCell<[Vec<Tile>; 2]> = const { RefCell::new([vec![], vec![]]) };
}

/// 32 rows of 32 sums somewhere in a larger matrix.
#[derive(Clone, Copy)]
pub(super) struct Sums<'a> {
    begin: *mut f32,
    stride: isize,
    borrowed: PhantomData<&'a mut f32>,
}

impl<'a> Sums<'a> {
    /// Of a matrix that has just so many.
    fn of(mut out: MatMut<'a, f32>) -> Self {
        assert!(out.shape() == (BLOCK, BLOCK) && out.col_stride() == 1, "32 × 32 sums, their rows dense");
        Self { begin: out.rb_mut().as_ptr_mut(), stride: out.row_stride(), borrowed: PhantomData }
    }

    /// Where a row begins.
    ///
    /// # Safety
    /// `row` is below 32.
    pub(super) unsafe fn row(self, row: usize) -> *mut f32 {
        // SAFETY: the matrix has the row.
        unsafe { self.begin.offset(row as isize * self.stride) }
    }

    /// Bytes from row to row.
    pub(super) fn bytes(self) -> isize {
        self.stride * size_of::<f32>() as isize
    }
}

/// `out = factor · a b` or `out += factor · a b`, on this thread; `out` has dense rows.
pub(crate) fn multiply(unit: Unit, mut out: MatMut<'_, f32>, into: Into, [a, b]: [MatRef<'_, f32>; 2], factor: f32) {
    if a.ncols() == 0 {
        if matches!(into, Into::Replaced) {
            out.fill(0.0);
        }
        return;
    }
    // SAFETY: `Unit`s are handed out to those processors alone that have them.
    let tiles = (unit == Unit::Amx).then(|| unsafe { amx::Tiles::take() });
    let block = |block: &Block<'_>, sums: Sums<'_>, added: bool| match &tiles {
        Some(tiles) => tiles.multiply(block, sums, added),
        // SAFETY: as above.
        None => unsafe { avx512::multiply(block, sums, added) },
    };
    PACKED.with_borrow_mut(|[a_tiles, b_tiles]| {
        for (first, columns) in shares(b.ncols(), MOST_COLUMNS, BLOCK) {
            for (begin, inner) in shares(a.ncols(), MOST_INNER, DEPTH) {
                let added = begin > 0 || matches!(into, Into::Added);
                let b = b.submatrix(begin, first, inner, columns);
                let b_tiles = packed(b.transpose(), 1.0, Order::Pairs, b_tiles);
                for (top, rows) in shares(a.nrows(), MOST_ROWS, BLOCK) {
                    let a = a.submatrix(top, begin, rows, inner);
                    let a_tiles = packed(a, factor, Order::Rows, a_tiles);
                    let out = out.rb_mut().submatrix_mut(top, first, rows, columns);
                    blocks(out, [a_tiles, b_tiles], inner.div_ceil(DEPTH), added, &block);
                }
            }
        }
    });
}

/// The parts of an axis, `(begin, length)`, of equal length as far as the unit allows.
fn shares(length: usize, most: usize, unit: usize) -> impl Iterator<Item = (usize, usize)> {
    let size = length.div_ceil(length.div_ceil(most).max(1)).next_multiple_of(unit);
    (0..length).step_by(size.max(1)).map(move |begin| (begin, size.min(length - begin)))
}

/// The tiles of a factor, an even number of rows of tiles.
fn packed<'a>(x: MatRef<'_, f32>, factor: f32, order: Order, tiles: &'a mut Vec<Tile>) -> &'a [Tile] {
    let count = x.nrows().div_ceil(BLOCK) * 2 * x.ncols().div_ceil(DEPTH);
    if tiles.len() < count {
        tiles.resize(count, Tile::ZERO);
    }
    // SAFETY: units that multiply have the instructions that pack.
    unsafe { pack(x, factor, order, &mut tiles[..count]) };
    &tiles[..count]
}

/// All blocks of `out`. One that reaches over its edge is computed elsewhere, and what belongs to it copied.
fn blocks(
    mut out: MatMut<'_, f32>,
    [a, b]: [&[Tile]; 2],
    steps: usize,
    added: bool,
    multiply: &impl Fn(&Block<'_>, Sums<'_>, bool),
) {
    let (all_rows, all_columns) = out.shape();
    for top in (0..all_rows).step_by(BLOCK) {
        for first in (0..all_columns).step_by(BLOCK) {
            let (rows, columns) = (BLOCK.min(all_rows - top), BLOCK.min(all_columns - first));
            let block = Block { a: tiles_of(a, top, steps), b: tiles_of(b, first, steps) };
            let mut out = out.rb_mut().submatrix_mut(top, first, rows, columns);
            if (rows, columns) == (BLOCK, BLOCK) {
                multiply(&block, Sums::of(out), added);
                continue;
            }
            let mut whole = [0.0; BLOCK * BLOCK];
            let mut whole = MatMut::from_column_major_slice_mut(&mut whole, BLOCK, BLOCK).transpose_mut();
            if added {
                whole.rb_mut().submatrix_mut(0, 0, rows, columns).copy_from(&out);
            }
            multiply(&block, Sums::of(whole.rb_mut()), added);
            out.copy_from(whole.submatrix(0, 0, rows, columns));
        }
    }
}

/// The tiles of 32 rows from `first`.
fn tiles_of(tiles: &[Tile], first: usize, steps: usize) -> [&[Tile]; 2] {
    [0, 1].map(|half| &tiles[(first / TILE + half) * steps..][..steps])
}
