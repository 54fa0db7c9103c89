//! Operations in `bf16` on the CPU against `f32`, values and gradients, where the processor has instructions for it.

use burn::tensor::{DType, Device, Tensor};
use interfuse_kernels::{
    ConvSteps, Precision, RowGroups, VisibleRanges, conv2d, grouped_product, linear, ranged_attention, with_precision,
    with_reference,
};

use crate::probe::{Operation, gap, ints, noise, run};

/// A factor is rounded by at most 2⁻⁹ of it, a sum of products of two such by less than this of its largest.
const TOLERANCE: f64 = 2e-2;
/// Results that are closer to `f32` than this have not been rounded.
const ROUNDED: f64 = 1e-5;

fn check(name: &str, operation: &Operation<'_>, inputs: &[Vec<f64>]) {
    if !Precision::Bf16.runs_on(&Device::flex()) {
        return;
    }
    let expected = with_reference(|| run(operation, inputs, DType::F32));
    let found = with_precision(Precision::Bf16, || run(operation, inputs, DType::F32));
    let pairs = found.gradients.iter().zip(&expected.gradients).chain([(&found.out, &expected.out)]);
    for (index, (found, expected)) in pairs.enumerate() {
        let gap = gap(found, expected);
        assert!((ROUNDED..TOLERANCE).contains(&gap), "{name}: {index} differs by {gap:e}");
    }
}

#[test]
fn linear_maps() {
    let inputs = [noise(70 * 130, 1), noise(130 * 50, 2)];
    let shaped = |x: &[Tensor<1>], weight: [usize; 2]| (x[0].clone().reshape([70, 130]), x[1].clone().reshape(weight));
    let by_column = |x: Vec<Tensor<1>>| {
        let (x, weight) = shaped(&x, [130, 50]);
        linear::product(x, weight).reshape([70 * 50])
    };
    check("weight", &by_column, &inputs);
    let by_row = |x: Vec<Tensor<1>>| {
        let (x, table) = shaped(&x, [50, 130]);
        linear::product_with_rows(x, table).reshape([70 * 50])
    };
    check("table", &by_row, &inputs);
}

#[test]
fn maps_of_groups() {
    let operation = |x: Vec<Tensor<1>>| {
        let ends = RowGroups::Ends(ints(&[20, 20, 66], [3], &x[0].device()));
        let (x, weight) = (x[0].clone().reshape([70, 130]), x[1].clone().reshape([3, 130, 50]));
        grouped_product(x, weight, &ends).reshape([70 * 50])
    };
    check("maps of groups", &operation, &[noise(70 * 130, 1), noise(3 * 130 * 50, 2)]);
}

#[test]
fn attention() {
    let (rows, heads, width) = (300, 2, 48);
    let count = rows * heads * width;
    let operation = |x: Vec<Tensor<1>>| {
        let order: Vec<i64> = (0..rows as i64).collect();
        let until: Vec<i64> = order.iter().map(|row| if (60..200).contains(row) { 200 } else { row + 1 }).collect();
        let device = x[0].device();
        let [order, from, until] = [order, vec![0; rows], until].map(|x| ints(&x, [1, rows], &device));
        let [q, k, v] = [0, 1, 2].map(|input| x[input].clone().reshape([1, rows, heads, width]));
        ranged_attention(q, k, v, &VisibleRanges::new(order, from, until)).reshape([count])
    };
    check("attention", &operation, &[noise(count, 3), noise(count, 4), noise(count, 5)]);
}

#[test]
fn convolution() {
    let operation = |x: Vec<Tensor<1>>| {
        let (images, weight) = (x[0].clone().reshape([2, 5, 20, 24]), x[1].clone().reshape([7, 5, 3, 3]));
        conv2d(images, weight, None, ConvSteps::new(1, 1)).reshape([2 * 7 * 20 * 24])
    };
    check("convolution", &operation, &[noise(2 * 5 * 20 * 24, 6), noise(7 * 5 * 9, 7)]);
}
