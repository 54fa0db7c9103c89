//! Forward and backward of every fused operation against its reference implementation, at the sizes of the yardstick step
//! (d_model 256, 4 heads of 64, SwiGLU 684, 8 sequences of 320 rows).
//!
//!   cargo bench --workspace --bench kernels

// A benchmark that cannot run has nothing better to do than to stop.
#![allow(missing_docs, clippy::unwrap_used)]

use std::hint::black_box;

use burn::tensor::{Device, Int, Tensor, TensorData};
use criterion::{BenchmarkGroup, Criterion, criterion_group, criterion_main, measurement::WallTime};
use interfuse_kernels::rope::{RopeFrequencies, RopeTable};
use interfuse_kernels::{ConvSteps, VisibleRanges, attention, conv2d, cross_entropy, linear, rms_norm, rope, swiglu};

const BATCH: usize = 8;
const ROWS: usize = 320;
const WIDTH: usize = 256;
const HEADS: usize = 4;
const HIDDEN: usize = 684;
const VOCABULARY: usize = 1024;

fn device() -> Device {
    Device::flex().autodiff()
}

fn wave<const R: usize>(shape: [usize; R]) -> Tensor<R> {
    let values: Vec<f32> = (0..shape.iter().product()).map(|i| (i as f32 * 0.37).sin()).collect();
    Tensor::from_data(TensorData::new(values, shape), &device()).require_grad()
}

/// Runs an operation and the backward pass of its sum.
fn both_ways<const R: usize>(operation: impl Fn() -> Tensor<R>) {
    black_box(operation().sum().backward());
}

fn compare(group: &mut BenchmarkGroup<'_, WallTime>, fused: impl Fn(), plain: impl Fn()) {
    group.sample_size(10);
    group.bench_function("fused", |bencher| bencher.iter(&fused));
    group.bench_function("plain", |bencher| bencher.iter(&plain));
}

/// A product so large that nothing but arithmetic counts: what this machine can do at most, 17.2 GFLOP each.
fn peak(criterion: &mut Criterion) {
    const SIDE: usize = 2048;
    let [a, b] = [(); 2].map(|()| wave([SIDE, SIDE]).inner());
    let mut group = criterion.benchmark_group("peak");
    group.sample_size(10);
    group.bench_function("2048 × 2048 × 2048", |bencher| {
        bencher.iter(|| black_box(linear::product(a.clone(), b.clone())));
    });
}

fn linear(criterion: &mut Criterion) {
    let (x, weight) = (wave([BATCH * ROWS, WIDTH]), wave([WIDTH, HIDDEN]));
    let fused = || both_ways(|| linear::product(x.clone(), weight.clone()));
    let plain = || both_ways(|| x.clone().matmul(weight.clone()));
    compare(&mut criterion.benchmark_group("linear"), fused, plain);
}

fn norm(criterion: &mut Criterion) {
    let (x, weight) = (wave([BATCH, ROWS, WIDTH]), wave([WIDTH]));
    let fused = || both_ways(|| rms_norm::rms_norm(x.clone(), weight.clone(), 1e-5));
    let plain = || both_ways(|| rms_norm::reference(x.clone(), weight.clone(), 1e-5));
    compare(&mut criterion.benchmark_group("rms_norm"), fused, plain);
}

fn swiglu_activation(criterion: &mut Criterion) {
    let (gate, up) = (wave([BATCH, ROWS, HIDDEN]), wave([BATCH, ROWS, HIDDEN]));
    let fused = || both_ways(|| swiglu::swiglu(gate.clone(), up.clone()));
    let plain = || both_ways(|| swiglu::reference(gate.clone(), up.clone()));
    compare(&mut criterion.benchmark_group("swiglu"), fused, plain);
}

fn rotation(criterion: &mut Criterion) {
    let x = wave([BATCH, ROWS, HEADS, WIDTH / HEADS]);
    let positions: Vec<f32> = (0..BATCH * ROWS * 3).map(|i| (i / 3 % ROWS) as f32).collect();
    let positions = Tensor::from_data(TensorData::new(positions, [BATCH, ROWS, 3]), &device());
    let table = RopeTable::new(positions, &RopeFrequencies::sequential(WIDTH / HEADS, 1e4));
    let fused = || both_ways(|| rope::rotate(x.clone(), &table));
    let plain = || both_ways(|| rope::reference(x.clone(), &table));
    compare(&mut criterion.benchmark_group("rotate"), fused, plain);
}

fn entropy(criterion: &mut Criterion) {
    let rows = BATCH * ROWS / 2;
    let logits = wave([rows, VOCABULARY]);
    let targets: Vec<i32> = (0..rows).map(|row| (row % VOCABULARY) as i32).collect();
    let targets = Tensor::<1, Int>::from_data(TensorData::new(targets, [rows]), &device());
    let weights = Tensor::<1>::ones([rows], &device());
    let loss = |score: fn(Tensor<2>, Tensor<1, Int>, Tensor<1>) -> cross_entropy::CrossEntropy| {
        both_ways(|| score(logits.clone(), targets.clone(), weights.clone()).next_token);
    };
    let (fused, plain) = (|| loss(cross_entropy::cross_entropy), || loss(cross_entropy::reference));
    compare(&mut criterion.benchmark_group("cross_entropy"), fused, plain);
}

/// Convolutions of a VAE's decoder: 3 × 3, 64 → 64 channels, on images of 32 × 32.
fn convolution(criterion: &mut Criterion) {
    let (x, weight) = (wave([BATCH, 64, 32, 32]), wave([64, 64, 3, 3]));
    let steps = ConvSteps::new(1, 1);
    let fused = || both_ways(|| conv2d::conv2d(x.clone(), weight.clone(), None, steps));
    let plain = || both_ways(|| conv2d::reference(x.clone(), weight.clone(), None, steps));
    compare(&mut criterion.benchmark_group("conv2d"), fused, plain);
}

/// Half of the rows text, then an image: Transfusion's mask.
fn ranges(batch: usize, rows: usize) -> VisibleRanges {
    let ints = |values: Vec<i32>| {
        Tensor::<1, Int>::from_data(TensorData::new(values, [rows]), &device()).unsqueeze::<2>().expand([batch, rows])
    };
    let until = |row: usize| if row < rows / 2 { row + 1 } else { rows };
    VisibleRanges::new(
        ints((0..rows as i32).collect()),
        ints(vec![0; rows]),
        ints((0..rows).map(|row| until(row) as i32).collect()),
    )
}

fn attention(criterion: &mut Criterion) {
    let [q, k, v] = [(); 3].map(|()| wave([BATCH, ROWS, HEADS, WIDTH / HEADS]));
    let visible = ranges(BATCH, ROWS);
    let fused = || both_ways(|| attention::ranged_attention(q.clone(), k.clone(), v.clone(), &visible));
    let plain = || both_ways(|| attention::reference(q.clone(), k.clone(), v.clone(), &visible));
    compare(&mut criterion.benchmark_group("attention"), fused, plain);
}

/// How time grows with the rows; memory does so linearly.
fn attention_growth(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("attention growth");
    group.sample_size(10);
    for rows in [512, 1024, 2048, 4096, 8192] {
        let [q, k, v] = [(); 3].map(|()| wave([1, rows, HEADS, WIDTH / HEADS]));
        let visible = ranges(1, rows);
        let run = || both_ways(|| attention::ranged_attention(q.clone(), k.clone(), v.clone(), &visible));
        group.bench_function(format!("{rows} rows"), |bencher| bencher.iter(run));
    }
}

criterion_group!(
    kernels,
    peak,
    linear,
    norm,
    swiglu_activation,
    rotation,
    entropy,
    convolution,
    attention,
    attention_growth
);
criterion_main!(kernels);
