//! Activation checkpointing changes how much is kept, and nothing of what is computed: losses, gradients and weights are equal
//! to the bit.

// A panic is how a test reports.
#![allow(clippy::unwrap_used)]

use std::path::Path;

use burn::tensor::Device;
use interfuse_data::{DocumentConfig, LoaderCursor};
use interfuse_image_tower::{NoiseKey, TimestepChoice, TimestepConditioning};
use interfuse_kernels::{Precision, with_activation_checkpointing, with_reference};
use interfuse_mot::{CacheUse, NormPlacement, WeightKind};
use interfuse_parameters::import_weights;
use interfuse_sequence::{RowShape, Sample};
use interfuse_tests::run::Run;
use interfuse_tests::*;
use interfuse_trainer::optimization::freezing::freeze;
use interfuse_trainer::optimization::gradients::FlatGradients;
use interfuse_trainer::{Learner as _, StepReport, TrainPrecision, checkpoint};
use interfuse_transfusion::{ModelConfig, Normalizer, ObjectiveConfig, TrainBatch, Transfusion, hybrid_loss};

/// A run and what is different about it.
type Change = (&'static str, fn(&mut Run));

/// Four micro-batches a step, side by side on the CPU's cores; adaLN, norms of queries and keys.
fn run() -> Run {
    let mut run = Run::new();
    (run.train.batch_size, run.train.gradient_accumulation) = (2, 4);
    run.documents = DocumentConfig { image_first: 0.3, caption_dropout: 0.3, ..Default::default() };
    run
}

fn experts(text: &str) -> interfuse_mot::FeedForwardConfig {
    toml::from_str(&format!("kind = 'moe'\nexperts = 4\n{text}")).unwrap()
}

const CHANGES: [Change; 9] = [
    ("a Mixture-of-Transformers with adaLN", |_| ()),
    ("the dense model", |run| run.config.partition = vec![vec!["text".into(), "image".into()]]),
    ("grouped queries without adaLN, norms on outputs", |run| {
        run.config.backbone.n_kv_heads = Some(1);
        run.config.backbone.norm = NormPlacement::Post;
        image_tower(&mut run.config).timestep_conditioning = TimestepConditioning::Patch;
    }),
    ("dropout", |run| run.config.backbone.dropout = 0.2),
    ("experts that choose rows", |run| run.config.backbone.feed_forward = experts("capacity = 1.25")),
    ("rows that choose two experts, balanced over a sequence", |run| {
        run.config.backbone.feed_forward = experts("routing = 'top_k'\ntop_k = 2\nbalance_loss = 0.5\nz_loss = 0.1");
    }),
    ("rows that choose an expert, balanced over a step", |run| {
        run.config.backbone.feed_forward =
            experts("routing = 'top_k'\nbalance_loss = 0.5\nbalance_over = 'step'\nz_loss = 0.1");
    }),
    ("weights that parts have in common", |run| run.config.backbone.untie = vec![WeightKind::Ffn]),
    ("a frozen part and a frozen tower", |run| {
        let frozen = "[parts.text]\nfrozen = true\n[parts.image]\nlearning_rate_factor = 0.5";
        run.optimizer.parts = toml::from_str::<interfuse_trainer::OptimizerConfig>(frozen).unwrap().parts;
    }),
];

/// The reports of some steps, without their durations, and the weights and moments after them, bit by bit.
fn taken(run: &Run, checkpointing: bool) -> (Vec<StepReport>, impl PartialEq + use<>) {
    let mut trainer = run.trainer(LoaderCursor::default());
    trainer.setup.train.activation_checkpointing = checkpointing;
    trainer.model = freeze(trainer.model, &run.optimizer).unwrap();
    let reports = (0..4).map(|_| StepReport { seconds: 0.0, waited: 0.0, ..trainer.step().unwrap() });
    let reports = reports.collect();
    (reports, (checkpoint::fingerprint(&trainer), weights(&trainer.ema_model())))
}

#[test]
fn steps_are_those_without_it_to_the_bit() {
    for (what, change) in CHANGES {
        let mut run = run();
        change(&mut run);
        let ((kept, kept_weights), (again, again_weights)) = (taken(&run, false), taken(&run, true));
        assert_eq!(again, kept, "{what}");
        assert!(again_weights == kept_weights, "{what}: other weights");
        assert!(kept.iter().all(|report| report.gradient_norm > 0.0 && report.skipped.is_none()), "{what}");
    }
}

#[test]
fn steps_in_bf16_are_those_without_it() {
    // Elsewhere a step in it is one in f32.
    if !Precision::Bf16.runs_on(&Device::flex()) {
        return;
    }
    let (mut run, f32) = (run(), taken(&run(), true));
    run.train.precision = TrainPrecision::Bf16;
    let (kept, again) = (taken(&run, false), taken(&run, true));
    assert_eq!(again.0, kept.0);
    assert!(again.1 == kept.1, "other weights");
    assert_ne!(again.0, f32.0, "the layers were computed again in the precision of the step");
}

/// A model none of whose weights are zero or one by construction.
fn shaken(config: &ModelConfig) -> Transfusion {
    let model = model(config, 1, &Device::flex().autodiff());
    let mut tensors = weights(&model);
    for (index, tensor) in tensors.values_mut().enumerate() {
        for (place, value) in tensor.values.iter_mut().enumerate() {
            *value += 0.05 * ((index * 131 + place * 17) as f32 * 0.37).sin();
        }
    }
    import_weights(model, tensors, Path::new("shaken")).unwrap()
}

/// The gradient of every weight that has one, and the loss.
fn gradients(model: &Transfusion, batch: &TrainBatch, checkpointing: bool) -> Vec<(String, Vec<f32>)> {
    let of_batch = || {
        let predictions = model.forward(batch.input(), CacheUse::None);
        let normalizer = Normalizer::of(batch);
        let loss = hybrid_loss(model, &predictions, batch, &ObjectiveConfig::default(), &normalizer);
        let total = ("the loss".to_string(), values(loss.total.clone()));
        let mut gradients = FlatGradients::of(model, loss.total.backward(), |_| None);
        let names: Vec<String> = gradients.names().map(String::from).collect();
        let of = |name: String| Some((name.clone(), values(gradients.take(&name)?)));
        [total].into_iter().chain(names.into_iter().filter_map(of)).collect()
    };
    with_activation_checkpointing(checkpointing, of_batch)
}

fn batch(config: &ModelConfig, samples: &[Sample], shape: &RowShape) -> TrainBatch {
    let layouts = [pack(config, samples, shape)];
    let (key, device) = (NoiseKey { seed: 5, step: 7 }, Device::flex().autodiff());
    TrainBatch::new(&layouts, config, key, TimestepChoice::Sampled, &device)
}

#[test]
fn lanes_without_rows_and_the_reference_implementations_have_the_gradients_that_they_had() {
    let mut config = mot_config();
    image_tower(&mut config).timestep_conditioning = TimestepConditioning::AdaLn;
    let model = shaken(&config);
    let text = batch(&config, &[text_only(4, &[5, 6, 7])], &row_shape(0, 12));
    let both = batch(&config, &[caption_first(1, &[7, 8, 9]), image_first(2, &[10])], &row_shape(2, 24));
    for batch in [&text, &both] {
        let kept = gradients(&model, batch, false);
        assert_eq!(gradients(&model, batch, true), kept);
        let reference = |checkpointing| with_reference(|| gradients(&model, batch, checkpointing));
        assert_eq!(reference(true), reference(false));
        let of_images = kept.iter().filter(|(name, _)| name.contains("layers.0.parts.image.")).count();
        assert_eq!(of_images > 0, std::ptr::eq(batch, &both), "a part without rows has no gradient");
        let of_text = kept.iter().filter(|(name, _)| name.contains("layers.0.parts.text.query"));
        assert!(of_text.flat_map(|(_, values)| values).any(|&value| value != 0.0));
    }
}

#[test]
fn three_parts_have_the_gradients_that_they_had() {
    let text = "
        partition = [['text'], ['image'], ['speech']]
        latent_shape = [2, 4, 6]
        backbone = { d_model = 16, n_layers = 3, n_heads = 2, n_kv_heads = 1, d_ff = 24 }
        modalities.image = { objective = 'denoise', patch_size = 2, timestep_conditioning = 'ada_ln' }
        modalities.text = { objective = 'next_token', vocab_size = 23 }
        modalities.speech = { objective = 'next_token', vocab_size = 7 }
    ";
    const SPEECH: usize = 1;
    let units = interfuse_sequence::Segment::tokens(SPEECH, vec![1, 2, 3, 4]);
    let in_this_order = |mut sample: Sample| {
        // The fixtures know two lanes, of which text is the second.
        sample.segments.iter_mut().filter(|segment| segment.modality == TEXT).for_each(|segment| segment.modality = 2);
        sample.segments.push(units.clone());
        sample
    };
    let samples = [caption_first(1, &[7, 8, 9]), image_first(2, &[10])].map(in_this_order);
    for experts_everywhere in [false, true] {
        let mut config: ModelConfig = toml::from_str(text).unwrap();
        if experts_everywhere {
            config.backbone.feed_forward = experts("routing = 'top_k'\nbalance_loss = 0.5\nz_loss = 0.1");
        }
        config.validate().unwrap();
        let batch = batch(&config, &samples, &RowShape { capacity: vec![12, 10, 24] });
        let model = shaken(&config);
        let (kept, again) = (gradients(&model, &batch, false), gradients(&model, &batch, true));
        let others = kept.iter().zip(&again).filter(|(kept, again)| kept != again).map(|((name, _), _)| name);
        let others: Vec<&String> = others.collect();
        assert!(others.is_empty() && again.len() == kept.len(), "experts: {experts_everywhere}, others: {others:?}");
    }
}
