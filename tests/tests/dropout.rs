//! Dropout: in training alone, and the same elements whoever computes them.

// A panic is how a test reports.
#![allow(clippy::unwrap_used)]

use burn::tensor::Device;
use interfuse_data::LoaderCursor;
use interfuse_image_tower::{NoiseKey, TimestepChoice};
use interfuse_mot::{CacheUse, NormPlacement};
use interfuse_tests::ranks::on_ranks;
use interfuse_tests::run::Run;
use interfuse_tests::*;
use interfuse_trainer::{Learner as _, Trainer, checkpoint};
use interfuse_transfusion::{ModelConfig, TrainBatch, Transfusion};

const KEY: NoiseKey = NoiseKey { seed: 5, step: 7 };

/// Four micro-batches of a step, a fifth of all that sub-layers add left out.
fn thinned_run() -> Run {
    let mut run = Run::new();
    run.config.backbone.dropout = 0.2;
    (run.train.batch_size, run.train.gradient_accumulation) = (2, 4);
    run
}

fn totals(trainer: &mut Trainer, count: usize) -> Vec<f64> {
    (0..count).map(|_| trainer.step().unwrap().total).collect()
}

fn batch(config: &ModelConfig) -> TrainBatch {
    let layouts = [pack(config, &[caption_first(1, &[5, 6, 7, 8])], &row_shape(2, 24))];
    TrainBatch::new(&layouts, config, KEY, TimestepChoice::Sampled, &Device::flex())
}

/// All that a model predicts for a batch.
fn predicted(model: &Transfusion, batch: &TrainBatch) -> Vec<f32> {
    let predictions = model.forward(batch.input(), CacheUse::None);
    [values(predictions.logits(TEXT).unwrap()), values(predictions.images(IMAGE).unwrap())].concat()
}

#[test]
fn steps_after_a_resume_and_on_several_ranks_leave_out_the_same() {
    let run = thinned_run();
    let mut through = run.trainer(LoaderCursor::default());
    let all = totals(&mut through, 6);

    let mut first = run.trainer(LoaderCursor::default());
    totals(&mut first, 3);
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("step-000003");
    run.save(&first, &path);
    let mut second = run.resumed(&path);
    assert_eq!(totals(&mut second, 3), all[3..]);
    let fingerprint = checkpoint::fingerprint(&through);
    assert!(checkpoint::fingerprint(&second) == fingerprint, "other weights after a resume");

    for size in [2, 3] {
        let found = on_ranks(size, |ranks| {
            let mut trainer = run.trainer(LoaderCursor::default()).among(ranks).unwrap();
            totals(&mut trainer, 6);
            checkpoint::fingerprint(&trainer)
        });
        assert!(found.into_iter().all(|found| found == fingerprint), "other weights on {size} ranks");
    }
}

#[test]
fn nothing_is_left_out_where_a_model_is_only_measured() {
    let config = mot_config();
    let mut thinned = config.clone();
    thinned.backbone.dropout = 0.5;
    let device = Device::flex();
    let (plain, model) = (model(&config, 1, &device), model(&thinned, 1, &device));
    let expected = predicted(&plain, &batch(&config));
    let measured = batch(&thinned);
    assert_eq!(measured.dropout, None);
    assert!(predicted(&model, &measured) == expected, "measuring leaves nothing out");
    assert_eq!(batch(&config).with_dropout(&config, KEY, 0).dropout, None, "none by default");

    let learned = |index| predicted(&model, &batch(&thinned).with_dropout(&thinned, KEY, index));
    assert!(learned(0) != expected && learned(0) == learned(0) && learned(0) != learned(1));
}

/// The expectation over many masks of what one layer adds is what it adds without any, wherever its norms stand: with one layer
/// of attention alone between input and stream, predictions of many micro-batches scatter around those of none.
#[test]
fn predictions_scatter_around_those_without_dropout() {
    for norm in [NormPlacement::Pre, NormPlacement::Post] {
        let mut config = mot_config();
        (config.backbone.dropout, config.backbone.n_layers, config.backbone.norm) = (0.1, 1, norm);
        let model = model(&config, 1, &Device::flex());
        let expected = predicted(&model, &batch(&config));
        let count = 200;
        let mut mean = vec![0.0; expected.len()];
        for index in 0..count {
            let found = predicted(&model, &batch(&config).with_dropout(&config, KEY, index));
            mean.iter_mut().zip(found).for_each(|(mean, value)| *mean += value / count as f32);
        }
        let size = |values: &mut dyn Iterator<Item = f32>| values.map(|x| x * x).sum::<f32>().sqrt();
        let off = size(&mut mean.iter().zip(&expected).map(|(mean, expected)| mean - expected));
        let all = size(&mut expected.iter().copied());
        assert!(off < 0.05 * all, "{norm:?}: {off} of {all}");
    }
}

#[test]
fn a_rate_that_leaves_nothing_is_refused() {
    for rate in [1.0, -0.1, f64::NAN] {
        let mut config = mot_config();
        config.backbone.dropout = rate;
        let message = config.validate().unwrap_err().to_string();
        assert!(message.contains("dropout: expected from 0 and below 1"), "{message}");
    }
}
