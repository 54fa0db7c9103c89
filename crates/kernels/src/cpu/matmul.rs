//! Matrix products of row-major arrays.

use faer::linalg::matmul::matmul;
use faer::{Accum, MatMut, MatRef, Par};
use rayon::prelude::*;

use super::bf16::{self, Unit};

/// Products below this many multiplications are not shared out among the cores.
const SHARED_FROM: usize = 1 << 20;

/// What becomes of the values that are there.
#[derive(Clone, Copy)]
pub(crate) enum Into {
    /// They are written over.
    Replaced,
    /// The product is added to them.
    Added,
}

/// A view of `rows × columns` elements whose rows begin `stride` apart.
pub(crate) fn view(values: &[f32], rows: usize, columns: usize, stride: usize) -> MatRef<'_, f32> {
    MatRef::from_row_major_slice_with_stride(values, rows, columns, stride)
}

/// As [`view`], to write to.
pub(crate) fn view_mut(values: &mut [f32], rows: usize, columns: usize, stride: usize) -> MatMut<'_, f32> {
    // faer 0.24.4's own `from_row_major_slice_with_stride_mut` mixes up its strides and writes past the slice.
    MatMut::from_column_major_slice_with_stride_mut(values, columns, rows, stride).transpose_mut()
}

/// What a product is computed in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Arithmetic {
    /// Factors and sums of `f32`.
    F32,
    /// Factors rounded to `bf16`, sums of `f32`.
    Bf16(Unit),
}

/// `out = factor · a b` or `out += factor · a b`, on this thread; `out` has dense rows.
pub(crate) fn multiply(
    arithmetic: Arithmetic,
    out: MatMut<'_, f32>,
    into: Into,
    a: MatRef<'_, f32>,
    b: MatRef<'_, f32>,
    factor: f32,
) {
    let accumulate = match into {
        Into::Replaced => Accum::Replace,
        Into::Added => Accum::Add,
    };
    match arithmetic {
        Arithmetic::F32 => matmul(out, accumulate, a, b, factor, Par::Seq),
        Arithmetic::Bf16(unit) => bf16::multiply(unit, out, into, [a, b], factor),
    }
}

/// The product of `a` and `b` as a new row-major array, its rows shared out among the cores.
pub(crate) fn product(arithmetic: Arithmetic, a: MatRef<'_, f32>, b: MatRef<'_, f32>) -> Vec<f32> {
    written(a.nrows(), b.ncols(), |out| product_into(arithmetic, out, a, b))
}

/// The products of pairs, one below the other, in a new row-major array of `rows × columns` elements; zero below the last.
pub(crate) fn products(
    arithmetic: Arithmetic,
    [rows, columns]: [usize; 2],
    pairs: &[(MatRef<'_, f32>, MatRef<'_, f32>)],
) -> Vec<f32> {
    written(rows, columns, |mut rest| {
        for &(a, b) in pairs {
            let (out, below) = rest.split_at_row_mut(a.nrows());
            product_into(arithmetic, out, a, b);
            rest = below;
        }
        rest.fill(0.0);
    })
}

/// Writes the product of `a` and `b`, its rows shared out among the cores.
fn product_into(arithmetic: Arithmetic, mut out: MatMut<'_, f32>, a: MatRef<'_, f32>, b: MatRef<'_, f32>) {
    let (rows, inner, columns) = (a.nrows(), a.ncols(), b.ncols());
    if rows * columns == 0 {
        return;
    }
    if inner == 0 {
        return out.fill(0.0);
    }
    let shares = if rows * inner * columns < SHARED_FROM { 1 } else { rayon::current_num_threads() };
    let share = rows.div_ceil(shares);
    let fill = |(index, out): (usize, MatMut<'_, f32>)| {
        let a = a.subrows(index * share, out.nrows());
        multiply(arithmetic, out, Into::Replaced, a, b, 1.0);
    };
    out.par_row_chunks_mut(share).enumerate().for_each(fill);
}

/// A new row-major array that `write` fills. Clearing it first would take a tenth of a step.
#[allow(unsafe_code)] // Numbers that are not there yet are out of reach of a slice.
fn written(rows: usize, columns: usize, write: impl FnOnce(MatMut<'_, f32>)) -> Vec<f32> {
    let mut out: Vec<f32> = Vec::with_capacity(rows * columns);
    // SAFETY: the memory has room for all rows, nobody else has it, and products that replace what is there do not read it.
    let view = unsafe { MatMut::from_raw_parts_mut(out.as_mut_ptr(), rows, columns, columns as isize, 1) };
    write(view);
    // SAFETY: every number has been written.
    unsafe { out.set_len(rows * columns) };
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    /// An array in the middle of a larger one, whose rest must stay as it is.
    #[test]
    fn products_write_nothing_beside_their_output() {
        for rows in 1..20 {
            for columns in 1..20 {
                for inner in 1..12 {
                    for (a_transposed, b_transposed) in [(false, false), (false, true), (true, false)] {
                        let a: Vec<f32> = (0..rows * inner).map(|i| (i as f32 * 0.7).sin()).collect();
                        let b: Vec<f32> = (0..inner * columns).map(|i| (i as f32 * 0.3).cos()).collect();
                        let mut out = vec![7.0f32; rows * columns + 64];
                        let a_view = match a_transposed {
                            true => view(&a, inner, rows, rows).transpose(),
                            false => view(&a, rows, inner, inner),
                        };
                        let b_view = match b_transposed {
                            true => view(&b, columns, inner, inner).transpose(),
                            false => view(&b, inner, columns, columns),
                        };
                        let place = &mut out[32..32 + rows * columns];
                        let out_view = view_mut(place, rows, columns, columns);
                        multiply(Arithmetic::F32, out_view, Into::Replaced, a_view, b_view, 2.0);
                        for i in 0..rows {
                            for j in 0..columns {
                                let exact: f32 = (0..inner).map(|k| a_view[(i, k)] * b_view[(k, j)]).sum();
                                let found = out[32 + i * columns + j];
                                assert!(
                                    (found - 2.0 * exact).abs() < 1e-4,
                                    "{rows} {inner} {columns} {a_transposed} {b_transposed}: {found} {exact}"
                                );
                            }
                        }
                        let beside = out[..32].iter().chain(&out[32 + rows * columns..]);
                        assert!(
                            beside.copied().all(|x| x == 7.0),
                            "{rows} {inner} {columns} {a_transposed} {b_transposed}"
                        );
                    }
                }
            }
        }
    }
}
