//! What must hold whatever the weights: equal experts are one network, and rows depend on what they may depend on.

use burn::tensor::{Device, Tensor};
use interfuse_parameters::{HostTensors, import_weights};
use interfuse_sequence::{RowShape, Sample};
use interfuse_tests::*;
use interfuse_transfusion::{ModelConfig, Transfusion};
use std::path::Path;

use crate::{ALL, EXPERT_CHOICE, TOP_1, TOP_2, batch, mixed_sequences, predict, with_experts};

const EXPERTS: usize = 4;

/// Weights other than those of the start, so that nothing is zero or one by construction.
fn shaken(config: &ModelConfig, seed: u64) -> Transfusion {
    let model = model(config, seed, &Device::flex());
    let mut tensors = weights(&model);
    for (index, tensor) in tensors.values_mut().enumerate() {
        for (place, value) in tensor.values.iter_mut().enumerate() {
            *value += 0.05 * ((index * 131 + place * 17) as f32 * 0.37).sin();
        }
    }
    import_weights(model, tensors, Path::new("shaken")).unwrap()
}

/// Every expert has the weights of the dense feed-forward; routers have those of `mixture`.
fn equal_experts(dense: &HostTensors, mixture: &HostTensors) -> HostTensors {
    let of = |name: &String| {
        let name_of_one = name.replace("experts.", "");
        let mut tensor = dense.get(&name_of_one).unwrap_or(&mixture[name]).clone();
        if name.contains("experts.") {
            tensor.shape.insert(0, EXPERTS);
            tensor.values = tensor.values.repeat(EXPERTS);
        }
        tensor
    };
    mixture.keys().map(|name| (name.clone(), of(name))).collect()
}

/// Where the weights of a row's experts sum to 1: all experts take every row, or the weights are normalized.
#[test]
fn equal_experts_are_the_dense_network() {
    let parts: [&[&[&str]]; 2] = [&[&["text", "image"]], &[&["text"], &["image"]]];
    for parts in parts {
        let dense_config = small_config(parts);
        let dense = shaken(&dense_config, 1);
        for text in
            ["experts = 4\ncapacity = 4.0", TOP_2, "experts = 4\nrouting = 'top_k'\ntop_k = 4\nnormalize_gates = false"]
        {
            let config = with_experts(parts, text);
            let blank = model(&config, 7, &Device::flex());
            let mixed = equal_experts(&weights(&dense), &weights(&blank));
            let mixture = import_weights(blank, mixed, Path::new("copies")).unwrap();
            let shape = row_shape(2, 24);
            let both = [(&dense, &dense_config), (&mixture, &config)]
                .map(|(model, config)| predict(model, &batch(config, &mixed_sequences(), &shape, &Device::flex())));
            // The head of a row of padding says what a feed-forward that leaves padding alone makes of it.
            for (sequence, rows) in [(0, 12), (1, 13), (2, 5)] {
                let logits = |p: usize| both[p].logits(TEXT).unwrap().narrow(0, sequence, 1).narrow(1, 0, rows);
                assert!(gap(logits(0), logits(1)) < 2e-5, "{text}: text of sequence {sequence}");
            }
            let images = |p: usize| both[p].images(IMAGE).unwrap().narrow(0, 0, 2);
            assert!(gap(images(0), images(1)) < 2e-5, "{text}: images");
        }
    }
}

/// The logits of a sequence's text and its images, of a batch of some sequences in some row shape.
fn outputs(
    model: &Transfusion,
    config: &ModelConfig,
    sequences: &[Vec<Sample>],
    shape: &RowShape,
    (sequence, text, images): (usize, usize, usize),
) -> (Tensor<3>, Tensor<5>) {
    let predictions = predict(model, &batch(config, sequences, shape, &Device::flex()));
    let logits = predictions.logits(TEXT).unwrap().narrow(0, sequence, 1).narrow(1, 0, text);
    (logits, predictions.images(IMAGE).unwrap().narrow(0, sequence, 1).narrow(1, 0, images))
}

#[test]
fn a_sequence_depends_neither_on_its_batch_nor_on_its_padding() {
    for text in ALL {
        for parts in [&[&["text", "image"][..]][..], &[&["text"], &["image"]]] {
            let config = with_experts(parts, text);
            let model = shaken(&config, 1);
            let all = mixed_sequences();
            for (sequence, rows) in [(0, 12), (1, 13)] {
                let of = |sequences: &[Vec<Sample>], shape: &RowShape, place| {
                    outputs(&model, &config, sequences, shape, (place, rows, 2))
                };
                let (logits, images) = of(&all, &row_shape(2, 24), sequence);
                let alone = &all[sequence..=sequence];
                for (name, (other_logits, other_images)) in [
                    ("alone", of(alone, &row_shape(2, 24), 0)),
                    ("with more padding", of(alone, &row_shape(3, 31), 0)),
                    ("without padding", of(alone, &row_shape(2, rows), 0)),
                ] {
                    assert!(gap(logits.clone(), other_logits) < 2e-5, "{text}: text, {name}");
                    assert!(gap(images.clone(), other_images) < 2e-5, "{text}: images, {name}");
                }
            }
        }
    }
}

/// Text that follows changes what expert choice makes of the text before it, and that is all that it changes: rows choose
/// for themselves with token choice.
#[test]
fn experts_that_choose_see_the_future_and_rows_that_choose_do_not() {
    let moved = |text: &str| {
        let config = with_experts(&[&["text"], &["image"]], text);
        let model = shaken(&config, 1);
        let before = |last: u32| {
            let sample = text_only(1, &[5, 6, 7, 8, 9, 10, last]);
            let batch = batch(&config, &[vec![sample]], &row_shape(0, 9), &Device::flex());
            predict(&model, &batch).logits(TEXT).unwrap().narrow(1, 0, 7)
        };
        (11..VOCAB as u32).map(|last| gap(before(11), before(last))).fold(0.0, f32::max)
    };
    assert_eq!((moved(TOP_1), moved(TOP_2)), (0.0, 0.0));
    assert!(moved(EXPERT_CHOICE) > 1e-4);
}

#[test]
fn padding_is_counted_nowhere() {
    for text in ALL {
        let config = with_experts(&[&["text"], &["image"]], text);
        let batch = batch(&config, &mixed_sequences(), &row_shape(2, 24), &Device::flex());
        let routers = predict(&shaken(&config, 1), &batch).routers;
        assert_eq!(routers.len(), 2);
        for parts in routers {
            let rows = |part: usize| values(parts[part].as_ref().unwrap().rows.clone());
            assert_eq!(rows(0), [12.0, 13.0, 5.0], "{text}: text");
            assert_eq!(rows(1), [12.0, 12.0, 0.0], "{text}: images");
            let text_router = parts[0].as_ref().unwrap();
            let taken = values(text_router.taken.clone());
            let expected: Vec<f32> = match text {
                // ⌈n · 1.25 / 4⌉ rows of n go to each expert.
                EXPERT_CHOICE => [4.0f32, 5.0, 2.0].into_iter().flat_map(|k| [k; EXPERTS]).collect(),
                _ => taken.clone(),
            };
            assert_eq!(taken, expected, "{text}");
            let choices = if text == TOP_2 { 2.0 } else { 1.0 };
            if text != EXPERT_CHOICE {
                let sums: Vec<f32> = taken.chunks(EXPERTS).map(|of| of.iter().sum()).collect();
                assert_eq!(sums, [12.0, 13.0, 5.0].map(|rows: f32| rows * choices), "{text}");
                assert_eq!(values(text_router.unrouted.clone()), [0.0]);
            }
        }
    }
}
