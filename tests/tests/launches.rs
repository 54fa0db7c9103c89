//! How many kernels a training step launches.
//!
//! Compiled with the feature `wgpu` or `cuda`. A software Vulkan will do.
#![cfg(any(feature = "wgpu", feature = "cuda"))]
#![allow(unsafe_code)] // The framework is told by an environment variable to write down what it launches.

use std::path::Path;
use std::time::Duration;

use burn::tensor::Device;
use interfuse_image_tower::{NoiseKey, TimestepChoice};
use interfuse_mot::CacheUse;
use interfuse_tests::*;
use interfuse_trainer::OptimizerConfig;
use interfuse_trainer::optimization::gradients::FlatGradients;
use interfuse_trainer::optimization::optimizer::{Optimizer, Update};
use interfuse_transfusion::{ModelConfig, Normalizer, ObjectiveConfig, TrainBatch, hybrid_loss};

/// The names of what was launched since the log had `before` lines, once nothing is added to it any more.
fn launched(log: &Path, before: usize, device: &Device) -> Vec<String> {
    device.sync().expect("the device works");
    let read = || std::fs::read_to_string(log).unwrap_or_default();
    let mut text = read();
    loop {
        std::thread::sleep(Duration::from_millis(300));
        let later = read();
        if later.len() == text.len() {
            break;
        }
        text = later;
    }
    text.lines().skip(before).filter_map(|line| line.split("Executing ").nth(1)).map(str::to_string).collect()
}

/// What forward and backward of a model of so many layers launch, and what its optimizer does.
fn step(layers: usize, log: &Path) -> [Vec<String>; 2] {
    let device = gpu();
    let mut config: ModelConfig = mot_config();
    config.backbone.n_layers = layers;
    let mut model = model(&config, 2, &device.clone().autodiff());
    let sequences =
        [vec![caption_first(1, &[7, 8, 9]), image_first(2, &[10])], vec![interleaved(3), text_only(4, &[5])]];
    let layouts: Vec<_> = sequences.iter().map(|samples| pack(&config, samples, &row_shape(2, 24))).collect();
    let mut optimizer = Optimizer::default();
    let mut found = [vec![], vec![]];
    // The first step tunes and makes the moments.
    for index in 0..2 {
        let key = NoiseKey { seed: 5, step: index };
        let batch = TrainBatch::new(&layouts, &config, key, TimestepChoice::Sampled, &device.clone().autodiff());
        let before = lines(log, &device);
        let predictions = model.forward(batch.input(), CacheUse::None);
        let loss = hybrid_loss(&model, &predictions, &batch, &ObjectiveConfig::default(), &Normalizer::of(&batch));
        drop(predictions);
        let gradients = FlatGradients::of(&model, loss.total.backward(), |_| None);
        found[0] = launched(log, before, &device);
        let before = lines(log, &device);
        let update = Update { learning_rate: 3e-3, gradient_scale: 1.0 };
        model = optimizer.step(model, gradients, &OptimizerConfig::default(), update);
        found[1] = launched(log, before, &device);
    }
    found
}

/// Lines that the log has.
fn lines(log: &Path, device: &Device) -> usize {
    launched(log, 0, device);
    std::fs::read_to_string(log).unwrap_or_default().lines().count()
}

#[test]
fn a_layer_launches_few_kernels() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let log = folder.path().join("launches.txt");
    // SAFETY: the only test of this program, before any thread of the framework's reads its environment.
    unsafe {
        std::env::set_var("CUBECL_DEBUG_LOG", &log);
        std::env::set_var("CUBECL_DEBUG_OPTION", "profile");
    }
    let ([one, _], [three, optimizer]) = (step(1, &log), step(3, &log));
    let mut kinds = std::collections::BTreeMap::<&str, i64>::new();
    three.iter().for_each(|name| *kinds.entry(name).or_default() += 1);
    one.iter().for_each(|name| *kinds.entry(name).or_default() -= 1);
    println!("{kinds:#?}\noptimizer: {optimizer:#?}");
    // Two layers more, of two parts each.
    let of_layer = (three.len() - one.len()) / 4;
    println!("{of_layer} for each layer and part, {} for the optimizer", optimizer.len());
    assert!(of_layer <= 80 && of_layer > 0, "{of_layer}");
    assert!(optimizer.len() <= 20 && !optimizer.is_empty(), "{}", optimizer.len());
}
