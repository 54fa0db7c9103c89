//! Fused against plain, in `f32`.

use burn::tensor::{DType, Tensor, TensorData};
use interfuse_kernels::rope::{RopeFrequencies, RopeTable};
use interfuse_kernels::{
    ConvSteps, GroupNormSteps, RowGroups, VisibleRanges, attention, conv2d, cross_entropy, group_norm, grouped_linear,
    linear, ranking, rms_norm, rope, swiglu,
};
use proptest::prelude::*;
use proptest::test_runner::RngSeed;

use crate::probe::{Operation, gap, gap_of_sums, ints, noise, run};

/// Compares values and gradients on pools of 1, 2 and 5 threads.
fn assert_equal(
    fused: &(dyn Fn(Vec<Tensor<1>>) -> Tensor<1> + Sync),
    plain: &Operation<'_>,
    inputs: &[Vec<f64>],
    tolerance: f64,
) {
    assert_equal_by(gap, fused, plain, inputs, tolerance);
}

/// As [`assert_equal`], by another measure of how far apart two arrays are.
fn assert_equal_by(
    gap: impl Fn(&[f64], &[f64]) -> f64,
    fused: &(dyn Fn(Vec<Tensor<1>>) -> Tensor<1> + Sync),
    plain: &Operation<'_>,
    inputs: &[Vec<f64>],
    tolerance: f64,
) {
    let expected = run(plain, inputs, DType::F32);
    for threads in [1, 2, 5] {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().expect("threads");
        let found = pool.install(|| run(fused, inputs, DType::F32));
        let values = gap(&found.out, &expected.out);
        assert!(values < tolerance, "values differ by {values:e} on {threads} threads");
        for (index, (found, expected)) in found.gradients.iter().zip(&expected.gradients).enumerate() {
            let gradient = gap(found, expected);
            assert!(gradient < tolerance, "gradient {index} differs by {gradient:e} on {threads} threads");
        }
    }
}

fn scaled(count: usize, seed: u64, scale: f64) -> Vec<f64> {
    noise(count, seed).into_iter().map(|x| x * scale).collect()
}

/// The same cases every time.
fn config() -> ProptestConfig {
    ProptestConfig { cases: 32, rng_seed: RngSeed::Fixed(1), failure_persistence: None, ..ProptestConfig::default() }
}

proptest! {
    #![proptest_config(config())]

    #[test]
    fn linear_is_a_product(rows in 1usize..70, d_in in 1usize..50, d_out in 1usize..50, seed in 0u64..1000) {
        let operation = |multiply: fn(Tensor<2>, Tensor<2>) -> Tensor<2>| move |x: Vec<Tensor<1>>| {
            let y = multiply(x[0].clone().reshape([rows, d_in]), x[1].clone().reshape([d_in, d_out]));
            y.reshape([rows * d_out])
        };
        let inputs = [noise(rows * d_in, seed), noise(d_in * d_out, seed + 1)];
        assert_equal(&operation(linear::product), &operation(|x, w| x.matmul(w)), &inputs, 1e-5);
    }

    #[test]
    fn a_table_as_weight_is_a_product(rows in 1usize..70, d_in in 1usize..50, d_out in 1usize..50, seed in 0u64..1000) {
        let operation = |multiply: fn(Tensor<2>, Tensor<2>) -> Tensor<2>| move |x: Vec<Tensor<1>>| {
            let y = multiply(x[0].clone().reshape([rows, d_in]), x[1].clone().reshape([d_out, d_in]));
            y.reshape([rows * d_out])
        };
        let inputs = [noise(rows * d_in, seed), noise(d_in * d_out, seed + 1)];
        let plain = operation(|x, table| x.matmul(table.transpose()));
        assert_equal(&operation(linear::product_with_rows), &plain, &inputs, 1e-5);
    }

    /// Groups of any size, also without rows, and rows that belong to none; and groups of one size.
    #[test]
    fn maps_of_groups_are_their_reference(
        sizes in prop::collection::vec(0usize..40, 1..6), of_none in 0usize..9, d_in in 1usize..40, d_out in 1usize..40,
        seed in 0u64..1000,
    ) {
        let (groups, rows) = (sizes.len(), sizes.iter().sum::<usize>() + of_none);
        prop_assume!(rows > 0);
        let ends: Vec<i64> = sizes.iter().scan(0, |end, &size| { *end += size as i64; Some(*end) }).collect();
        let run = |multiply: Grouped, equal: bool, x: Vec<Tensor<1>>| {
            let ends = RowGroups::Ends(ints(&ends, [groups], &x[0].device()));
            let (rows, split) = if equal { (groups * 7, RowGroups::Equal) } else { (rows, ends) };
            let weight = x[1].clone().reshape([groups, d_in, d_out]);
            multiply(x[0].clone().reshape([rows, d_in]), weight, &split).reshape([rows * d_out])
        };
        for equal in [false, true] {
            let rows = if equal { groups * 7 } else { rows };
            let inputs = [noise(rows * d_in, seed), noise(groups * d_in * d_out, seed + 1)];
            let plain = |x| run(grouped_linear::reference, equal, x);
            assert_equal(&|x| run(grouped_linear::grouped_product, equal, x), &plain, &inputs, 1e-5);
            assert_equal(&|x| run(grouped_linear::in_blocks, equal, x), &plain, &inputs, 1e-5);
        }
    }

    /// Few different values, so that many are equal.
    #[test]
    fn the_order_by_size_is_its_reference(rows in 1usize..5, count in 1usize..90, seed in 0u64..1000) {
        let scores: Vec<f32> = noise(rows * count, seed).into_iter().map(|x| (x * 8.0).round() as f32).collect();
        let scores = Tensor::<2>::from_data(TensorData::new(scores, [rows, count]), &burn::tensor::Device::flex());
        let values = |x: Tensor<2, burn::tensor::Int>| x.into_data().iter::<i64>().collect::<Vec<_>>();
        prop_assert_eq!(values(ranking::descending_order(scores.clone())), values(ranking::reference(scores)));
    }

    #[test]
    fn rms_norm_is_its_reference(rows in 1usize..300, width in 1usize..130, seed in 0u64..1000, scale in 0.01f64..30.0) {
        let operation = |norm: fn(Tensor<2>, Tensor<1>, f64) -> Tensor<2>| move |x: Vec<Tensor<1>>| {
            norm(x[0].clone().reshape([rows, width]), x[1].clone(), 1e-5).reshape([rows * width])
        };
        let inputs = [scaled(rows * width, seed, scale), noise(width, seed + 1)];
        assert_equal(&operation(rms_norm::rms_norm), &operation(rms_norm::reference), &inputs, 1e-5);
    }

    #[test]
    fn swiglu_is_its_reference(count in 1usize..40_000, seed in 0u64..1000, scale in 0.1f64..60.0) {
        let operation = |activation: fn(Tensor<1>, Tensor<1>) -> Tensor<1>| move |x: Vec<Tensor<1>>| {
            activation(x[0].clone(), x[1].clone())
        };
        let inputs = [scaled(count, seed, scale), noise(count, seed + 1)];
        assert_equal(&operation(swiglu::swiglu), &operation(swiglu::reference), &inputs, 1e-5);
    }

    #[test]
    fn rotation_is_its_reference(
        batch in 1usize..4, rows in 1usize..40, heads in 1usize..5, half in 1usize..20, seed in 0u64..1000,
    ) {
        let operation = |turn: fn(Tensor<4>, &RopeTable) -> Tensor<4>| move |x: Vec<Tensor<1>>| {
            let device = x[0].device();
            let positions: Vec<f32> = noise(batch * rows * 3, seed).into_iter().map(|p| (p * 50.0) as f32).collect();
            let positions = Tensor::from_data(TensorData::new(positions, [batch, rows, 3]), &device);
            let table = RopeTable::new(positions, &RopeFrequencies::axial(2 * half, 100.0));
            turn(x[0].clone().reshape([batch, rows, heads, 2 * half]), &table).reshape([batch * rows * heads * 2 * half])
        };
        let inputs = [noise(batch * rows * heads * 2 * half, seed + 1)];
        assert_equal(&operation(rope::rotate), &operation(rope::reference), &inputs, 1e-5);
    }

    #[test]
    fn rotation_of_normed_heads_is_its_reference(
        batch in 1usize..4, rows in 1usize..200, heads in 1usize..5, half in 1usize..20, seed in 0u64..1000,
    ) {
        let run = |turn: NormTurn, x: Vec<Tensor<1>>| {
            let positions: Vec<f32> = noise(batch * rows * 3, seed).into_iter().map(|p| (p * 50.0) as f32).collect();
            let positions = Tensor::from_data(TensorData::new(positions, [batch, rows, 3]), &x[0].device());
            let table = RopeTable::new(positions, &RopeFrequencies::axial(2 * half, 100.0));
            let x_heads = x[0].clone().reshape([batch, rows, heads, 2 * half]);
            turn(x_heads, x[1].clone(), 1e-5, &table).reshape([batch * rows * heads * 2 * half])
        };
        let inputs = [noise(batch * rows * heads * 2 * half, seed + 1), noise(2 * half, seed + 2)];
        assert_equal(&|x| run(rope::norm_rotate, x), &|x| run(rope::norm_rotate_reference, x), &inputs, 1e-5);
    }

    #[test]
    fn cross_entropy_is_its_reference(rows in 1usize..50, vocab in 1usize..200, seed in 0u64..1000, scale in 0.1f64..40.0) {
        let operation = |score: Score| move |x: Vec<Tensor<1>>| {
            let device = x[0].device();
            let targets: Vec<i64> = (0..rows).map(|row| ((row * 7 + seed as usize) % vocab) as i64).collect();
            let weights: Vec<f32> = (0..rows).map(|row| [0.0, 1.0, 0.5][(row + seed as usize) % 3]).collect();
            let weights = Tensor::from_data(TensorData::new(weights, [rows]), &device);
            let loss = score(x[0].clone().reshape([rows, vocab]), ints(&targets, [rows], &device), weights);
            Tensor::cat(vec![loss.next_token, loss.z.mul_scalar(0.1)], 0)
        };
        let inputs = [scaled(rows * vocab, seed, scale)];
        assert_equal(&operation(cross_entropy::cross_entropy), &operation(cross_entropy::reference), &inputs, 1e-5);
    }

    #[test]
    fn convolution_is_its_reference(
        batch in 1usize..4, channels in (1usize..5, 1usize..5), kernel in (1usize..5, 1usize..5),
        size in (4usize..30, 4usize..30), stride in 1usize..4, padding in prop::array::uniform4(0usize..3), seed in 0u64..1000,
    ) {
        let [above, below, left, right] = padding;
        let steps = ConvSteps { stride, padding: [[above, below], [left, right]] };
        let ((inputs, outputs), kernel, size) = (channels, [kernel.0, kernel.1], [size.0, size.1]);
        let run = |convolve: Convolve, x: Vec<Tensor<1>>| {
            let images = x[0].clone().reshape([batch, inputs, size[0], size[1]]);
            let weight = x[1].clone().reshape([outputs, inputs, kernel[0], kernel[1]]);
            let y = convolve(images, weight, Some(x[2].clone()), steps);
            let count = y.dims().iter().product::<usize>();
            y.reshape([count])
        };
        let inputs = [
            noise(batch * inputs * size[0] * size[1], seed),
            noise(outputs * inputs * kernel[0] * kernel[1], seed + 1),
            noise(outputs, seed + 2),
        ];
        assert_equal(&|x| run(conv2d::conv2d, x), &|x| run(conv2d::reference, x), &inputs, 1e-5);
    }

    #[test]
    fn group_norm_is_its_reference(
        batch in 1usize..4, groups in 1usize..4, of_group in 1usize..4, size in (1usize..20, 1usize..20),
        silu in any::<bool>(), seed in 0u64..1000, scale in 0.1f64..10.0,
    ) {
        let channels = groups * of_group;
        let steps = GroupNormSteps { groups, epsilon: 1e-3, silu };
        let count = batch * channels * size.0 * size.1;
        let run = |norm: GroupNorm, x: Vec<Tensor<1>>| {
            let images = x[0].clone().reshape([batch, channels, size.0, size.1]);
            norm(images, x[1].clone(), x[2].clone(), steps).reshape([count])
        };
        let inputs = [scaled(count, seed, scale), noise(channels, seed + 1), noise(channels, seed + 2)];
        // With one channel, the bias's gradient is one sum of numbers up to 1 that may all but cancel out.
        let gap = |a: &[f64], b: &[f64]| gap_of_sums(a, b, 0.1);
        let (fused, plain) = (|x| run(group_norm::group_norm, x), |x| run(group_norm::reference, x));
        assert_equal_by(gap, &fused, &plain, &inputs, 1e-5);
    }

    #[test]
    fn attention_is_its_reference(layout in layouts(), group in 1usize..3, kv_heads in 1usize..3, half in 1usize..20, seed in 0u64..1000) {
        assert_attention(&layout, (group * kv_heads, kv_heads), 2 * half, seed);
    }
}

type NormTurn = fn(Tensor<4>, Tensor<1>, f64, &RopeTable) -> Tensor<4>;

type Grouped = fn(Tensor<2>, Tensor<3>, &RowGroups) -> Tensor<2>;

type GroupNorm = fn(Tensor<4>, Tensor<1>, Tensor<1>, GroupNormSteps) -> Tensor<4>;

type Convolve = fn(Tensor<4>, Tensor<4>, Option<Tensor<1>>, ConvSteps) -> Tensor<4>;

type Score = fn(Tensor<2>, Tensor<1, burn::tensor::Int>, Tensor<1>) -> interfuse_kernels::CrossEntropy;

/// Who sees whom: rows of any number of lanes, each in reading order, with padding.
#[derive(Clone, Debug)]
struct Layout {
    batch: usize,
    key_order: Vec<i64>,
    from: Vec<i64>,
    until: Vec<i64>,
    /// The order of the queries, and from where on each key is hidden; `None` where none is.
    hidden: Option<[Vec<i64>; 2]>,
}

impl Layout {
    fn keys(&self) -> usize {
        self.key_order.len() / self.batch
    }

    fn queries(&self) -> usize {
        self.from.len() / self.batch
    }
}

fn layouts() -> impl Strategy<Value = Layout> {
    let sizes = (1usize..3, 1usize..150, 1usize..4, 0usize..300, 0u64..1000, any::<bool>());
    sizes.prop_map(|(batch, rows, lanes, prefix, seed, are_hidden)| {
        let (mut key_order, mut from, mut until) = (vec![], vec![], vec![]);
        let (mut query_order, mut hidden_from) = (vec![], vec![]);
        for element in 0..batch {
            let random = noise(5 * rows + prefix, seed + element as u64);
            // A cached prefix comes first in memory and in reading order; padding keys have the order -1.
            let mut keys: Vec<i64> = (0..prefix as i64).collect();
            let lane_of = |row: usize| ((random[row] + 1.0) * 0.5 * lanes as f64) as usize % lanes;
            for lane in 0..lanes {
                let of_lane = (0..rows).filter(|&row| lane_of(row) == lane);
                keys.extend(of_lane.map(|row| if random[rows + row] > 0.9 { -1 } else { (prefix + row) as i64 }));
            }
            // Every third stretch of seven keys is hidden from what follows it, or from what comes somewhat later.
            let hidden = |(key, order): (usize, &i64)| match key / 7 % 3 {
                1 => order - order % 7 + 7 * (1 + (key / 21 % 3) as i64),
                _ => i32::MAX.into(),
            };
            hidden_from.extend(keys.iter().enumerate().map(hidden));
            key_order.extend(&keys);
            for row in 0..rows {
                query_order.push((prefix + row) as i64);
                let start = (random[2 * rows + row] * 0.3 * rows as f64).max(0.0) as i64;
                let end = match random[3 * rows + row] {
                    x if x > 0.9 => start,
                    x if x > 0.0 => (prefix + row + 1) as i64,
                    _ => (prefix + row + 1 + (random[4 * rows + row].abs() * 40.0) as usize) as i64,
                };
                from.push(start);
                until.push(end.max(start));
            }
        }
        let hidden = are_hidden.then_some([query_order, hidden_from]);
        Layout { batch, key_order, from, until, hidden }
    })
}

fn assert_attention(layout: &Layout, (heads, kv_heads): (usize, usize), head_dim: usize, seed: u64) {
    let (batch, queries, keys) = (layout.batch, layout.queries(), layout.keys());
    let run = |attend: &Attend<'_>, x: Vec<Tensor<1>>| {
        let device = x[0].device();
        let visible = VisibleRanges::new(
            ints(&layout.key_order, [batch, keys], &device),
            ints(&layout.from, [batch, queries], &device),
            ints(&layout.until, [batch, queries], &device),
        );
        let visible = match &layout.hidden {
            Some([query_order, hidden_from]) => visible.with_hidden_keys(
                ints(query_order, [batch, queries], &device),
                ints(hidden_from, [batch, keys], &device),
            ),
            None => visible,
        };
        let q = x[0].clone().reshape([batch, queries, heads, head_dim]);
        let k = x[1].clone().reshape([batch, keys, kv_heads, head_dim]);
        let v = x[2].clone().reshape([batch, keys, kv_heads, head_dim]);
        attend(q, k, v, &visible).reshape([batch * queries * heads * head_dim])
    };
    let kv_count = batch * keys * kv_heads * head_dim;
    let inputs = [
        scaled(batch * queries * heads * head_dim, seed, 3.0),
        scaled(kv_count, seed + 1, 3.0),
        noise(kv_count, seed + 2),
    ];
    let plain = |x| run(&attention::reference, x);
    assert_equal(&|x| run(&attention::ranged_attention, x), &plain, &inputs, 1e-4);
    // A few rows at a time, as on a GPU.
    let most_scores = 3 * batch * heads * keys;
    let few = |x| run(&|q, k, v, visible| attention::in_chunks(q, k, v, visible, most_scores), x);
    assert_equal(&few, &plain, &inputs, 1e-4);
}

type Attend<'a> = dyn Fn(Tensor<4>, Tensor<4>, Tensor<4>, &VisibleRanges) -> Tensor<4> + 'a;

#[test]
fn attention_over_many_tiles_is_its_reference() {
    // More rows than a tile, causal with an image in the middle whose rows see one another.
    let rows = 700i64;
    let until = (0..rows).map(|row| if (100..500).contains(&row) { 500 } else { row + 1 });
    let (key_order, from, until) = ((0..rows).collect::<Vec<_>>(), vec![0; 700], until.collect());
    // The image, and half of what comes before it, is hidden from the rows behind it.
    let hidden_from = (0..rows).map(|row| if (50..500).contains(&row) { 500 } else { i32::MAX.into() });
    let hidden = Some([key_order.clone(), hidden_from.collect()]);
    let layout = Layout { batch: 1, key_order, from, until, hidden };
    assert_attention(&layout, (2, 1), 32, 5);
    assert_attention(&Layout { hidden: None, ..layout }, (2, 1), 32, 5);
}

/// A key that is hidden from a query has no part in what the query gathers, whatever it holds; and it is seen again as soon as
/// it is hidden from nobody.
#[test]
fn a_hidden_key_changes_nothing_behind_it() {
    let rows = 300i64;
    let (key_order, from): (Vec<i64>, _) = ((0..rows).collect(), vec![0i64; 300]);
    let until: Vec<i64> = (1..=rows).collect();
    let gathered = |loud: f64, hidden_place: i64| {
        let device = burn::tensor::Device::flex();
        let row = |values: &[i64]| ints(values, [1, 300], &device);
        let hidden_from: Vec<i64> =
            (0..rows).map(|row| if row == 20 { hidden_place } else { i32::MAX.into() }).collect();
        let visible = VisibleRanges::new(row(&key_order), row(&from), row(&until))
            .with_hidden_keys(row(&key_order), row(&hidden_from));
        let mut values: Vec<f32> = noise(300 * 8, 3).into_iter().map(|x| x as f32).collect();
        values[20 * 8..21 * 8].fill(loud as f32);
        let x = Tensor::<4>::from_data(TensorData::new(values, [1, 300, 1, 8]), &device);
        let out = attention::ranged_attention(x.clone(), x.clone(), x, &visible);
        out.into_data().iter::<f64>().collect::<Vec<_>>()
    };
    let (quiet, loud) = (gathered(0.0, 25), gathered(9.0, 25));
    assert!(quiet[21 * 8..25 * 8].iter().zip(&loud[21 * 8..25 * 8]).any(|(a, b)| (a - b).abs() > 1e-3));
    assert_eq!(quiet[25 * 8..], loud[25 * 8..]);
    assert_ne!(gathered(0.0, i32::MAX.into())[25 * 8..], gathered(9.0, i32::MAX.into())[25 * 8..]);
}

#[test]
fn attention_to_no_keys_gives_zeros() {
    let layout = Layout { batch: 1, key_order: vec![-1, -1], from: vec![0; 3], until: vec![5; 3], hidden: None };
    assert_attention(&layout, (1, 1), 4, 1);
}

#[test]
fn nothing_is_made_of_no_rows() {
    let device = burn::tensor::Device::flex();
    let none = |shape: [usize; 2]| Tensor::<2>::zeros(shape, &device);
    assert_eq!(linear::product(none([0, 3]), Tensor::ones([3, 5], &device)).dims(), [0, 5]);
    assert_eq!(rms_norm::rms_norm(none([0, 3]), Tensor::ones([3], &device), 1e-5).dims(), [0, 3]);
    assert_eq!(swiglu::swiglu(none([0, 3]), none([0, 3])).dims(), [0, 3]);
    let rows = |count: usize| Tensor::<4>::ones([1, count, 2, 4], &device);
    let orders = |count: usize| ints(&vec![0; count], [1, count], &device);
    let visible = VisibleRanges::new(orders(3), orders(0), orders(0));
    assert_eq!(attention::ranged_attention(rows(0), rows(3), rows(3), &visible).dims(), [1, 0, 2, 4]);
}
