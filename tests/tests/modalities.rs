//! More modalities than text and images: by configuration alone, with towers of their own or sharing a vocabulary.

// A panic is how a test reports.
#![allow(clippy::unwrap_used)]

use burn::tensor::Device;
use interfuse_data::{DataError, DocumentStream, Loader, LoaderCursor};
use interfuse_image_tower::{NoiseKey, TimestepChoice};
use interfuse_kernels::WeightInit;
use interfuse_mot::CacheUse;
use interfuse_parameters::parameters;
use interfuse_sequence::{
    Attention, LaneContent, LayoutBuilder, PositionScheme, RowShape, Sample, Segment, SequenceFormat,
};
use interfuse_tests::*;
use interfuse_trainer::{Learner, OptimizerConfig, Setup, TrainConfig, Trainer};
use interfuse_transfusion::{
    FlopsPerToken, ModelConfig, Normalizer, ObjectiveConfig, ParameterCounts, TrainBatch, Transfusion, hybrid_loss,
};

/// A configuration as a user writes it.
fn config(text: &str) -> ModelConfig {
    let config: ModelConfig = toml::from_str(text).unwrap();
    config.validate().unwrap();
    config
}

const BACKBONE: &str = "
latent_shape = [2, 4, 6]
[backbone]
d_model = 16
n_layers = 2
n_heads = 2
d_ff = 24
[modalities.image]
objective = 'denoise'
patch_size = 2
[modalities.text]
objective = 'next_token'
vocab_size = 23
";

/// Speech units beside text and images, with a part of the partition and a vocabulary of their own.
fn with_speech() -> ModelConfig {
    let speech = "[modalities.speech]\nobjective = 'next_token'\nvocab_size = 7\n";
    config(&format!("partition = [['text'], ['image'], ['speech']]\n{BACKBONE}{speech}"))
}

/// Chameleon's setting: text and the codes of images are one vocabulary, on parts of their own.
fn with_codes() -> ModelConfig {
    let codes = "[modalities.codes]\nobjective = 'next_token'\nvocabulary = 'text'\n";
    config(&format!("partition = [['text'], ['image'], ['codes']]\npositions = 'axial'\n{BACKBONE}{codes}"))
}

/// Lanes are in the order of the names: image, speech, text.
const SPEECH: usize = 1;
const SPEECH_TEXT: usize = 2;

/// `BOS word` in text, then four units that follow from the word, and an image for every other document.
struct Spoken;

impl DocumentStream for Spoken {
    fn document(&mut self, number: u64) -> Result<Sample, DataError> {
        let word = (number % 4) as u32;
        let units = (0..4).map(|k| (word + k) % 7).collect();
        let mut segments = vec![Segment::tokens(SPEECH_TEXT, vec![BOS, 10 + word]), Segment::tokens(SPEECH, units)];
        if number.is_multiple_of(2) {
            segments.push(Segment::image(IMAGE, latents(u64::from(word), false)));
        }
        Ok(Sample { id: number, segments })
    }

    fn epoch(&self) -> usize {
        4
    }

    fn index_of(&mut self, number: u64) -> usize {
        number as usize % 4
    }

    fn rows(&self, _: &SequenceFormat) -> Vec<Vec<usize>> {
        vec![vec![6, 4, 2]]
    }
}

#[test]
fn a_third_modality_is_a_matter_of_configuration_alone() {
    let model_config = with_speech();
    let device = Device::flex();
    let shape = RowShape { capacity: vec![6, 4, 2] };
    let loader = Loader::new(Box::new(Spoken), model_config.sequence_format(), shape, 1, LoaderCursor::default());
    let model = Transfusion::new(&model_config, &mut WeightInit::new(3, &device.clone().autodiff())).unwrap();
    let train: TrainConfig = toml::from_str("steps = 10\nbatch_size = 8").unwrap();
    let optimizer = OptimizerConfig { learning_rate: 1e-2, warmup_steps: 0, ..Default::default() };
    let setup = Setup { model: model_config, objective: ObjectiveConfig::default(), optimizer, train, seed: 3, device };
    let mut trainer = Trainer::new(setup, model, loader);
    let reports: Vec<_> = (0..10).map(|_| trainer.step().unwrap()).collect();
    let names: Vec<&str> = reports[0].modalities.iter().map(|modality| modality.name.as_str()).collect();
    assert_eq!(names, ["image", "speech", "text"]);
    let loss = |step: usize| reports[step].modalities.iter().find(|modality| modality.name == "speech").unwrap().loss;
    assert!(loss(9) < 0.6 * loss(0), "speech is learned: {} to {}", loss(0), loss(9));
    let parts: Vec<&str> = reports[0].part_gradient_norms.iter().map(|(name, _)| name.as_str()).collect();
    assert_eq!(parts, ["text", "image", "speech"]);
    assert!(reports[0].part_gradient_norms.iter().all(|(_, norm)| *norm > 0.0));
}

#[test]
fn towers_and_parts_are_known_by_name() {
    let device = Device::flex();
    let names = |config: &ModelConfig| -> Vec<String> {
        let model = Transfusion::new(config, &mut WeightInit::new(0, &device)).unwrap();
        parameters(&model).into_iter().map(|weight| weight.name).collect()
    };
    let two = names(&mot_config());
    let three = names(&with_speech());
    assert!(two.iter().all(|name| three.contains(name)), "another modality renames no weight");
    assert!(three.contains(&"towers.speech.embedding".to_string()));
    assert!(three.contains(&"backbone.layers.1.parts.speech.feed_forward.gate.weight".to_string()));
    let shared = names(&with_codes());
    assert!(!shared.iter().any(|name| name.starts_with("towers.codes")), "codes use the tower of text");
}

#[test]
fn a_vocabulary_that_is_shared_lets_targets_cross_lanes() {
    let (codes, text) = (0, 2);
    let config = with_codes();
    let segments = vec![
        Segment::tokens(text, vec![BOS, 5, BOI]),
        Segment::codes(codes, vec![11, 12, 13, 14, 15, 16], [2, 3]),
        Segment::tokens(text, vec![EOI, EOS]),
    ];
    let shape = RowShape { capacity: vec![6, 0, 5] };
    let mut builder = LayoutBuilder::new(config.sequence_format());
    builder.push_sample(&Sample { id: 0, segments }, &shape).unwrap();
    let layout = builder.finish(&shape);
    let targets = |lane: usize| match &layout.lanes[lane].content {
        LaneContent::NextToken { targets, .. } => targets.clone(),
        LaneContent::Denoise { .. } => panic!("ids"),
    };
    assert_eq!(targets(text), [Some(5), Some(BOI), Some(11), Some(EOS), None], "BOI predicts the first code");
    assert_eq!(targets(codes), [Some(12), Some(13), Some(14), Some(15), Some(16), Some(EOI)]);
    // Codes are causal and lie on their grid; what follows stands beyond its longest side.
    assert_eq!(layout.lanes[codes].positions[4], [3, 4, 4]);
    assert_eq!(layout.lanes[text].positions[3], [6, 6, 6]);
    let [first, last] = [layout.lanes[codes].visibility[0], layout.lanes[codes].visibility[5]];
    assert!(last.may_attend(&first) && !first.may_attend(&last));
}

#[test]
fn separate_vocabularies_do_not_predict_one_another() {
    let config = with_speech();
    let shape = RowShape { capacity: vec![6, 4, 2] };
    let mut builder = LayoutBuilder::new(config.sequence_format());
    builder.push_sample(&Spoken.document(1).unwrap(), &shape).unwrap();
    let layout = builder.finish(&shape);
    let LaneContent::NextToken { targets, .. } = &layout.lanes[SPEECH_TEXT].content else { panic!("ids") };
    assert_eq!(targets, &[Some(11), None], "the word's row cannot name a unit");
}

#[test]
fn ids_that_see_one_another_predict_nothing() {
    let config = with_speech();
    let segment = Segment { attention: Attention::Bidirectional, ..Segment::tokens(SPEECH, vec![1, 2, 3]) };
    let shape = RowShape { capacity: vec![0, 3, 0] };
    let mut builder = LayoutBuilder::new(config.sequence_format());
    builder.push_sample(&Sample { id: 0, segments: vec![segment] }, &shape).unwrap();
    let layout = builder.finish(&shape);
    let lane = &layout.lanes[SPEECH];
    assert!(lane.visibility[0].may_attend(&lane.visibility[2]));
    assert_eq!(layout.targets(SPEECH), 0);
}

#[test]
fn a_grid_that_ids_do_not_fill_is_refused() {
    let config = with_codes();
    let sample = Sample { id: 0, segments: vec![Segment::codes(0, vec![1, 2, 3], [2, 2])] };
    let mut builder = LayoutBuilder::new(config.sequence_format());
    let refused = builder.push_sample(&sample, &RowShape { capacity: vec![8, 6, 8] }).unwrap_err().to_string();
    assert!(refused.contains("3 ids for a grid of 2 × 2"), "{refused}");
}

/// The loss of one vocabulary is the mean over all its tokens, wherever they lie: the same as if all were one modality.
#[test]
fn codes_beside_text_have_the_loss_of_one_language_model() {
    let device = Device::flex();
    let config = with_codes();
    let model = Transfusion::new(&config, &mut WeightInit::new(1, &device)).unwrap();
    let segments = vec![Segment::tokens(2, vec![BOS, 5, BOI]), Segment::codes(0, vec![11, 12, 13, 14, 15, 16], [2, 3])];
    let shape = RowShape { capacity: vec![6, 0, 3] };
    let mut builder = LayoutBuilder::new(config.sequence_format());
    builder.push_sample(&Sample { id: 0, segments }, &shape).unwrap();
    let key = NoiseKey { seed: 0, step: 0 };
    let batch = TrainBatch::new(&[builder.finish(&shape)], &config, key, TimestepChoice::Sampled, &device);
    let predictions = model.forward(batch.input(), CacheUse::None);
    let loss = hybrid_loss(&model, &predictions, &batch, &ObjectiveConfig::default(), &Normalizer::of(&batch));
    let sums: Vec<(f32, usize)> =
        loss.modalities.iter().flatten().map(|part| (part.sum.clone().into_scalar::<f32>(), part.count)).collect();
    let mean = sums.iter().map(|(sum, _)| sum).sum::<f32>() / sums.iter().map(|(_, count)| *count as f32).sum::<f32>();
    assert_eq!(sums.iter().map(|(_, count)| *count).collect::<Vec<_>>(), [5, 3]);
    assert!((loss.total.into_scalar::<f32>() - mean).abs() < 1e-5);
}

#[test]
fn counts_know_that_a_tower_may_serve_several_lanes() {
    let config = with_codes();
    let model = Transfusion::new(&config, &mut WeightInit::new(1, &Device::flex())).unwrap();
    let counts = ParameterCounts::of(&model, &config);
    assert_eq!((counts.parts.len(), counts.towers.len()), (3, 2));
    assert_eq!(counts.stored, counts.backbone + counts.towers.iter().sum::<usize>());
    let flops = FlopsPerToken::of(&config, 16);
    assert_eq!(flops.towers[0], flops.towers[2], "a code's head is that of a word");
}

#[test]
fn faults_of_modalities_are_named() {
    let refused = |text: &str| -> String {
        let config: ModelConfig = toml::from_str(text).unwrap();
        config.validate().unwrap_err().to_string()
    };
    let with = |partition: &str, more: &str| refused(&format!("partition = {partition}\n{BACKBONE}{more}"));
    let parts = "[['text'], ['image'], ['codes']]";
    let codes = |rest: &str| with(parts, &format!("[modalities.codes]\nobjective = 'next_token'\n{rest}"));
    assert!(codes("vocabulary = 'image'").contains("modalities.codes.vocabulary: expected a next_token modality"));
    assert!(codes("vocabulary = 'codes'").contains("found `codes`"));
    assert!(codes("vocabulary = 'text'\nvocab_size = 9").contains("expected no other setting beside it"));
    assert!(codes("").contains("modalities.codes.vocab_size: expected the number of ids"));
    let dotted = with("[['text'], ['image'], ['a.b']]", "[modalities.'a.b']\nobjective = 'next_token'\nvocab_size = 3");
    assert!(dotted.contains("letters, digits"), "{dotted}");
}

/// Positions of a grid are the same whether its rows are ids or patches.
#[test]
fn codes_lie_where_patches_would() {
    for positions in [PositionScheme::Sequential, PositionScheme::Axial] {
        let config = ModelConfig { positions, ..with_codes() };
        let place = |segment: Segment, lane: usize| {
            let shape = RowShape { capacity: vec![6, 6, 4] };
            let mut builder = LayoutBuilder::new(config.sequence_format());
            let segments = vec![Segment::tokens(2, vec![BOS, BOI]), segment, Segment::tokens(2, vec![EOI, EOS])];
            builder.push_sample(&Sample { id: 0, segments }, &shape).unwrap();
            let layout = builder.finish(&shape);
            (layout.lanes[lane].positions.clone(), layout.lanes[2].positions.clone())
        };
        let codes = place(Segment::codes(0, vec![1; 6], [2, 3]), 0);
        assert_eq!(codes, place(Segment::image(1, latents(1, false)), 1), "{positions:?}");
    }
}
