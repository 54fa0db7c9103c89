//! One feed-forward against `expected.json`, which `generate.py` makes with NumPy: values, gradients and statistics.

use burn::module::Param;
use burn::tensor::{Device, Tensor, TensorData};
use interfuse_kernels::{WeightInit, with_reference};
use interfuse_mot::feed_forward::moe::Moe;
use interfuse_mot::{FeedForwardOutput, MoeConfig};
use interfuse_tests::{small_config, values};
use interfuse_transfusion::router_loss;
use serde::Deserialize;
use std::collections::BTreeMap;

#[derive(Deserialize)]
struct Expected {
    sizes: Sizes,
    cases: Vec<Case>,
}

#[derive(Deserialize)]
struct Sizes {
    batch: usize,
    rows: usize,
    d_model: usize,
    d_ff: usize,
    experts: usize,
    filled: Vec<f32>,
}

#[derive(Deserialize)]
struct Case {
    name: String,
    config: MoeConfig,
    loss: f32,
    y: Vec<f32>,
    gradients: BTreeMap<String, Vec<f32>>,
    statistics: BTreeMap<String, Vec<f32>>,
}

/// `factor · sin(seed + 1.7 i + 0.9 sin(5.3 i))` for the i-th element.
fn wave<const R: usize>(factor: f64, seed: f64, shape: [usize; R], device: &Device) -> Tensor<R> {
    let element = |i: usize| (factor * (seed + 1.7 * i as f64 + 0.9 * (5.3 * i as f64).sin()).sin()) as f32;
    let values: Vec<f32> = (0..shape.iter().product()).map(element).collect();
    Tensor::from_data(TensorData::new(values, shape), device)
}

fn assert_close(found: &[f32], expected: &[f32], what: &str) {
    assert_eq!(found.len(), expected.len(), "{what}");
    let scale = expected.iter().fold(1.0f32, |scale, x| scale.max(x.abs()));
    let gap = found.iter().zip(expected).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max);
    assert!(gap < 1e-5 * scale, "{what}: {gap:e} of {scale}");
}

fn assert_case(sizes: &Sizes, case: &Case) {
    let device = Device::flex().autodiff();
    let Sizes { batch, rows, d_model, d_ff, experts, .. } = *sizes;
    let mut config = small_config(&[&["text", "image"]]).backbone;
    (config.d_model, config.d_ff) = (d_model, Some(d_ff));
    let mut moe = Moe::new(&config, &case.config, &mut WeightInit::new(0, &device));
    let up = |seed| Param::from_tensor(wave(1.0, seed, [experts, d_model, d_ff], &device));
    moe.router.weight = Param::from_tensor(wave(1.5, 2.0, [d_model, experts], &device));
    (moe.experts.gate.weight, moe.experts.up.weight) = (up(3.0), up(4.0));
    moe.experts.down.weight = Param::from_tensor(wave(1.0, 5.0, [experts, d_ff, d_model], &device));

    let x = wave(1.0, 1.0, [batch, rows, d_model], &device).require_grad();
    let filled = Tensor::<2>::from_data(TensorData::new(sizes.filled.clone(), [batch, rows]), &device);
    let count = f64::from(sizes.filled.iter().sum::<f32>());
    let FeedForwardOutput { rows: y, router } = moe.forward(x.clone(), &filled);
    let losses = router_loss(&[vec![router]], |_| count, None);
    let weighted = (y.clone() * wave(1.0, 6.0, [batch, rows, d_model], &device)).sum();
    let loss = losses.total.into_iter().fold(weighted, |sum, term| sum + term);
    let grads = loss.clone().backward();

    let name = &case.name;
    assert_close(&values(loss), &[case.loss], &format!("{name}: loss"));
    assert_close(&values(y), &case.y, &format!("{name}: values"));
    let experts = &moe.experts;
    for (weight, gradient) in [
        ("x", x.grad(&grads).map(values)),
        ("router", moe.router.weight.val().grad(&grads).map(values)),
        ("gate", experts.gate.weight.val().grad(&grads).map(values)),
        ("up", experts.up.weight.val().grad(&grads).map(values)),
        ("down", experts.down.weight.val().grad(&grads).map(values)),
    ] {
        assert_close(&gradient.unwrap(), &case.gradients[weight], &format!("{name}: gradient of {weight}"));
    }
    let sums = values(losses.sums[0][0].clone().unwrap());
    let taken: Vec<f32> = (0..sizes.experts)
        .map(|expert| case.statistics["taken"].iter().skip(expert).step_by(sizes.experts).sum())
        .collect();
    let rest = ["unrouted", "entropy", "balance", "z"].map(|name| case.statistics[name][0]);
    assert_close(&sums, &[taken, rest.to_vec()].concat(), &format!("{name}: statistics"));
}

#[test]
fn every_routing_is_that_of_numpy() {
    let expected: Expected = serde_json::from_str(include_str!("expected.json")).unwrap();
    assert_eq!(expected.cases.len(), 6);
    for case in &expected.cases {
        assert_case(&expected.sizes, case);
        with_reference(|| assert_case(&expected.sizes, case));
    }
}
