//! The same model on another device: predictions, both losses, every gradient, and a few steps of training.
//!
//! Compiled with the feature `wgpu`, which needs a Vulkan device, and a software one will do; or with `cuda`, which needs an
//! NVIDIA GPU.
#![cfg(any(feature = "wgpu", feature = "cuda"))]

use burn::tensor::{Device, Int, Tensor, TensorData};
use interfuse_image_tower::{NoiseKey, TimestepChoice, TimestepConditioning};
use interfuse_kernels::{VisibleRanges, attention};
use interfuse_mot::CacheUse;
use interfuse_parameters::{HostTensors, import_weights};
use interfuse_tests::*;
use interfuse_trainer::OptimizerConfig;
use interfuse_trainer::optimization::gradients::FlatGradients;
use interfuse_trainer::optimization::optimizer::{Optimizer, Update};
use interfuse_transfusion::{
    ModelConfig, Normalizer, ObjectiveConfig, Predictions, TrainBatch, Transfusion, hybrid_loss,
};

const TOLERANCE: f32 = 1e-3;

/// What one device makes of a batch.
struct Computed {
    predictions: Predictions,
    total: f32,
    text: f32,
    image: f32,
    gradients: Vec<(String, Vec<f32>)>,
}

fn configs() -> [ModelConfig; 4] {
    let mut adaptive = mot_config();
    let tower = image_tower(&mut adaptive);
    tower.timestep_conditioning = TimestepConditioning::AdaLn;
    tower.patch_overlap = 1;
    adaptive.backbone.qk_norm = true;
    adaptive.backbone.n_kv_heads = Some(1);
    let experts = |routing: &str| {
        let mut config = mot_config();
        let text = format!("kind = 'moe'\nexperts = 3\nrouting = {routing}");
        config.backbone.feed_forward = toml::from_str(&text).expect("a mixture of experts");
        config
    };
    [mot_config(), adaptive, experts("'expert_choice'"), experts("'top_k'\ntop_k = 2\nbalance_loss = 0.5")]
}

/// Weights that are zero nowhere, so that every gradient is.
fn shaken(config: &ModelConfig) -> HostTensors {
    let mut tensors = weights(&model(config, 1, &Device::flex()));
    for (index, tensor) in tensors.values_mut().enumerate() {
        for (place, value) in tensor.values.iter_mut().enumerate() {
            *value += 0.05 * ((index * 131 + place * 17) as f32 * 0.37).sin();
        }
    }
    tensors
}

fn on(config: &ModelConfig, tensors: HostTensors, device: &Device) -> Transfusion {
    let blank = model(config, 2, &device.clone().autodiff());
    import_weights(blank, tensors, std::path::Path::new("weights")).expect("the same names")
}

fn batch(config: &ModelConfig, device: &Device) -> TrainBatch {
    let sequences =
        [vec![caption_first(1, &[7, 8, 9]), image_first(2, &[10])], vec![interleaved(3), text_only(4, &[5])]];
    let layouts: Vec<_> = sequences.iter().map(|samples| pack(config, samples, &row_shape(2, 24))).collect();
    let key = NoiseKey { seed: 5, step: 7 };
    TrainBatch::new(&layouts, config, key, TimestepChoice::Sampled, &device.clone().autodiff())
}

fn compute(config: &ModelConfig, device: &Device) -> Computed {
    let model = on(config, shaken(config), device);
    let batch = batch(config, device);
    let predictions = model.forward(batch.input(), CacheUse::None);
    let loss = hybrid_loss(&model, &predictions, &batch, &ObjectiveConfig::default(), &Normalizer::of(&batch));
    let of = |lane: usize| loss.modalities[lane].as_ref().expect("the lane has rows").sum.clone().into_scalar::<f32>();
    let (total, text, image) = (loss.total.clone().into_scalar::<f32>(), of(TEXT), of(IMAGE));
    let mut flat = FlatGradients::of(&model, loss.total.backward(), |_| None);
    let names: Vec<String> = flat.names().map(str::to_string).collect();
    let gradients = names
        .into_iter()
        .map(|name| {
            let gradient = flat.take(&name).map(values).unwrap_or_default();
            (name, gradient)
        })
        .collect();
    Computed { predictions, total, text, image, gradients }
}

#[test]
fn predictions_losses_and_gradients_are_those_of_the_cpu() {
    for config in configs() {
        let (cpu, gpu) = (compute(&config, &Device::flex()), compute(&config, &gpu()));
        let (a, b) = (&cpu.predictions, &gpu.predictions);
        assert!(gap(a.logits(TEXT).expect("text"), b.logits(TEXT).expect("text")) < TOLERANCE, "logits");
        assert!(gap(a.images(IMAGE).expect("images"), b.images(IMAGE).expect("images")) < TOLERANCE, "images");
        for (name, a, b) in
            [("total", cpu.total, gpu.total), ("text", cpu.text, gpu.text), ("image", cpu.image, gpu.image)]
        {
            assert!((a - b).abs() < TOLERANCE * a.abs().max(1.0), "{name}: {a} and {b}");
        }
        assert_eq!(cpu.gradients.len(), gpu.gradients.len());
        for ((name, a), (other, b)) in cpu.gradients.iter().zip(&gpu.gradients) {
            assert_eq!(name, other);
            let scale = a.iter().fold(1.0f32, |scale, x| scale.max(x.abs()));
            let gap = a.iter().zip(b).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max);
            assert!(a.len() == b.len() && gap < TOLERANCE * scale, "gradient of {name}: {gap} of {scale}");
        }
    }
}

#[test]
fn a_few_steps_of_training_lower_the_loss_as_on_the_cpu() {
    let config = mot_config();
    let train = |device: &Device| -> Vec<f32> {
        let mut model = on(&config, shaken(&config), device);
        let mut optimizer = Optimizer::default();
        let batch = batch(&config, device);
        (0..4)
            .map(|_| {
                let predictions = model.forward(batch.input(), CacheUse::None);
                let normalizer = Normalizer::of(&batch);
                let loss = hybrid_loss(&model, &predictions, &batch, &ObjectiveConfig::default(), &normalizer);
                let value = loss.total.clone().into_scalar::<f32>();
                let gradients = FlatGradients::of(&model, loss.total.backward(), |_| None);
                let update = Update { learning_rate: 3e-3, gradient_scale: 1.0 };
                model = optimizer.step(model.clone(), gradients, &OptimizerConfig::default(), update);
                value
            })
            .collect()
    };
    let (cpu, gpu) = (train(&Device::flex()), train(&gpu()));
    assert!(gpu[3] < gpu[0], "{gpu:?}");
    for (a, b) in cpu.iter().zip(&gpu) {
        assert!((a - b).abs() < 1e-2 * a.abs(), "{cpu:?} on the CPU, {gpu:?} on the GPU");
    }
}

/// Loops of attention forward and backward over `rows` rows; who sees whom is causal with an image in the middle.
fn attend(rows: usize, device: &Device, most_scores: Option<usize>) -> [Vec<f32>; 4] {
    const HEADS: usize = 4;
    const HEAD_DIM: usize = 8;
    let wave = |speed: f32| {
        let wave: Vec<f32> = (0..rows * HEADS * HEAD_DIM).map(|i| (i as f32 * speed).sin()).collect();
        let shape = [1, rows, HEADS, HEAD_DIM];
        Tensor::<4>::from_data(TensorData::new(wave, shape), &device.clone().autodiff()).require_grad()
    };
    let ints = |f: &dyn Fn(usize) -> usize| {
        let row: Vec<i32> = (0..rows).map(|row| f(row) as i32).collect();
        Tensor::<2, Int>::from_data(TensorData::new(row, [1, rows]), &device.clone().autodiff())
    };
    let image = rows / 4..rows / 2;
    let until = |row: usize| if image.contains(&row) { image.end } else { row + 1 };
    let visible = VisibleRanges::new(ints(&|row| row), ints(&|_| 0), ints(&until));
    let [q, k, v] = [wave(0.7), wave(1.3), wave(0.37)];
    let (a, b, c) = (q.clone(), k.clone(), v.clone());
    let out = match most_scores {
        Some(most) => attention::in_chunks(a, b, c, &visible, most),
        None => attention::reference(a, b, c, &visible),
    };
    let grads = out.clone().square().sum().backward();
    let gradient = |x: &Tensor<4>| values(x.grad(&grads).expect("a gradient").reshape([-1]));
    [values(out.inner().reshape([-1])), gradient(&q), gradient(&k), gradient(&v)]
}

#[test]
fn attention_in_chunks_is_its_reference() {
    let (chunked, plain) = (attend(50, &gpu(), Some(4 * 50 * 7)), attend(50, &Device::flex(), None));
    for (chunked, plain) in chunked.iter().zip(&plain) {
        let gap = chunked.iter().zip(plain).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max);
        assert!(gap < 1e-4, "{gap}");
    }
}

#[test]
fn attention_s_memory_does_not_grow_with_the_square_of_the_rows() {
    let device = gpu();
    // All scores of 2048 rows and 4 heads take 64 MiB; a chunk's take 1 MiB.
    attend(2048, &device, Some(1 << 18));
    let reserved = device.memory_pool_usage().expect("a GPU counts its memory").bytes_reserved;
    assert!(reserved < 64 << 20, "{} MiB", reserved >> 20);
}
