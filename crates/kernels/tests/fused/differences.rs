//! The gradients of the reference implementations against central differences, in `f64`.

use burn::tensor::{DType, Tensor, TensorData};
use interfuse_kernels::rope::{RopeFrequencies, RopeTable};
use interfuse_kernels::{
    GroupNormSteps, RowGroups, VisibleRanges, attention, cross_entropy, group_norm, grouped_linear, rms_norm, rope,
    swiglu,
};

use crate::probe::{Operation, ints, noise, run, weighted_sum};

fn assert_gradients(operation: &Operation<'_>, inputs: &[Vec<f64>]) {
    const STEP: f64 = 1e-5;
    let found = run(operation, inputs, DType::F64);
    for (input, gradient) in found.gradients.iter().enumerate() {
        for (element, &gradient) in gradient.iter().enumerate() {
            let at = |shift: f64| {
                let mut moved = inputs.to_vec();
                moved[input][element] += shift;
                weighted_sum(operation, &moved)
            };
            let slope = (at(STEP) - at(-STEP)) / (2.0 * STEP);
            let gap = (slope - gradient).abs();
            assert!(gap < 1e-7 * (1.0 + slope.abs()), "input {input}[{element}]: {gradient} against {slope}");
        }
    }
}

#[test]
fn of_rms_norm() {
    let operation =
        |x: Vec<Tensor<1>>| rms_norm::reference(x[0].clone().reshape([3, 5]), x[1].clone(), 1e-5).reshape([15]);
    assert_gradients(&operation, &[noise(15, 1), noise(5, 2)]);
}

#[test]
fn of_swiglu() {
    assert_gradients(&|x| swiglu::reference(x[0].clone(), x[1].clone()), &[noise(9, 1), noise(9, 2)]);
}

#[test]
fn of_maps_of_groups() {
    let operation = |x: Vec<Tensor<1>>| {
        let ends = RowGroups::Ends(ints(&[2, 2, 5], [3], &x[0].device()));
        grouped_linear::reference(x[0].clone().reshape([6, 3]), x[1].clone().reshape([3, 3, 2]), &ends).reshape([12])
    };
    assert_gradients(&operation, &[noise(18, 1), noise(18, 2)]);
}

#[test]
fn of_rotation() {
    let operation = |x: Vec<Tensor<1>>| {
        let positions = Tensor::from_data(
            TensorData::new(vec![1.0f64, 0.0, 2.0, 4.0, 1.0, 3.0], [1, 2, 3]),
            (&x[0].device(), DType::F64),
        );
        let table = RopeTable::new(positions, &RopeFrequencies::axial(6, 10.0));
        rope::reference(x[0].clone().reshape([1, 2, 2, 6]), &table).reshape([24])
    };
    assert_gradients(&operation, &[noise(24, 3)]);
}

#[test]
fn of_cross_entropy() {
    let operation = |x: Vec<Tensor<1>>| {
        let device = x[0].device();
        let weights = Tensor::from_data(TensorData::new(vec![1.0f64, 0.0, 0.5], [3]), (&device, DType::F64));
        let loss = cross_entropy::reference(x[0].clone().reshape([3, 4]), ints(&[1, 0, 3], [3], &device), weights);
        Tensor::cat(vec![loss.next_token, loss.z], 0)
    };
    assert_gradients(&operation, &[noise(12, 4)]);
}

#[test]
fn of_group_norm() {
    for silu in [false, true] {
        let steps = GroupNormSteps { groups: 2, epsilon: 1e-3, silu };
        let operation = |x: Vec<Tensor<1>>| {
            group_norm::reference(x[0].clone().reshape([2, 4, 1, 3]), x[1].clone(), x[2].clone(), steps).reshape([24])
        };
        assert_gradients(&operation, &[noise(24, 8), noise(4, 9), noise(4, 10)]);
    }
}

#[test]
fn of_attention() {
    let operation = |x: Vec<Tensor<1>>, are_hidden: bool| {
        let device = x[0].device();
        let row = |values: &[i64]| ints(values, [1, values.len()], &device);
        let visible = VisibleRanges::new(row(&[0, 3, 1, 2]), row(&[0, 1, 2]), row(&[2, 4, 2]));
        let visible = match are_hidden {
            true => visible.with_hidden_keys(row(&[2, 3, 4]), row(&[9, 9, 3, 9])),
            false => visible,
        };
        let head = |x: &Tensor<1>, rows: usize, heads: usize| x.clone().reshape([1, rows, heads, 4]);
        attention::reference(head(&x[0], 3, 2), head(&x[1], 4, 1), head(&x[2], 4, 1), &visible).reshape([24])
    };
    for are_hidden in [false, true] {
        assert_gradients(&|x| operation(x, are_hidden), &[noise(24, 5), noise(16, 6), noise(16, 7)]);
    }
}
