//! Clean copies of images (BAGEL, 2505.14683): a noised image is seen by nobody but itself, what follows sees its clean copy, and
//! nothing else of a document is other than it would be.

// A panic is how a test reports.
#![allow(clippy::unwrap_used)]

use std::collections::BTreeMap;
use std::path::Path;

use burn::tensor::{Device, Tensor};
use interfuse_image_tower::{NoiseKey, TimestepChoice, TimestepConditioning};
use interfuse_mot::CacheUse;
use interfuse_parameters::import_weights;
use interfuse_sequence::drawing::draw_mask;
use interfuse_sequence::{LaneContent, LaneRows, PositionScheme, Sample, Segment, SequenceLayout};
use interfuse_tests::*;
use interfuse_trainer::optimization::gradients::FlatGradients;
use interfuse_transfusion::{
    ModelConfig, Normalizer, ObjectiveConfig, Predictions, TrainBatch, Transfusion, hybrid_loss,
};

const KEY: NoiseKey = NoiseKey { seed: 5, step: 7 };
/// Rows of an image.
const PATCHES: usize = 6;

/// `BOS 5 BOI [image] EOI 6 7 BOI [image] EOI EOS`, the first image as it is learned in training.
fn document(id: u64, first: impl IntoIterator<Item = Segment>) -> Sample {
    let mut segments = vec![text(&[BOS, 5, BOI])];
    segments.extend(first);
    segments.extend([text(&[EOI, 6, 7, BOI]), image(id + 50, false), text(&[EOI, EOS])]);
    Sample { id, segments }
}

fn copied(id: u64) -> Sample {
    document(id, image(id, true).with_clean_copy())
}

/// Variants that every equivalence must hold for.
fn variants() -> Vec<(&'static str, ModelConfig)> {
    let with = |change: &dyn Fn(&mut ModelConfig)| {
        let mut config = mot_config();
        change(&mut config);
        config
    };
    vec![
        ("plain", mot_config()),
        ("dense", small_config(&[&["text", "image"]])),
        ("axial", with(&|config| config.positions = PositionScheme::Axial)),
        (
            "one place",
            with(&|config| {
                config.positions = PositionScheme::Shared;
                image_tower(config).learned_positions = true;
            }),
        ),
        ("adaptive", with(&|config| image_tower(config).timestep_conditioning = TimestepConditioning::AdaLn)),
    ]
}

fn shaken(config: &ModelConfig, device: &Device) -> Transfusion {
    let model = model(config, 1, device);
    let mut tensors = weights(&model);
    for (index, (_, tensor)) in tensors.iter_mut().enumerate() {
        for (place, value) in tensor.values.iter_mut().enumerate() {
            *value += 0.05 * ((index * 131 + place * 17) as f32 * 0.37).sin();
        }
    }
    import_weights(model, tensors, Path::new("shaken")).unwrap()
}

fn batch(config: &ModelConfig, sequences: &[Vec<Sample>], device: &Device) -> TrainBatch {
    let layouts: Vec<_> = sequences.iter().map(|samples| pack(config, samples, &row_shape(4, 24))).collect();
    TrainBatch::new(&layouts, config, KEY, TimestepChoice::Sampled, device)
}

fn predict(model: &Transfusion, batch: &TrainBatch) -> Predictions {
    model.forward(batch.input(), CacheUse::None)
}

fn logits(predictions: &Predictions, sequence: usize, rows: std::ops::Range<usize>) -> Tensor<3> {
    predictions.logits(TEXT).unwrap().slice([sequence..sequence + 1, rows, 0..VOCAB])
}

fn slot(predictions: &Predictions, sequence: usize, slot: usize) -> Tensor<5> {
    let [channels, height, width] = LATENT_SHAPE;
    let place = [sequence..sequence + 1, slot..slot + 1, 0..channels, 0..height, 0..width];
    predictions.images(IMAGE).unwrap().slice(place)
}

#[test]
fn what_follows_an_image_is_as_if_the_image_were_given() {
    let device = Device::flex();
    for (name, config) in variants() {
        let model = shaken(&config, &device);
        let given = document(3, [image(3, false).with_given(true)]);
        let both = predict(&model, &batch(&config, &[vec![copied(3)]], &device));
        let clean = predict(&model, &batch(&config, &[vec![given]], &device));
        assert!(gap(logits(&both, 0, 0..9), logits(&clean, 0, 0..9)) < 2e-5, "{name}: text");
        // The copy lies behind the noised image; the second image has the same noise in both, for an image and its copy are one.
        assert!(gap(slot(&both, 0, 1), slot(&clean, 0, 0)) < 2e-5, "{name}: the copy");
        assert!(gap(slot(&both, 0, 2), slot(&clean, 0, 1)) < 2e-5, "{name}: the second image");
        // As Transfusion has it, what follows is other: the noise reaches it.
        let noised = document(3, [image(3, false)]);
        let noised = predict(&model, &batch(&config, &[vec![noised]], &device));
        assert!(gap(logits(&both, 0, 0..3), logits(&noised, 0, 0..3)) < 2e-5, "{name}: what comes before");
        assert!(gap(logits(&both, 0, 3..7), logits(&noised, 0, 3..7)) > 1e-4, "{name}: what follows");
    }
}

#[test]
fn a_noised_image_is_as_if_its_document_ended_with_it() {
    let device = Device::flex();
    for (name, config) in variants() {
        let model = shaken(&config, &device);
        let ends = Sample { id: 3, segments: vec![text(&[BOS, 5, BOI]), image(3, false)] };
        let both = predict(&model, &batch(&config, &[vec![copied(3)]], &device));
        let alone = predict(&model, &batch(&config, &[vec![ends]], &device));
        assert!(gap(slot(&both, 0, 0), slot(&alone, 0, 0)) < 2e-5, "{name}");
    }
}

/// The images' loss alone, and its gradients by weight.
fn image_gradients(config: &ModelConfig, sample: Sample) -> (BTreeMap<String, Vec<f32>>, f32) {
    let device = Device::flex().autodiff();
    let model = shaken(config, &device);
    let batch = batch(config, &[vec![sample]], &device);
    let objective = ObjectiveConfig { weights: [("text".to_string(), 0.0)].into(), ..ObjectiveConfig::default() };
    let loss = hybrid_loss(&model, &predict(&model, &batch), &batch, &objective, &Normalizer::of(&batch));
    let value = values(loss.total.clone())[0];
    let mut gradients = FlatGradients::of(&model, loss.total.backward(), |_| None);
    let names: Vec<String> = gradients.names().map(str::to_string).collect();
    let by_name = names.into_iter().map(|name| (name.clone(), values(gradients.take(&name).unwrap())));
    (by_name.collect(), value)
}

#[test]
fn the_copy_has_no_loss_and_gets_no_gradient_from_the_noised_image() {
    for (name, config) in variants() {
        let caption = text(&[EOI, 8, 9, EOS]);
        let with_copy = |noised: Segment| {
            let segments = [vec![text(&[BOS, BOI])], noised.with_clean_copy().into(), vec![caption.clone()]].concat();
            Sample { id: 3, segments }
        };
        let ends = Sample { id: 3, segments: vec![text(&[BOS, BOI]), image(3, false)] };
        let (copied, loss) = image_gradients(&config, with_copy(image(3, true)));
        let (alone, expected) = image_gradients(&config, ends);
        assert!((loss - expected).abs() < 1e-5 * expected, "{name}: {loss} against {expected}");
        assert!(copied.keys().eq(alone.keys()), "{name}");
        assert!(alone.values().flatten().any(|gradient| gradient.abs() > 1e-2), "{name}");
        for (weight, gradient) in &copied {
            let gap = gradient.iter().zip(&alone[weight]).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max);
            assert!(gap < 1e-5, "{name}, {weight}: {gap}");
        }
    }
}

#[test]
fn one_image_is_counted_once() {
    let config = mot_config();
    let device = Device::flex();
    let batch = batch(&config, &[vec![copied(3)], vec![interleaved(4)]], &device);
    let normalizer = Normalizer::of(&batch);
    assert_eq!(normalizer.counts[IMAGE], 4, "two images each, the copy not among them");
    let LaneRows::Denoise(rows) = &batch.batch.lanes[IMAGE].as_ref().unwrap().content else { panic!("images") };
    let spans: Vec<_> = rows.spans[0].iter().flatten().map(|span| (span.image_index, span.given)).collect();
    assert_eq!(spans, [(0, false), (0, true), (1, false)]);
    let times = values(batch.noised[IMAGE].as_ref().unwrap().t.clone());
    assert!(times[0] > 0.0 && times[1] == 0.0 && times[2] > 0.0, "{times:?}");
}

#[test]
fn packed_documents_with_copies_are_as_if_alone() {
    let device = Device::flex();
    for (name, config) in variants() {
        let model = shaken(&config, &device);
        let (a, b) = (caption_first(1, &[7, 8, 9]), copied(2));
        let packed = predict(&model, &batch(&config, &[vec![a.clone(), b.clone()], vec![b.clone()]], &device));
        let alone = predict(&model, &batch(&config, &[vec![a], vec![b]], &device));
        assert!(gap(logits(&packed, 0, 0..7), logits(&alone, 0, 0..7)) < 2e-5, "{name}: text of the first");
        assert!(gap(logits(&packed, 0, 7..16), logits(&alone, 1, 0..9)) < 2e-5, "{name}: text of the second");
        assert!(gap(slot(&packed, 0, 0), slot(&alone, 0, 0)) < 2e-5, "{name}: image of the first");
        for image in 0..3 {
            assert!(gap(slot(&packed, 0, 1 + image), slot(&alone, 1, image)) < 2e-5, "{name}: image {image}");
        }
    }
}

#[test]
fn where_nothing_is_hidden_nothing_more_goes_to_the_device() {
    let device = Device::flex();
    let config = mot_config();
    let hidden = |samples: Vec<Sample>| -> Vec<bool> {
        let batch = batch(&config, &[samples], &device);
        batch.batch.lanes.iter().flatten().map(|lane| lane.geometry.hidden_from.is_some()).collect()
    };
    assert_eq!(hidden(vec![interleaved(1), image_first(2, &[7])]), [false, false]);
    assert_eq!(hidden(vec![copied(1)]), [true, false], "the lane of images, and not that of text");
}

fn places(layout: &SequenceLayout) -> Vec<[i32; 3]> {
    layout.reading_order().iter().map(|&(lane, row)| layout.lanes[lane].positions[row]).collect()
}

#[test]
fn the_copy_stands_where_the_image_stands_and_what_follows_where_it_would() {
    for scheme in [PositionScheme::Sequential, PositionScheme::Shared, PositionScheme::Axial] {
        let mut config = mot_config();
        config.positions = scheme;
        let plain = places(&pack(&config, &[document(3, [image(3, false)])], &row_shape(4, 24)));
        let both = places(&pack(&config, &[copied(3)], &row_shape(4, 24)));
        assert_eq!(both[3..3 + PATCHES], both[3 + PATCHES..3 + 2 * PATCHES], "{scheme:?}");
        assert_eq!([&both[..3], &both[3 + PATCHES..]].concat(), plain, "{scheme:?}");
    }
}

/// The drawing of docs/conversations.md.
#[test]
fn the_drawing_shows_whom_an_image_is_hidden_from() {
    let config = mot_config();
    let segments =
        [vec![text(&[BOS, BOI])], image(3, false).with_clean_copy().into(), vec![text(&[EOI, 8, EOS])]].concat();
    let layout = pack(&config, &[Sample { id: 3, segments }], &row_shape(2, 8));
    let names = |_, id| ["BOS", "EOS", "BOI", "EOI", "", "", "", "", "a"][id as usize].to_string();
    let drawing = draw_mask(&layout, &config.modalities(), &names);
    assert!(include_str!("../../docs/conversations.md").contains(&drawing), "the page shows another:\n{drawing}");
    let masks: Vec<&str> = drawing.lines().map(|line| line.split_whitespace().last().unwrap()).collect();
    assert_eq!(masks[1], "##···············", "BOI");
    assert_eq!(masks[2], "########·········", "the noised image sees what is before it and itself");
    assert_eq!(masks[8], "##······######···", "its copy sees what is before it and itself, and not the noised image");
    assert_eq!(masks[14], "##······#######··", "what follows sees the copy");
    assert_eq!(masks[16], "##······#########");
    let losses: Vec<bool> = drawing.lines().map(|line| line.contains(" loss ")).collect();
    assert!(losses[2..8].iter().all(|loss| *loss) && !losses[8..14].iter().any(|loss| *loss));
}

#[test]
fn rows_are_counted_with_the_copy_and_the_lane_says_when_they_do_not_fit() {
    let config = mot_config();
    let format = config.sequence_format();
    assert_eq!(format.rows_of(&copied(3)), [3 * PATCHES, 9]);
    let mut builder = interfuse_sequence::LayoutBuilder::new(format);
    let message = builder.push_sample(&copied(3), &row_shape(2, 24)).unwrap_err().to_string();
    assert!(message.contains("needs 18") && message.contains("12 free rows"), "{message}");
    let layout = pack(&config, &[copied(3)], &row_shape(3, 24));
    let LaneContent::Denoise { spans, .. } = &layout.lanes[IMAGE].content else { panic!("images") };
    assert_eq!(spans.len(), 3);
}
