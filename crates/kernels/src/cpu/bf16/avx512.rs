//! Products in the vector instructions of AVX-512: `vdpbf16ps` adds the products of 16 pairs to 16 sums.
#![allow(unsafe_code)]

use std::arch::x86_64::*;

use super::packing::{BLOCK, Block, TILE};
use super::product::Sums;

/// Rows of sums that are held in registers at once, two vectors each.
const HELD: usize = 8;

/// `out = Σ a b` or `out += Σ a b` over a block of 32 × 32 sums.
///
/// # Safety
/// The processor has the instructions of [`super::Unit::Avx512`].
#[target_feature(enable = "avx512f,avx512bw,avx512bf16")]
pub(super) unsafe fn multiply(block: &Block<'_>, out: Sums<'_>, added: bool) {
    for first in (0..BLOCK).step_by(HELD) {
        // SAFETY: `Sums` holds 32 rows of 32 sums, and a tile 16 vectors.
        unsafe {
            let place = |row: usize, half: usize| out.row(first + row).add(half * TILE);
            let mut sums = [[_mm512_setzero_ps(); 2]; HELD];
            if added {
                for (row, sums) in sums.iter_mut().enumerate() {
                    *sums = [_mm512_loadu_ps(place(row, 0)), _mm512_loadu_ps(place(row, 1))];
                }
            }
            for step in 0..block.steps() {
                let a: *const i32 = (&raw const block.a[first / TILE][step]).cast();
                let a = a.add(first % TILE * TILE);
                let b: [*const __m512i; 2] = block.b.map(|tiles| (&raw const tiles[step]).cast());
                for pair in 0..TILE {
                    let b = b.map(|tile| _mm512_load_si512(tile.add(pair)));
                    for (row, sums) in sums.iter_mut().enumerate() {
                        let a = _mm512_set1_epi32(*a.add(row * TILE + pair));
                        sums[0] = add_products(sums[0], a, b[0]);
                        sums[1] = add_products(sums[1], a, b[1]);
                    }
                }
            }
            for (row, sums) in sums.into_iter().enumerate() {
                _mm512_storeu_ps(place(row, 0), sums[0]);
                _mm512_storeu_ps(place(row, 1), sums[1]);
            }
        }
    }
}

/// The sums and the products of pairs.
#[target_feature(enable = "avx512f,avx512bf16")]
fn add_products(sums: __m512, a: __m512i, b: __m512i) -> __m512 {
    // SAFETY: both types are 512 bits that mean nothing by themselves.
    let [a, b] = [a, b].map(|x| unsafe { std::mem::transmute::<__m512i, __m512bh>(x) });
    _mm512_dpbf16_ps(sums, a, b)
}
