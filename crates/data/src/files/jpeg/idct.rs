//! The inverse DCT of libjpeg's `jidctint.c` ("islow"), to the bit: Loeffler, Ligtenberg and Moschytz, 12 products in
//! whole numbers of 13 bits behind the point.

use std::num::Wrapping;

const CONST_BITS: usize = 13;
const PASS1_BITS: usize = 2;

/// Dequantizes a block, transforms it and writes its 8 × 8 samples to rows that lie `stride` apart.
///
/// # Shapes
///
/// - coefficients and table: 8 × 8, row by row
/// - samples: at least `7 · stride + 8`
pub(super) fn block(coefficients: &[i16; 64], table: &[u16; 64], samples: &mut [u8], stride: usize) {
    let mut work = [Wrapping(0_i32); 64];
    for column in 0..8 {
        let values: [_; 8] = std::array::from_fn(|row| {
            let at = 8 * row + column;
            Wrapping(i32::from(coefficients[at])) * Wrapping(i32::from(table[at]))
        });
        let out = transform(values, CONST_BITS - PASS1_BITS);
        for (row, value) in out.into_iter().enumerate() {
            work[8 * row + column] = value;
        }
    }
    for (row, values) in work.as_chunks::<8>().0.iter().enumerate() {
        let out = transform(*values, CONST_BITS + PASS1_BITS + 3);
        for (sample, value) in samples[row * stride..].iter_mut().zip(out) {
            *sample = (value.0.saturating_add(128)).clamp(0, 255) as u8;
        }
    }
}

/// One row or column; results are rounded to `shift` bits fewer.
fn transform(x: [Wrapping<i32>; 8], shift: usize) -> [Wrapping<i32>; 8] {
    let c = |value: i32| Wrapping(value);
    // Even part.
    let z1 = (x[2] + x[6]) * c(4433);
    let (t2, t3) = (z1 - x[6] * c(15137), z1 + x[2] * c(6270));
    let (t0, t1) = ((x[0] + x[4]) << CONST_BITS, (x[0] - x[4]) << CONST_BITS);
    let even = [t0 + t3, t1 + t2, t1 - t2, t0 - t3];
    // Odd part.
    let z5 = (x[7] + x[3] + x[5] + x[1]) * c(9633);
    let z1 = (x[7] + x[1]) * c(-7373);
    let z2 = (x[5] + x[3]) * c(-20995);
    let z3 = (x[7] + x[3]) * c(-16069) + z5;
    let z4 = (x[5] + x[1]) * c(-3196) + z5;
    let odd =
        [x[1] * c(12299) + z1 + z4, x[3] * c(25172) + z2 + z3, x[5] * c(16819) + z2 + z4, x[7] * c(2446) + z1 + z3];
    let round = c(1 << (shift - 1));
    std::array::from_fn(|k| match k {
        0..=3 => (even[k] + odd[k] + round) >> shift,
        _ => (even[7 - k] - odd[7 - k] + round) >> shift,
    })
}
