//! Loops over slices that the compiler turns into vector instructions.
//!
//! [`vectorised`] compiles a closure once for each instruction set (AVX-512, AVX2, NEON, none) and picks one when the program
//! runs. Everything called inside must be `#[inline(always)]`, or it stays behind in the portable set. No function here
//! contracts a product and a sum into one instruction, so that all instruction sets give the same bits.

use pulp::Arch;

/// Lanes of partial results: enough for two registers of the widest set.
const LANES: usize = 32;

/// Runs `f`, compiled for the best instruction set of this machine.
#[inline(always)]
pub(crate) fn vectorised<R>(f: impl FnOnce() -> R) -> R {
    Arch::new().dispatch(f)
}

/// `eˣ` with a relative error below 2e-7 for `x` in [-87, 88]; clamped outside, NaN for NaN.
///
/// Cody–Waite reduction to |r| ≤ ½ ln 2 and the polynomial of Cephes' `expf`.
#[inline(always)]
pub(crate) fn exp(x: f32) -> f32 {
    /// 1.5 · 2²³: adding it leaves the nearest whole number in the low bits of the sum.
    const ROUND: f32 = 12_582_912.0;
    /// ln 2 in two parts, the first with so few bits that its products with whole numbers are exact.
    const LN_2_HIGH: f32 = 0.693_359_4;
    const LN_2_LOW: f32 = -2.121_944_4e-4;
    let x = x.clamp(-87.0, 88.0);
    let rounded = x * std::f32::consts::LOG2_E + ROUND;
    let n = rounded - ROUND;
    let r = x - n * LN_2_HIGH - n * LN_2_LOW;
    let p = 1.987_569_1e-4;
    let p = p * r + 1.398_199_9e-3;
    let p = p * r + 8.333_452e-3;
    let p = p * r + 4.166_579_6e-2;
    let p = p * r + 1.666_666_5e-1;
    let p = p * r + 0.5;
    let p = p * (r * r) + r + 1.0;
    let exponent = rounded.to_bits().wrapping_sub(ROUND.to_bits()).wrapping_add(127);
    p * f32::from_bits(exponent << 23)
}

/// The sum of `f` over two slices of one length.
#[inline(always)]
pub(crate) fn sum_with(a: &[f32], b: &[f32], f: impl Fn(f32, f32) -> f32) -> f32 {
    let mut lanes = [0.0; LANES];
    let (a_blocks, b_blocks) = (a.chunks_exact(LANES), b.chunks_exact(LANES));
    let tail = a_blocks.remainder().iter().zip(b_blocks.remainder());
    let mut total: f32 = tail.map(|(&a, &b)| f(a, b)).sum();
    for (a, b) in a_blocks.zip(b_blocks) {
        for ((lane, &a), &b) in lanes.iter_mut().zip(a).zip(b) {
            *lane += f(a, b);
        }
    }
    for lane in lanes {
        total += lane;
    }
    total
}

/// `Σ a · b`
#[inline(always)]
pub(crate) fn dot(a: &[f32], b: &[f32]) -> f32 {
    sum_with(a, b, |a, b| a * b)
}

/// `Σ a`
#[inline(always)]
pub(crate) fn sum(a: &[f32]) -> f32 {
    sum_with(a, a, |a, _| a)
}

/// The largest element; −∞ of none.
#[inline(always)]
pub(crate) fn max(a: &[f32]) -> f32 {
    let larger = |a: f32, b: f32| if b > a { b } else { a };
    let mut lanes = [f32::NEG_INFINITY; LANES];
    let blocks = a.chunks_exact(LANES);
    let tail = blocks.remainder().iter().fold(f32::NEG_INFINITY, |a, &b| larger(a, b));
    for block in blocks {
        for (lane, &x) in lanes.iter_mut().zip(block) {
            *lane = larger(*lane, x);
        }
    }
    lanes.into_iter().fold(tail, larger)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn exp_keeps_its_error_bound() {
        let mut worst = 0.0f64;
        for i in -870_000..880_000 {
            let x = i as f32 * 1e-4;
            let exact = f64::from(x).exp();
            worst = worst.max((f64::from(exp(x)) - exact).abs() / exact);
        }
        assert!(worst < 2e-7, "{worst:e}");
        assert_eq!(exp(0.0), 1.0);
        assert!(exp(f32::NEG_INFINITY) < 2e-38 && exp(f32::INFINITY) > 1e38 && exp(f32::NAN).is_nan());
    }

    #[test]
    fn reductions_cover_every_length() {
        for length in [0, 1, 31, 32, 33, 64, 100] {
            let a: Vec<f32> = (0..length).map(|i| (i as f32 * 0.7).sin()).collect();
            let b: Vec<f32> = (0..length).map(|i| (i as f32 * 0.3).cos()).collect();
            let exact: f64 = a.iter().zip(&b).map(|(&a, &b)| f64::from(a) * f64::from(b)).sum();
            assert!((f64::from(vectorised(|| dot(&a, &b))) - exact).abs() < 1e-5);
            assert!((vectorised(|| sum(&a)) - a.iter().sum::<f32>()).abs() < 1e-5);
            assert_eq!(vectorised(|| max(&a)), a.iter().copied().fold(f32::NEG_INFINITY, f32::max));
        }
    }
}
