//! The arithmetic of a step's memory against the bytes that the program asks for.

// A panic is how a test reports; an allocator is unsafe.
#![allow(clippy::unwrap_used, unsafe_code)]

use std::alloc::{GlobalAlloc, Layout, System};
use std::sync::atomic::{AtomicIsize, Ordering::Relaxed};

use burn::tensor::Device;
use interfuse_data::LoaderCursor;
use interfuse_image_tower::{NoiseKey, TimestepChoice, TimestepConditioning};
use interfuse_kernels::with_activation_checkpointing;
use interfuse_mot::{BackboneConfig, CacheUse, NormPlacement};
use interfuse_tests::run::Run;
use interfuse_tests::*;
use interfuse_trainer::Learner as _;
use interfuse_transfusion::{
    ModelConfig, Normalizer, ObjectiveConfig, ParameterCounts, StepMemory, StepSettings, TrainBatch, hybrid_loss,
};

/// The system's allocator, which counts.
struct Counting;

static LIVE: AtomicIsize = AtomicIsize::new(0);
static PEAK: AtomicIsize = AtomicIsize::new(0);

// SAFETY: every call goes on to the system's allocator as it came.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        let live = LIVE.fetch_add(layout.size() as isize, Relaxed) + layout.size() as isize;
        PEAK.fetch_max(live, Relaxed);
        // SAFETY: as above.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        LIVE.fetch_sub(layout.size() as isize, Relaxed);
        // SAFETY: as above.
        unsafe { System.dealloc(pointer, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

/// Images and rows of text of a sequence.
const IMAGES: usize = 8;
const TEXT_ROWS: usize = 80;
/// By how much the bytes may be others, as a fraction: the tape's own nodes are not in the arithmetic, nor are small tensors.
const BOUND: f64 = 0.1;

fn config(parts: &[&[&str]]) -> ModelConfig {
    let backbone = BackboneConfig { d_ff: Some(320), ..BackboneConfig::of(128, 3, 4) };
    ModelConfig { backbone, ..small_config(parts) }
}

fn settings(rows: Vec<usize>, sequences: usize, activation_checkpointing: bool) -> StepSettings {
    StepSettings { rows, sequences, micro_batches: 1, at_once: 1, row_bytes: 4, activation_checkpointing }
}

/// Bytes that are held between the forward and the backward pass, and those that the arithmetic says.
fn kept(config: &ModelConfig, checkpointing: bool) -> (f64, f64) {
    let shape = row_shape(IMAGES, TEXT_ROWS);
    let samples: Vec<_> = (0..IMAGES as u64).map(|id| caption_first(id, &[5, 6, 7])).collect();
    // Where little is kept of a row, the tape's nodes count for less beside more rows.
    let sequences = if checkpointing { 32 } else { 4 };
    let layouts: Vec<_> = (0..sequences).map(|_| pack(config, &samples, &shape)).collect();
    let (key, device) = (NoiseKey { seed: 5, step: 7 }, Device::flex().autodiff());
    let batch = TrainBatch::new(&layouts, config, key, TimestepChoice::Sampled, &device).with_dropout(config, key, 0);
    let model = model(config, 1, &device);
    let normalizer = Normalizer::of(&batch);
    let held = || {
        let before = LIVE.load(Relaxed);
        let predictions = model.forward(batch.input(), CacheUse::None);
        let loss = hybrid_loss(&model, &predictions, &batch, &ObjectiveConfig::default(), &normalizer);
        drop(predictions);
        let held = LIVE.load(Relaxed) - before;
        // Goes backward, so that what is held is no more than what that needs.
        drop(loss.total.backward());
        held as f64
    };
    let held = with_activation_checkpointing(checkpointing, held);
    let counts = ParameterCounts::of(&model, config);
    let memory = StepMemory::of(config, counts.stored, &settings(shape.capacity, sequences, checkpointing)).unwrap();
    let of_one_layer: usize = memory
        .kept
        .iter()
        .filter(|kept| !["inputs of layers", "ends", "places"].contains(&kept.kind))
        .map(|kept| kept.bytes)
        .sum();
    // Between the passes no layer is there that is computed again.
    let again = if checkpointing { of_one_layer } else { 0 };
    (held, (memory.activations() + memory.logits - again) as f64)
}

/// A model and what is different about it.
type Change = (&'static str, fn(&mut ModelConfig));

const CHANGES: [Change; 6] = [
    ("plain", |_| ()),
    ("norms of queries and keys, grouped queries", |config| {
        config.backbone.qk_norm = true;
        config.backbone.n_kv_heads = Some(1);
    }),
    ("adaLN", |config| image_tower(config).timestep_conditioning = TimestepConditioning::AdaLn),
    ("norms on outputs", |config| config.backbone.norm = NormPlacement::Post),
    ("dropout", |config| config.backbone.dropout = 0.1),
    ("two experts a row", |config| {
        let text = "kind = 'moe'\nexperts = 4\nrouting = 'top_k'\ntop_k = 2";
        config.backbone.feed_forward = toml::from_str(text).unwrap();
    }),
];

/// One test, because bytes of others would be counted with it.
#[test]
fn the_arithmetic_is_that_of_the_bytes_that_are_asked_for() {
    // What is made once and stays is not a step's.
    kept(&config(&[&["text"], &["image"]]), false);
    let mut wrong = vec![];
    for (parts, partition) in [(&[&["text"][..], &["image"]][..], "parts"), (&[&["text", "image"][..]], "dense")] {
        for (what, change) in CHANGES {
            let mut config = config(parts);
            change(&mut config);
            config.validate().unwrap();
            for checkpointing in [false, true] {
                let (held, said) = kept(&config, checkpointing);
                if (held / said - 1.0).abs() > BOUND {
                    wrong.push(format!("{what}, {partition}, {checkpointing}: {held} held, {said} said"));
                }
            }
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
    whole_steps();
}

/// The most that is held at once in a step lies below what is said, which counts gradients and activations together, and not far.
fn whole_steps() {
    let mut run = Run::new();
    run.config.backbone = BackboneConfig { d_ff: Some(256), ..BackboneConfig::of(96, 4, 3) };
    run.train.batch_size = 64;
    for checkpointing in [false, true] {
        run.train.activation_checkpointing = checkpointing;
        let before = LIVE.load(Relaxed);
        let mut trainer = run.trainer(LoaderCursor::default());
        trainer.compute_in_turn();
        trainer.step().unwrap();
        PEAK.store(LIVE.load(Relaxed), Relaxed);
        let report = trainer.step().unwrap();
        let peak = (PEAK.load(Relaxed) - before) as f64;
        // An image of 8 × 8 pixels is four patches.
        let (images, text) = (4, report.rows / 64 - 4);
        let counts = ParameterCounts::of(&trainer.model, &run.config);
        let step = settings(vec![images, text], 64, checkpointing);
        let said = StepMemory::of(&run.config, counts.stored, &step).unwrap().total() as f64;
        assert!((0.75..1.05).contains(&(peak / said)), "checkpointing {checkpointing}: {peak} held, {said} said");
    }
}
