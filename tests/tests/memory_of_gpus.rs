//! The arithmetic of a step's memory on GPUs, against what was measured there.

// A panic is how a test reports.
#![allow(clippy::unwrap_used)]

use interfuse_transfusion::counts::backbone_parameters;
use interfuse_transfusion::{ModelConfig, StepMemory, StepSettings};

const GIB: f64 = (1u64 << 30) as f64;

/// The models of `assets/benchmarks/cuda.sh`: 8 documents of 256 rows of text and an image of 256 patches a sequence.
fn benchmark(partition: &str, [d_model, n_layers, n_heads, d_ff]: [usize; 4]) -> ModelConfig {
    let config: ModelConfig = toml::from_str(&format!(
        "partition = {partition}
        latent_shape = [1, 128, 128]
        backbone = {{ d_model = {d_model}, n_layers = {n_layers}, n_heads = {n_heads}, d_ff = {d_ff} }}
        modalities.text = {{ objective = 'next_token', vocab_size = 32000 }}
        modalities.image = {{ objective = 'denoise', patch_size = 8 }}"
    ))
    .unwrap();
    config.validate().unwrap();
    config
}

fn parameters(config: &ModelConfig) -> usize {
    // The image's ends are too small to count.
    backbone_parameters(config).unwrap() + 2 * 32000 * config.backbone.d_model
}

fn on_a_gpu(sequences: usize) -> StepSettings {
    let rows = vec![2048, 2048];
    StepSettings { rows, sequences, micro_batches: 1, at_once: 1, row_bytes: 2, activation_checkpointing: false }
}

const SMALL: [usize; 4] = [768, 16, 12, 2048];
const LARGE: [usize; 4] = [1536, 24, 24, 4096];
const MOT: &str = "[['text'], ['image']]";
const DENSE: &str = "[['text', 'image']]";

/// What an H100 reserved in bf16 (docs/gpu.md).
#[test]
fn what_a_gpu_reserved_is_met_within_six_percent() {
    for (partition, sizes, sequences, measured) in
        [(MOT, SMALL, 8, 20.6), (DENSE, SMALL, 8, 19.2), (DENSE, LARGE, 4, 34.7)]
    {
        let config = benchmark(partition, sizes);
        let said = StepMemory::of(&config, parameters(&config), &on_a_gpu(sequences)).unwrap().total() as f64 / GIB;
        assert!((said / measured - 1.0).abs() < 0.06, "{partition} {sizes:?}: {said} GiB, measured {measured}");
    }
}

#[test]
fn the_largest_batch_fits_and_the_next_does_not() {
    let config = benchmark(DENSE, LARGE);
    let (parameters, step) = (parameters(&config), on_a_gpu(16));
    let most = |checkpointing, gib: f64| {
        let step = StepSettings { activation_checkpointing: checkpointing, ..step.clone() };
        StepMemory::most_sequences(&config, parameters, &step, (gib * GIB) as usize).unwrap()
    };
    let total = |sequences| {
        let step = StepSettings { sequences, micro_batches: 16 / sequences, ..step.clone() };
        StepMemory::of(&config, parameters, &step).unwrap().total() as f64 / GIB
    };
    let found = most(false, 40.0).unwrap();
    assert!(total(found) <= 40.0 && total(2 * found) > 40.0, "{found}");
    assert!(most(true, 40.0) > most(false, 40.0) && most(false, 80.0) > most(false, 40.0));
    assert_eq!(most(true, 10.0), None, "the weights alone are more");
}
