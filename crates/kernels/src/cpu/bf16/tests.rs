//! Every unit of this machine against products of rounded factors in `f32`.

use faer::MatRef;

use super::{Unit, multiply};
use crate::cpu::matmul::{Arithmetic, Into, multiply as multiply_by, view, view_mut};

/// The nearest `bf16`, ties to even.
fn rounded(x: f32) -> f32 {
    let bits = x.to_bits();
    f32::from_bits((bits + 0x7fff + ((bits >> 16) & 1)) & 0xffff_0000)
}

/// `[rows, columns]`, row by row or column by column.
fn seen(values: &[f32], rows: usize, columns: usize, is_transposed: bool) -> MatRef<'_, f32> {
    if is_transposed { view(values, columns, rows, rows).transpose() } else { view(values, rows, columns, columns) }
}

/// Multiplies into the middle of a larger array, whose rest must stay as it is.
fn check(unit: Unit, [rows, inner, columns]: [usize; 3], transposed: [bool; 2], into: Into) {
    const BESIDE: usize = 5;
    const FACTOR: f32 = 0.7;
    let a: Vec<f32> = (0..rows * inner).map(|i| (i as f32 * 0.7).sin()).collect();
    let b: Vec<f32> = (0..inner * columns).map(|i| (i as f32 * 0.3).cos()).collect();
    let stride = columns + 2 * BESIDE;
    let before: Vec<f32> = (0..rows * stride).map(|i| (i % 7) as f32).collect();
    let within = |out: &mut Vec<f32>, multiply: &dyn Fn(faer::MatMut<'_, f32>)| {
        multiply(view_mut(out, rows, stride, stride).submatrix_mut(0, BESIDE, rows, columns));
    };
    let (mut found, mut expected) = (before.clone(), before);
    within(&mut found, &|out| {
        let factors = [seen(&a, rows, inner, transposed[0]), seen(&b, inner, columns, transposed[1])];
        multiply(unit, out, into, factors, FACTOR);
    });
    let (a, b): (Vec<f32>, Vec<f32>) =
        (a.iter().map(|&x| rounded(FACTOR * x)).collect(), b.into_iter().map(rounded).collect());
    within(&mut expected, &|out| {
        let (a, b) = (seen(&a, rows, inner, transposed[0]), seen(&b, inner, columns, transposed[1]));
        multiply_by(Arithmetic::F32, out, into, a, b, 1.0);
    });
    for (place, (found, expected)) in found.iter().zip(&expected).enumerate() {
        let bound = 1e-6 * (1.0 + (inner as f32).sqrt());
        assert!(
            (found - expected).abs() <= bound,
            "{unit:?}, {rows} × {inner} × {columns}, {transposed:?}: {found} for {expected} at {place}"
        );
    }
}

#[test]
fn every_unit_multiplies_rounded_factors_and_writes_nothing_beside() {
    let shapes =
        [[1, 1, 1], [3, 2, 5], [16, 32, 16], [32, 32, 32], [33, 31, 65], [70, 97, 40], [150, 800, 33], [40, 64, 1100]];
    for unit in Unit::all() {
        for shape in shapes {
            for transposed in [[false, false], [true, false], [false, true], [true, true]] {
                check(unit, shape, transposed, Into::Replaced);
                check(unit, shape, transposed, Into::Added);
            }
        }
    }
}

#[test]
fn no_inner_axis_is_a_sum_of_nothing() {
    for unit in Unit::all() {
        let mut out = vec![3.0; 6];
        let factors = || [view(&[], 2, 0, 0), view(&[], 0, 3, 3)];
        multiply(unit, view_mut(&mut out, 2, 3, 3), Into::Added, factors(), 1.0);
        assert_eq!(out, [3.0; 6]);
        multiply(unit, view_mut(&mut out, 2, 3, 3), Into::Replaced, factors(), 1.0);
        assert_eq!(out, [0.0; 6]);
    }
}

/// What lies backwards has neither dense rows nor dense columns.
#[test]
fn a_factor_may_lie_anyhow() {
    let (rows, inner, columns) = (40, 44, 17);
    let a: Vec<f32> = (0..rows * inner).map(|i| (i as f32 * 0.11).sin()).collect();
    let b: Vec<f32> = (0..inner * columns).map(|i| (i as f32 * 0.2).cos()).collect();
    let backwards = |values: &[f32]| values.iter().rev().copied().collect::<Vec<f32>>();
    let (a_backwards, b_backwards) = (backwards(&a), backwards(&b));
    for unit in Unit::all() {
        let by = |a: MatRef<'_, f32>, b: MatRef<'_, f32>| {
            let mut out = vec![0.0; rows * columns];
            multiply(unit, view_mut(&mut out, rows, columns, columns), Into::Replaced, [a, b], 1.0);
            out
        };
        let expected = by(view(&a, rows, inner, inner), view(&b, inner, columns, columns));
        let (a, b) = (view(&a_backwards, rows, inner, inner), view(&b_backwards, inner, columns, columns));
        assert_eq!(by(a.reverse_rows_and_cols(), b.reverse_rows_and_cols()), expected);
    }
}
