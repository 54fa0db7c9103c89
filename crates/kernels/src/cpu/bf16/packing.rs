//! Factors in tiles, rounded to `bf16`.
#![allow(unsafe_code)]

use std::arch::x86_64::*;

use faer::MatRef;

use crate::cpu::matmul::view;

/// Rows of a tile: sums along either axis.
pub(super) const TILE: usize = 16;
/// Elements of a tile along the inner axis.
pub(super) const DEPTH: usize = 32;
/// Bytes of a row of a tile.
pub(super) const TILE_BYTES: usize = DEPTH * size_of::<u16>();
/// Rows and columns of a block of sums: two tiles of each factor.
pub(super) const BLOCK: usize = 2 * TILE;

/// 16 × 32 elements.
#[derive(Clone, Copy)]
#[repr(C, align(64))]
pub(super) struct Tile([u16; TILE * DEPTH]);

impl Tile {
    pub(super) const ZERO: Self = Self([0; TILE * DEPTH]);
}

/// How the 32 elements along the inner axis, of each of 16 rows, lie in a tile.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Order {
    /// Row by row, as the left factor has them.
    Rows,
    /// Pair by pair of neighbours along the inner axis, each pair for all rows, as the right factor has them.
    Pairs,
}

/// What a block of 32 × 32 sums is made of: two tiles of each factor for every 32 elements of the inner axis.
pub(super) struct Block<'a> {
    pub(super) a: [&'a [Tile]; 2],
    pub(super) b: [&'a [Tile]; 2],
}

impl Block<'_> {
    /// Tiles along the inner axis, which all four have.
    pub(super) fn steps(&self) -> usize {
        let [[a, c], [b, d]] = [self.a, self.b];
        a.len().min(b.len()).min(c.len()).min(d.len())
    }
}

/// Packs `factor · x`, of `[outer, inner]`, into tiles: those of the first 16 rows, of the next 16, and so on. What is left of
/// the last ones is 0.
///
/// # Safety
/// The processor has the instructions of [`super::Unit::Avx512`].
#[target_feature(enable = "avx512f,avx512bw,avx512bf16")]
pub(super) unsafe fn pack(x: MatRef<'_, f32>, factor: f32, order: Order, tiles: &mut [Tile]) {
    let steps = x.ncols().div_ceil(DEPTH);
    let lines = tiles.len() / steps;
    for count in 0..lines * steps {
        // Memory is read in the order in which it lies.
        let (line, step) = match x.row_stride() {
            1 => (count % lines, count / lines),
            _ => (count / steps, count % steps),
        };
        let (tile, first, begin) = (&mut tiles[line * steps + step], line * TILE, step * DEPTH);
        if first >= x.nrows() {
            *tile = Tile::ZERO;
            continue;
        }
        let part = x.submatrix(first, begin, TILE.min(x.nrows() - first), DEPTH.min(x.ncols() - begin));
        // SAFETY: the caller has the instructions.
        unsafe { pack_tile(part, factor, order, tile) };
    }
}

/// Packs at most 16 × 32 elements.
#[target_feature(enable = "avx512f,avx512bw,avx512bf16")]
unsafe fn pack_tile(x: MatRef<'_, f32>, factor: f32, order: Order, tile: &mut Tile) {
    let is_whole = x.shape() == (TILE, DEPTH);
    // SAFETY: each reads the elements of `x` alone, which lie as it takes them.
    unsafe {
        match (x.row_stride(), x.col_stride()) {
            (_, 1) if is_whole => tile.put(rows::<true>(x, factor), order == Order::Pairs),
            (_, 1) => tile.put(rows::<false>(x, factor), order == Order::Pairs),
            (1, _) if is_whole => tile.put(pairs::<true>(x, factor), order == Order::Rows),
            (1, _) => tile.put(pairs::<false>(x, factor), order == Order::Rows),
            _ => {
                let mut gathered = [0.0; TILE * DEPTH];
                for (row, line) in gathered.chunks_exact_mut(DEPTH).enumerate().take(x.nrows()) {
                    for (column, value) in line.iter_mut().enumerate().take(x.ncols()) {
                        *value = x[(row, column)];
                    }
                }
                tile.put(rows::<true>(view(&gathered, TILE, DEPTH, DEPTH), factor), order == Order::Pairs);
            }
        }
    }
}

impl Tile {
    /// Fills the tile with vectors, or with their transposition.
    #[target_feature(enable = "avx512f,avx512bw,avx512bf16")]
    fn put(&mut self, lines: [__m512i; TILE], is_transposed: bool) {
        let lines = if is_transposed { transposed(lines) } else { lines };
        for (place, line) in self.0.chunks_exact_mut(DEPTH).zip(lines) {
            // SAFETY: the place has 64 bytes, and so have all before it.
            unsafe { _mm512_store_si512(place.as_mut_ptr().cast(), line) };
        }
    }
}

/// Rows of at most 32 elements that lie in memory as such, each a vector. Where all are there (`WHOLE`), their number is known
/// to the compiler, so that they stay in registers.
#[target_feature(enable = "avx512f,avx512bw,avx512bf16")]
unsafe fn rows<const WHOLE: bool>(x: MatRef<'_, f32>, factor: f32) -> [__m512i; TILE] {
    let factor = _mm512_set1_ps(factor);
    let (count, width) = if WHOLE { (TILE, DEPTH) } else { x.shape() };
    let [low, high] = [mask(width), mask(width.saturating_sub(TILE))];
    let mut lines = [_mm512_setzero_si512(); TILE];
    for (row, line) in lines.iter_mut().enumerate().take(count) {
        // SAFETY: the row is one of `x`, and masks leave out what lies behind its end.
        unsafe {
            let begin = x.as_ptr().offset(row as isize * x.row_stride());
            let first = _mm512_mul_ps(_mm512_maskz_loadu_ps(low, begin), factor);
            let second = _mm512_maskz_loadu_ps(high, begin.wrapping_add(TILE));
            *line = rounded(first, _mm512_mul_ps(second, factor));
        }
    }
    lines
}

/// At most 16 rows that lie in memory side by side: a vector for each pair along the inner axis. `WHOLE` as for [`rows`].
#[target_feature(enable = "avx512f,avx512bw,avx512bf16")]
unsafe fn pairs<const WHOLE: bool>(x: MatRef<'_, f32>, factor: f32) -> [__m512i; TILE] {
    let (factor, interleaved) = (_mm512_set1_ps(factor), interleaving());
    let (count, width) = if WHOLE { (TILE, DEPTH) } else { x.shape() };
    let present = mask(count);
    let mut lines = [_mm512_setzero_si512(); TILE];
    for (pair, line) in lines.iter_mut().enumerate().take(width.div_ceil(2)) {
        // SAFETY: the columns are those of `x`, and masks leave out what lies behind their end, or the second of a last pair.
        unsafe {
            let begin = x.as_ptr().offset(2 * pair as isize * x.col_stride());
            let first = _mm512_mul_ps(_mm512_maskz_loadu_ps(present, begin), factor);
            let also = if 2 * pair + 1 < width { present } else { 0 };
            let second = _mm512_maskz_loadu_ps(also, begin.wrapping_offset(x.col_stride()));
            *line = _mm512_permutexvar_epi16(interleaved, rounded(first, _mm512_mul_ps(second, factor)));
        }
    }
    lines
}

/// The first `count` of 16 lanes.
fn mask(count: usize) -> __mmask16 {
    if count >= TILE { !0 } else { (1 << count) - 1 }
}

/// 32 numbers to the nearest `bf16`, ties to even; `first` in the lower half.
#[target_feature(enable = "avx512f,avx512bf16")]
fn rounded(first: __m512, second: __m512) -> __m512i {
    // SAFETY: both types are 512 bits that mean nothing by themselves.
    unsafe { std::mem::transmute::<__m512bh, __m512i>(_mm512_cvtne2ps_pbh(second, first)) }
}

/// From two halves to pairs: 0, 16, 1, 17, …
#[target_feature(enable = "avx512f,avx512bw")]
fn interleaving() -> __m512i {
    let places: [u16; DEPTH] = std::array::from_fn(|place| (place / 2 + place % 2 * TILE) as u16);
    // SAFETY: the array has 64 bytes.
    unsafe { _mm512_loadu_si512(places.as_ptr().cast()) }
}

/// 16 × 16 elements of 32 bits, rows for columns.
#[target_feature(enable = "avx512f")]
fn transposed(x: [__m512i; TILE]) -> [__m512i; TILE] {
    let mut pairs = x;
    for i in 0..8 {
        pairs[2 * i] = _mm512_unpacklo_epi32(x[2 * i], x[2 * i + 1]);
        pairs[2 * i + 1] = _mm512_unpackhi_epi32(x[2 * i], x[2 * i + 1]);
    }
    // After this, vector 4 g + c has in each of its four quarters q the column 4 q + c of the rows 4 g to 4 g + 3.
    let mut fours = x;
    for g in 0..4 {
        for half in 0..2 {
            let (upper, lower) = (pairs[4 * g + half], pairs[4 * g + 2 + half]);
            fours[4 * g + 2 * half] = _mm512_unpacklo_epi64(upper, lower);
            fours[4 * g + 2 * half + 1] = _mm512_unpackhi_epi64(upper, lower);
        }
    }
    // And then the quarters change places.
    let mut out = x;
    for c in 0..4 {
        let [a, b, d, e] = [fours[c], fours[4 + c], fours[8 + c], fours[12 + c]];
        let even = [_mm512_shuffle_i32x4::<0x88>(a, b), _mm512_shuffle_i32x4::<0x88>(d, e)];
        let odd = [_mm512_shuffle_i32x4::<0xdd>(a, b), _mm512_shuffle_i32x4::<0xdd>(d, e)];
        out[c] = _mm512_shuffle_i32x4::<0x88>(even[0], even[1]);
        out[8 + c] = _mm512_shuffle_i32x4::<0xdd>(even[0], even[1]);
        out[4 + c] = _mm512_shuffle_i32x4::<0x88>(odd[0], odd[1]);
        out[12 + c] = _mm512_shuffle_i32x4::<0xdd>(odd[0], odd[1]);
    }
    out
}
