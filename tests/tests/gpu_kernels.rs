//! The kernels of a GPU against their reference implementations on the CPU, values and gradients.
//!
//! Compiled with the feature `wgpu` or `cuda`. A software Vulkan will do.
#![cfg(any(feature = "wgpu", feature = "cuda"))]

/// How the kernels of the CPU are probed.
#[allow(dead_code)] // The CPU's tests ask for more.
#[path = "../../crates/kernels/tests/fused/probe.rs"]
mod probe;

use burn::tensor::{DType, Device, Tensor, TensorData};
use interfuse_kernels::rope::{RopeFrequencies, RopeTable};
use interfuse_kernels::{
    AdamWState, AdamWStep, AdamWUpdate, Precision, RowGroups, VisibleRanges, accumulate, adamw, attention,
    cross_entropy, descending_order, grouped_product, join_rows, linear, moving_averages, rms_norm, rope,
    squared_norms, swiglu, with_precision, with_reference,
};

use interfuse_tests::gpu;
use probe::{Operation, gap, ints, noise, run_on};

/// Compares an operation on the GPU with its reference implementation on the CPU in `f32`, values and gradients.
fn assert_equal(name: &str, operation: &Operation<'_>, inputs: &[Vec<f64>], tolerance: f64) {
    let expected = with_reference(|| run_on(operation, inputs, DType::F32, &Device::flex()));
    let found = run_on(operation, inputs, DType::F32, &gpu());
    let values = gap(&found.out, &expected.out);
    assert!(values < tolerance, "{name}: values differ by {values:e}");
    for (index, (found, expected)) in found.gradients.iter().zip(&expected.gradients).enumerate() {
        let gradient = gap(found, expected);
        assert!(gradient < tolerance, "{name}: gradient {index} differs by {gradient:e}");
    }
}

/// In the type of rows on a GPU and on the CPU alike: what comes of 16-bit rows is compared within their rounding.
fn as_rows<const R: usize>(x: Tensor<R>, dtype: DType) -> Tensor<R> {
    if x.device().without_autodiff() == Device::flex() { x } else { x.cast(dtype) }
}

const TYPES: [(DType, f64); 3] = [(DType::F32, 1e-4), (DType::F16, 5e-3), (DType::BF16, 3e-2)];

fn precision_of(dtype: DType) -> Precision {
    match dtype {
        DType::F16 => Precision::F16,
        DType::BF16 => Precision::Bf16,
        _ => Precision::F32,
    }
}

/// Whether the GPU computes with this type at all.
fn has(dtype: DType) -> bool {
    match dtype {
        DType::BF16 => Precision::Bf16.runs_on(&gpu()),
        DType::F16 => Precision::F16.runs_on(&gpu()),
        dtype => gpu().supports_dtype(dtype),
    }
}

/// Groups of any size, one without rows, and rows of none; and groups of one size.
#[test]
fn products_of_groups() {
    for (dtype, tolerance) in TYPES.into_iter().filter(|(dtype, _)| has(*dtype)) {
        for (rows, ends) in [(300, Some([130, 130, 171, 290])), (64, None)] {
            let operation = |x: Vec<Tensor<1>>| {
                let ends = ends.map(|ends| RowGroups::Ends(ints(&ends, [4], &x[0].device())));
                let (x, weight) = (x[0].clone().reshape([rows, 33]), x[1].clone().reshape([4, 33, 36]));
                let y = with_precision(precision_of(dtype), || {
                    grouped_product(as_rows(x, dtype), weight, &ends.unwrap_or(RowGroups::Equal))
                });
                y.cast(DType::F32).reshape([rows * 36])
            };
            let inputs = [noise(rows * 33, 1), noise(4 * 33 * 36, 2)];
            assert_equal("product of groups", &operation, &inputs, tolerance.max(3e-3));
        }
    }
}

#[test]
fn the_order_by_size() {
    let scores: Vec<f32> = noise(4 * 300, 3).into_iter().map(|x| (x * 20.0).round() as f32).collect();
    let order = |device: &Device| {
        let scores = Tensor::<2>::from_data(TensorData::new(scores.clone(), [4, 300]), device);
        descending_order(scores).into_data().iter::<i64>().collect::<Vec<_>>()
    };
    assert_eq!(order(&gpu()), order(&Device::flex()));
}

#[test]
fn products() {
    for (dtype, tolerance) in TYPES.into_iter().filter(|(dtype, _)| has(*dtype)) {
        let precision = precision_of(dtype);
        let sizes = [[3, 5, 7], [130, 96, 33], [40, 1300, 36], [1030, 1100, 1000]];
        // The last is for NVIDIA's library; in software it takes minutes.
        let count = if cfg!(feature = "cuda") { sizes.len() } else { sizes.len() - 1 };
        for [rows, d_in, d_out] in sizes.into_iter().take(count) {
            let operation = |x: Vec<Tensor<1>>| {
                let (x, weight) = (x[0].clone().reshape([rows, d_in]), x[1].clone().reshape([d_in, d_out]));
                with_precision(precision, || linear::product(as_rows(x, dtype), weight))
                    .cast(DType::F32)
                    .reshape([rows * d_out])
            };
            let inputs = [noise(rows * d_in, 1), noise(d_in * d_out, 2)];
            // Tensor cores round 32-bit factors to 10 bits of mantissa.
            assert_equal("product", &operation, &inputs, tolerance.max(3e-3));
            let operation = |x: Vec<Tensor<1>>| {
                let (x, table) = (x[0].clone().reshape([rows, d_in]), x[1].clone().reshape([d_out, d_in]));
                with_precision(precision, || linear::product_with_rows(as_rows(x, dtype), table))
                    .cast(DType::F32)
                    .reshape([rows * d_out])
            };
            assert_equal("product with rows", &operation, &inputs, tolerance.max(3e-3));
        }
    }
}

#[test]
fn norms() {
    for (dtype, tolerance) in TYPES.into_iter().filter(|(dtype, _)| has(*dtype)) {
        for [rows, width] in [[1, 3], [70, 64], [700, 130], [9, 1536]] {
            let operation = |x: Vec<Tensor<1>>| {
                let x_rows = as_rows(x[0].clone().reshape([rows, width]), dtype);
                rms_norm::rms_norm(x_rows, x[1].clone(), 1e-5).cast(DType::F32).reshape([rows * width])
            };
            let inputs = [noise(rows * width, 3), noise(width, 4)];
            assert_equal("norm", &operation, &inputs, tolerance);
        }
    }
}

#[test]
fn norms_whose_rows_come_out_shorter() {
    for dtype in [DType::F16, DType::BF16].into_iter().filter(|dtype| has(*dtype)) {
        let (rows, width) = (33, 96);
        let operation = |x: Vec<Tensor<1>>| {
            let x_rows = x[0].clone().reshape([rows, width]);
            let out = with_precision(precision_of(dtype), || rms_norm::rms_norm(x_rows, x[1].clone(), 1e-5));
            assert!(out.dtype() == dtype || out.device().without_autodiff() == Device::flex());
            out.cast(DType::F32).reshape([rows * width])
        };
        assert_equal("norm", &operation, &[noise(rows * width, 3), noise(width, 4)], 2e-2);
    }
}

/// The sum of a stream and a branch of fewer bits, and its norm; where one of the two results is used, and where both are.
#[test]
fn norms_of_sums() {
    for (dtype, tolerance) in TYPES.into_iter().filter(|(dtype, _)| has(*dtype)) {
        for ([rows, width], used) in [([70, 64], [1.0, 1.0]), ([700, 130], [1.0, 0.0]), ([9, 1536], [0.0, 1.0])] {
            let operation = |x: Vec<Tensor<1>>| {
                let [x_rows, branch] = [0, 1].map(|index| x[index].clone().reshape([rows, width]));
                let (sum, normed) = with_precision(precision_of(dtype), || {
                    rms_norm::sum_norm(x_rows, as_rows(branch, dtype), x[2].clone(), 1e-5)
                });
                let parts = [sum, normed.cast(DType::F32)].into_iter().zip(used).filter(|(_, used)| *used > 0.0);
                let parts: Vec<Tensor<2>> = parts.map(|(part, _)| part).collect();
                let count = parts.len();
                Tensor::cat(parts, 0).reshape([count * rows * width])
            };
            let inputs = [noise(rows * width, 3), noise(rows * width, 5), noise(width, 4)];
            assert_equal("norm of a sum", &operation, &inputs, tolerance);
        }
    }
}

/// Several maps of the same rows, one of whose results nobody uses.
#[test]
fn maps_of_the_same_rows() {
    for (dtype, tolerance) in TYPES.into_iter().filter(|(dtype, _)| has(*dtype)) {
        let sizes = [[70, 32], [300, 96], [2048, 768]];
        // The last is for NVIDIA's library; in software it takes minutes.
        let count = if cfg!(feature = "cuda") { sizes.len() } else { sizes.len() - 1 };
        for [rows, width] in sizes.into_iter().take(count) {
            for unused in [None, Some(1)] {
                let operation = |x: Vec<Tensor<1>>| {
                    let rows_in = as_rows(x[0].clone().reshape([rows, width]), dtype);
                    let weights = [1, 2, 3].map(|index| x[index].clone().reshape([width, width]));
                    let products = with_precision(precision_of(dtype), || linear::products(rows_in, weights));
                    let used = products.into_iter().enumerate().filter(|(index, _)| Some(*index) != unused);
                    let sum = used.map(|(_, y)| y.cast(DType::F32)).reduce(|sum, y| sum + y.sin()).unwrap();
                    sum.reshape([rows * width])
                };
                let weight = |seed| noise(width * width, seed).into_iter().map(|x| x * 0.1).collect();
                let inputs = [noise(rows * width, 1), weight(2), weight(3), weight(4)];
                assert_equal("maps of the same rows", &operation, &inputs, tolerance.max(3e-3));
            }
        }
    }
}

#[test]
fn rows_side_by_side() {
    for (dtype, tolerance) in TYPES.into_iter().filter(|(dtype, _)| has(*dtype)) {
        for lengths in [vec![5, 33], vec![64, 1, 7]] {
            let (batch, heads, head_dim) = (3, 2, 18);
            let operation = |x: Vec<Tensor<1>>| {
                let parts = x.iter().zip(&lengths);
                let parts = parts.map(|(x, rows)| as_rows(x.clone().reshape([batch, *rows, heads, head_dim]), dtype));
                let joined = join_rows(parts.collect()).cast(DType::F32);
                let count = joined.dims().iter().product::<usize>();
                joined.reshape([count])
            };
            let part = |(seed, rows): (usize, &usize)| noise(batch * rows * heads * head_dim, seed as u64);
            let inputs: Vec<Vec<f64>> = lengths.iter().enumerate().map(part).collect();
            assert_equal("rows side by side", &operation, &inputs, tolerance);
        }
    }
}

#[test]
fn swiglu_activations() {
    for (dtype, tolerance) in TYPES.into_iter().filter(|(dtype, _)| has(*dtype)) {
        for count in [1, 37, 4096, 70_001] {
            let operation = |x: Vec<Tensor<1>>| {
                swiglu::swiglu(as_rows(x[0].clone(), dtype), as_rows(x[1].clone(), dtype)).cast(DType::F32)
            };
            let gate: Vec<f64> = noise(count, 5).into_iter().map(|x| x * 9.0).collect();
            assert_equal("swiglu", &operation, &[gate, noise(count, 6)], tolerance);
        }
    }
}

#[test]
fn rotations() {
    for (dtype, tolerance) in TYPES.into_iter().filter(|(dtype, _)| has(*dtype)) {
        for [batch, rows, heads, half] in [[1, 1, 1, 1], [2, 70, 3, 32], [3, 41, 2, 12], [1, 300, 4, 64]] {
            let table = |device: &Device| {
                let positions = noise(batch * rows * 3, 7).into_iter().map(|p| (p * 3000.0).round() as f32).collect();
                let positions = TensorData::new::<f32, _>(positions, [batch, rows, 3]);
                RopeTable::new(Tensor::from_data(positions, device), &RopeFrequencies::axial(2 * half, 1e4))
            };
            let count = batch * rows * heads * 2 * half;
            let heads_of = |x: &Tensor<1>| as_rows(x.clone().reshape([batch, rows, heads, 2 * half]), dtype);
            let plain = |x: Vec<Tensor<1>>| {
                rope::rotate(heads_of(&x[0]), &table(&x[0].device())).cast(DType::F32).reshape([count])
            };
            assert_equal("rotate", &plain, &[noise(count, 8)], tolerance.max(1e-3));
            let normed = |x: Vec<Tensor<1>>| {
                let out = rope::norm_rotate(heads_of(&x[0]), x[1].clone(), 1e-5, &table(&x[0].device()));
                out.cast(DType::F32).reshape([count])
            };
            let inputs = [noise(count, 8), noise(2 * half, 9)];
            assert_equal("norm and rotate", &normed, &inputs, tolerance.max(1e-3));
        }
    }
}

#[test]
fn embeddings() {
    for [rows, width, tokens] in [[5, 3, 1], [300, 40, 700]] {
        let operation = |x: Vec<Tensor<1>>| {
            let device = x[0].device();
            let ids: Vec<i64> = (0..tokens).map(|token| (token * 7919 % rows) as i64).collect();
            let table = x[0].clone().reshape([rows, width]);
            interfuse_kernels::embedding::embed(table, ints(&ids, [tokens], &device)).reshape([tokens * width])
        };
        assert_equal("embedding", &operation, &[noise(rows * width, 21)], 1e-5);
    }
}

#[test]
fn cross_entropies() {
    for (dtype, tolerance) in TYPES.into_iter().filter(|(dtype, _)| has(*dtype)) {
        for [rows, vocab] in [[1, 1], [9, 37], [60, 1000], [5, 32_000]] {
            let operation = |x: Vec<Tensor<1>>| {
                let device = x[0].device();
                let targets: Vec<i64> = (0..rows).map(|row| (row * 7919 % vocab) as i64).collect();
                let weights: Vec<f32> = (0..rows).map(|row| [0.5, 1.0, 0.0][row % 3]).collect();
                let logits = as_rows(x[0].clone().reshape([rows, vocab]), dtype);
                let weights = Tensor::from_data(TensorData::new(weights, [rows]), &device);
                let loss = cross_entropy::cross_entropy(logits, ints(&targets, [rows], &device), weights);
                loss.next_token + loss.z.mul_scalar(0.1)
            };
            let logits: Vec<f64> = noise(rows * vocab, 10).into_iter().map(|x| x * 12.0).collect();
            assert_equal("cross-entropy", &operation, &[logits], tolerance);
        }
    }
}

/// Two documents a sequence, an image in the first; rows modality by modality; a row of padding at the end.
fn documents(rows: usize) -> (Vec<i64>, Vec<i64>, Vec<i64>) {
    let (first, image) = (rows / 2, rows / 8..rows / 4);
    let mut places: Vec<usize> = (0..rows - 1).filter(|place| !image.contains(place)).collect();
    places.extend(image.clone());
    let start = |place: usize| if place < first { 0 } else { first };
    let until = |place: usize| if image.contains(&place) { image.end } else { place + 1 };
    let mut order: Vec<i64> = places.iter().map(|&place| place as i64).collect();
    let mut from: Vec<i64> = places.iter().map(|&place| start(place) as i64).collect();
    let mut until: Vec<i64> = places.iter().map(|&place| until(place) as i64).collect();
    order.push(i32::MAX.into());
    from.push(0);
    until.push(0);
    (order, from, until)
}

#[test]
fn attention_over_ranges() {
    attention_of_documents(false);
}

#[test]
fn attention_to_keys_that_are_hidden() {
    attention_of_documents(true);
}

/// Of each key of [`documents`] from where on it is hidden: the first half of the image from what follows the image, every third
/// stretch of forty places from what follows the next stretch, and the others, padding among them, from nobody.
fn hidden_from(order: &[i64], rows: usize) -> Vec<i64> {
    let (image, most) = ((rows / 8) as i64..(rows / 4) as i64, i64::from(i32::MAX));
    let of = |&place: &i64| match place {
        place if place == most => most,
        place if image.contains(&place) && place < (image.start + image.end) / 2 => image.end,
        place if place / 40 % 3 == 1 && !image.contains(&place) => (place / 40 + 2) * 40,
        _ => most,
    };
    order.iter().map(of).collect()
}

fn attention_of_documents(are_hidden: bool) {
    println!("tensor cores: {:?}", interfuse_kernels::precision::tensor_cores(&gpu()));
    for (dtype, tolerance) in TYPES.into_iter().filter(|(dtype, _)| has(*dtype)) {
        for [batch, rows, heads, kv_heads, head_dim] in [[1, 40, 2, 2, 32], [2, 150, 4, 2, 64], [1, 260, 2, 1, 128]] {
            let (order, from, until) = documents(rows);
            let operation = |x: Vec<Tensor<1>>| {
                let device = x[0].device();
                let all = |part: &[i64]| ints(part, [1, rows], &device).repeat_dim(0, batch);
                let visible = VisibleRanges::new(all(&order), all(&from), all(&until));
                let visible = match are_hidden {
                    true => visible.with_hidden_keys(all(&order), all(&hidden_from(&order, rows))),
                    false => visible,
                };
                let heads_of = |x: &Tensor<1>, heads| as_rows(x.clone().reshape([batch, rows, heads, head_dim]), dtype);
                let (q, k, v) = (heads_of(&x[0], heads), heads_of(&x[1], kv_heads), heads_of(&x[2], kv_heads));
                let out = if device.without_autodiff() == Device::flex() {
                    attention::reference(q, k, v, &visible)
                } else {
                    attention::ranged_attention(q, k, v, &visible)
                };
                out.cast(DType::F32).reshape([batch * rows * heads * head_dim])
            };
            let (wide, narrow) = (batch * rows * heads * head_dim, batch * rows * kv_heads * head_dim);
            let sharp: Vec<f64> = noise(wide, 11).into_iter().map(|x| x * 3.0).collect();
            assert_equal("attention", &operation, &[sharp, noise(narrow, 12), noise(narrow, 13)], tolerance);
        }
    }
}

/// Later keys outdo earlier ones by so much that what was gathered before has to be scaled down.
#[test]
fn attention_whose_scores_grow() {
    let (rows, head_dim) = (200, 32);
    for (dtype, _) in TYPES.into_iter().filter(|(dtype, _)| has(*dtype)) {
        let operation = |x: Vec<Tensor<1>>| {
            let device = x[0].device();
            let order: Vec<i64> = (0..rows as i64).collect();
            let until: Vec<i64> = (1..=rows as i64).collect();
            let all = |part: &[i64]| ints(part, [1, rows], &device);
            let visible = VisibleRanges::new(all(&order), all(&vec![0; rows]), all(&until));
            let heads_of = |x: &Tensor<1>| as_rows(x.clone().reshape([1, rows, 1, head_dim]), dtype);
            let (q, k, v) = (heads_of(&x[0]), heads_of(&x[1]), heads_of(&x[2]));
            let out = if device.without_autodiff() == Device::flex() {
                attention::reference(q, k, v, &visible)
            } else {
                attention::ranged_attention(q, k, v, &visible)
            };
            out.cast(DType::F32).reshape([rows * head_dim])
        };
        let count = rows * head_dim;
        let q: Vec<f64> = noise(count, 1).into_iter().map(|x| 0.5 + 0.1 * x).collect();
        let growth = |place: usize| 12.0 * (place / head_dim) as f64 / rows as f64;
        let k: Vec<f64> = noise(count, 2).into_iter().enumerate().map(|(place, x)| growth(place) + 0.1 * x).collect();
        assert_equal("attention", &operation, &[q, k, noise(count, 3)], 5e-2);
    }
}

/// A prefix in a cache: fewer queries than keys.
#[test]
fn attention_to_more_keys_than_queries() {
    for (dtype, tolerance) in TYPES.into_iter().filter(|(dtype, _)| has(*dtype)) {
        let (queries, keys, heads, head_dim) = (20, 150, 2, 64);
        let operation = |x: Vec<Tensor<1>>| {
            let device = x[0].device();
            let order: Vec<i64> = (0..keys as i64).collect();
            let from = vec![0i64; queries];
            let until = vec![keys as i64; queries];
            let visible = VisibleRanges::new(
                ints(&order, [1, keys], &device),
                ints(&from, [1, queries], &device),
                ints(&until, [1, queries], &device),
            );
            let heads_of = |x: &Tensor<1>, rows| as_rows(x.clone().reshape([1, rows, heads, head_dim]), dtype);
            let (q, k, v) = (heads_of(&x[0], queries), heads_of(&x[1], keys), heads_of(&x[2], keys));
            let out = if device.without_autodiff() == Device::flex() {
                attention::reference(q, k, v, &visible)
            } else {
                attention::ranged_attention(q, k, v, &visible)
            };
            out.cast(DType::F32).reshape([queries * heads * head_dim])
        };
        let (q, k) = (queries * heads * head_dim, keys * heads * head_dim);
        assert_equal("attention", &operation, &[noise(q, 1), noise(k, 2), noise(k, 3)], tolerance);
    }
}

#[test]
fn updates() {
    let step = AdamWStep {
        learning_rate: 1e-2,
        betas: [0.9, 0.95],
        epsilon: 1e-8,
        weight_decay: 0.1,
        gradient_scale: 0.5,
        number: 3,
    };
    // More weights than go into one launch, of lengths that take vectors and of lengths that do not, with and without decay.
    let counts: Vec<usize> = (0..70).map(|index| [1, 7, 5000, 300_001, 4096, 12][index % 6] + index / 6 * 4).collect();
    let all = |device: &Device| -> Vec<Vec<f64>> {
        let waves = |seed: u64| -> Vec<Tensor<1>> {
            let wave = |(index, count): (usize, &usize)| {
                let values = noise(*count, seed + 10 * index as u64).into_iter().map(|x| x as f32).collect::<Vec<_>>();
                Tensor::<1>::from_data(TensorData::new(values, [*count]), device)
            };
            counts.iter().enumerate().map(wave).collect()
        };
        let states = waves(1).into_iter().zip(waves(2)).zip(waves(3));
        let states = states.map(|((weight, first), second)| AdamWState { weight, first, second: second.abs() });
        let decay = |index: usize| AdamWStep { weight_decay: if index.is_multiple_of(3) { 0.1 } else { 0.0 }, ..step };
        let updates = states.zip(waves(4)).enumerate();
        let updates = updates.map(|(index, (state, gradient))| AdamWUpdate { state, gradient, step: decay(index) });
        let updates: Vec<AdamWUpdate> = updates.collect();
        let kept: Vec<Tensor<1>> = updates.iter().map(|update| update.state.weight.clone()).collect();
        let after = adamw(updates);
        let mut results: Vec<Tensor<1>> = kept;
        results.extend(after.into_iter().flat_map(|state| [state.weight, state.first, state.second]));
        results.extend(moving_averages(waves(5), waves(6), 0.75));
        results.extend(accumulate(waves(5), waves(6)));
        results.push(squared_norms(&waves(7)));
        results.into_iter().map(|x| x.into_data().iter::<f64>().collect()).collect()
    };
    let (found, expected) = (all(&gpu()), all(&Device::flex()));
    assert_eq!(found.len(), expected.len());
    for (index, (found, expected)) in found.iter().zip(expected).enumerate() {
        let gap = gap(found, &expected);
        assert!(gap < 1e-5, "result {index}: {gap:e}");
    }
}
