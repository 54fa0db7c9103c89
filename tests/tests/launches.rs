//! How many kernels a step gives a GPU: small models are as slow as the launches are many.
//!
//! Compiled with the feature `wgpu` or `cuda`. What NVIDIA's library multiplies is not counted.
#![cfg(any(feature = "wgpu", feature = "cuda"))]

use std::sync::{Mutex, PoisonError};

use burn::tensor::Device;
use interfuse_image_tower::{NoiseKey, TimestepChoice};
use interfuse_kernels::timing::launches;
use interfuse_kernels::{Precision, with_precision};
use interfuse_mot::CacheUse;
use interfuse_tests::*;
use interfuse_trainer::OptimizerConfig;
use interfuse_trainer::optimization::Ema;
use interfuse_trainer::optimization::gradients::FlatGradients;
use interfuse_trainer::optimization::optimizer::{Optimizer, Update};
use interfuse_transfusion::{ModelConfig, Normalizer, ObjectiveConfig, TrainBatch, Transfusion, hybrid_loss};

/// Of a layer and a part, forward and backward. Where the device has no tensor cores attention is made of the framework's
/// operations, and each of those that are not fused is a launch: 97 on a software Vulkan.
const MOST_OF_A_LAYER: u64 = if cfg!(feature = "fusion") { 80 } else { 100 };
/// Of the norms of gradients, the update and the moving average, of a hundred weights: CUDA takes 32 in a launch, Vulkan as many
/// as it binds buffers for, seven where these are 30.
const MOST_OF_THE_OPTIMIZER: u64 = if cfg!(feature = "cuda") { 20 } else { 32 };

/// Launches of all threads are counted, so one test at a time makes any.
static ALONE: Mutex<()> = Mutex::new(());

/// A Mixture-of-Transformers in what the device multiplies fastest.
fn config(layers: usize) -> ModelConfig {
    let mut config = mot_config();
    config.backbone.d_model = 64;
    config.backbone.n_layers = layers;
    config.backbone.qk_norm = true;
    config
}

fn gradients(model: &Transfusion, batch: &TrainBatch) -> FlatGradients {
    with_precision(Precision::fastest_on(&gpu()), || {
        let predictions = model.forward(batch.input(), CacheUse::None);
        let loss = hybrid_loss(model, &predictions, batch, &ObjectiveConfig::default(), &Normalizer::of(batch));
        FlatGradients::of(model, loss.total.backward(), |_| None)
    })
}

/// The model and its batch on the GPU.
fn prepared(layers: usize) -> (Transfusion, TrainBatch) {
    let (config, device) = (config(layers), gpu().autodiff());
    let sequences =
        [vec![caption_first(1, &[7, 8, 9]), image_first(2, &[10])], vec![interleaved(3), text_only(4, &[5])]];
    let layouts: Vec<_> = sequences.iter().map(|samples| pack(&config, samples, &row_shape(2, 24))).collect();
    let batch = TrainBatch::new(&layouts, &config, NoiseKey { seed: 5, step: 7 }, TimestepChoice::Sampled, &device);
    (model(&config, 1, &device), batch)
}

/// Launches of `f`, by kernel; the second time, because the first one also tries kernels out.
fn counted<T>(device: &Device, mut f: impl FnMut() -> T) -> Vec<(String, u64)> {
    let mut run = || {
        drop(f());
        device.sync().expect("the device works");
    };
    run();
    launches(false, run).1.into_iter().map(|(kernel, found)| (kernel, found.calls)).collect()
}

fn total(launches: &[(String, u64)]) -> u64 {
    launches.iter().map(|(_, calls)| calls).sum()
}

#[test]
fn a_layer_takes_few_launches() {
    let _alone = ALONE.lock().unwrap_or_else(PoisonError::into_inner);
    let [few, many] = [2, 4].map(|layers| {
        let (model, batch) = prepared(layers);
        counted(&gpu(), || gradients(&model, &batch))
    });
    let parts = config(2).partition().expect("a partition").parts().len() as u64;
    let of_a_layer = (total(&many) - total(&few)) / (2 * parts);
    assert!(of_a_layer <= MOST_OF_A_LAYER, "{of_a_layer} launches a layer and part, of four layers: {many:#?}");
}

#[test]
fn an_update_takes_few_launches() {
    let _alone = ALONE.lock().unwrap_or_else(PoisonError::into_inner);
    let (model, batch) = prepared(4);
    let passes = counted(&gpu(), || gradients(&model, &batch));
    let update = Update { learning_rate: 3e-3, gradient_scale: 1.0 };
    let (mut optimizer, mut ema) = (Optimizer::default(), Ema::learned(&model));
    // Nobody else holds the weights, so that they are changed in place.
    let (mut model, mut step) = (Some(model), 0);
    let found = counted(&gpu(), || {
        let taken = model.take().expect("put back after every step");
        let gradients = gradients(&taken, &batch);
        let norms = gradients.squared_norms();
        let stepped = optimizer.step(taken, gradients, &OptimizerConfig::default(), update);
        ema.update(&stepped, 0.999, step);
        step += 1;
        model = Some(stepped);
        norms
    });
    let before = |kernel: &str| passes.iter().find(|(name, _)| name == kernel).map_or(0, |(_, calls)| *calls);
    let own = found.into_iter().map(|(name, calls)| (calls.saturating_sub(before(&name)), name));
    let own: Vec<(u64, String)> = own.filter(|(calls, _)| *calls > 0).collect();
    let of_the_optimizer: u64 = own.iter().map(|(calls, _)| calls).sum();
    assert!(of_the_optimizer <= MOST_OF_THE_OPTIMIZER, "{of_the_optimizer} launches: {own:#?}");
}
