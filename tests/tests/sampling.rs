//! Sampling: against the cache as without it, in a batch as alone, with guidance and without.

// A panic is how a test reports.
#![allow(clippy::unwrap_used)]

use std::ops::ControlFlow;

use burn::tensor::{Device, Tensor, TensorData};
use interfuse_checkpoint::Pretrained;
use interfuse_data::{Image, Tokenizer};
use interfuse_image_tower::{NoiseProcess, PredictionTarget, TimestepConditioning, TimestepSpacing, UNetConfig};
use interfuse_mot::{CacheUse, FeedForwardConfig};
use interfuse_sampling::{
    ImageRequest, Listener, Piece, SamplingConfig, Session, Solver, caption, caption_heard, generate, write,
};
use interfuse_sequence::{Batch, LaneRows, LayoutBuilder};
use interfuse_tests::run::model_card;
use interfuse_tests::*;
use interfuse_transfusion::{LaneInput, ModalityConfig, ModelInput};
use interfuse_vae::CodecConfig;

const CAPTIONS: [&str; 4] = ["red apple", "green pear", "a very long name of a small blue plum", "fig"];

/// A model of grey images of 4 × 6 pixels with weights as they are at the start.
fn pretrained(change: &dyn Fn(&mut interfuse_transfusion::ModelConfig)) -> Pretrained {
    let device = Device::flex();
    let tokenizer = Tokenizer::train(CAPTIONS.into_iter(), 280).expect("a tokenizer");
    let mut config = mot_config();
    config.latent_shape = [1, 4, 6];
    if let Some(ModalityConfig::NextToken(text)) = config.modalities.get_mut("text") {
        text.vocab_size = tokenizer.vocab_size();
    }
    change(&mut config);
    Pretrained {
        model: model(&config, 3, &device),
        card: model_card(&config, &tokenizer, [1, 4, 6]),
        codec: CodecConfig::Pixels.open(1, &device).expect("the pixel codec"),
        units: None,
        tokenizer,
        device,
    }
}

fn variants() -> Vec<(&'static str, Pretrained)> {
    vec![
        ("flow", pretrained(&|_| {})),
        (
            "clean prediction and adaptive norms",
            pretrained(&|config| {
                let tower = image_tower(config);
                tower.prediction = PredictionTarget::Clean;
                tower.timestep_conditioning = TimestepConditioning::AdaLn;
                config.backbone.n_kv_heads = Some(1);
            }),
        ),
        (
            "ddpm, axial",
            pretrained(&|config| {
                let tower = image_tower(config);
                (tower.process, tower.prediction) = (NoiseProcess::Ddpm, PredictionTarget::Noise);
                config.positions = interfuse_sequence::PositionScheme::Axial;
            }),
        ),
        (
            "u-net",
            pretrained(&|config| {
                let tower = image_tower(config);
                let halvings = tower.patch_size.ilog2() as usize;
                tower.unet = Some(UNetConfig { widths: vec![4; halvings], blocks: 1, groups: 2 });
            }),
        ),
        ("dense", pretrained(&|config| config.partition = vec![vec!["image".into(), "text".into()]])),
        (
            "weights in common",
            pretrained(&|config| {
                (config.backbone.untie, config.backbone.untie_from) = (vec![interfuse_mot::WeightKind::Ffn], 1);
            }),
        ),
        ("rows that choose experts", pretrained(&|config| config.backbone.feed_forward = experts("top_k"))),
    ]
}

fn experts(routing: &str) -> FeedForwardConfig {
    toml::from_str(&format!("kind = 'moe'\nexperts = 3\nrouting = '{routing}'")).unwrap()
}

/// What is sampled in a batch must not depend on it, even where a row's experts depend on other rows.
fn with_experts_that_choose() -> (&'static str, Pretrained) {
    ("experts that choose rows", pretrained(&|config| config.backbone.feed_forward = experts("expert_choice")))
}

fn requests() -> Vec<ImageRequest> {
    CAPTIONS.iter().enumerate().map(|(i, prompt)| ImageRequest::new(*prompt, 10 + i as u64)).collect()
}

fn sampling(guidance: f64) -> SamplingConfig {
    SamplingConfig { steps: 5, guidance, ..SamplingConfig::default() }
}

fn distance(a: &Image, b: &Image) -> i32 {
    a.pixels().iter().zip(b.pixels()).map(|(&a, &b)| (i32::from(a) - i32::from(b)).abs()).max().unwrap_or(0)
}

/// Tokens one by one and an image against the cache give what the whole sequence gives at once, whatever the image's size.
#[test]
fn cached_is_uncached() {
    for (name, pretrained) in variants() {
        let [channels, height, width] = pretrained.card.model.latent_shape;
        for latent_shape in [[channels, height, width], [channels, 2 * height, width]] {
            cached_is_uncached_at(name, &pretrained, latent_shape);
        }
    }
}

fn cached_is_uncached_at(name: &str, pretrained: &Pretrained, latent_shape: [usize; 3]) {
    let special = pretrained.card.special_tokens;
    let before = [vec![special.bos], pretrained.tokenizer.encode("red apple").unwrap(), vec![special.boi]].concat();
    let after = [special.eoi, special.eos];
    let [channels, height, width] = latent_shape;
    let x: Vec<f32> = (0..channels * height * width).map(|i| (i as f32 * 0.9).sin()).collect();
    let x = Tensor::<4>::from_data(TensorData::new(x, [1, channels, height, width]), &pretrained.device);

    let mut session = Session::new(pretrained, 1).unwrap();
    let mut cached = vec![];
    for &token in &before {
        cached.push(session.append_tokens(&[vec![token]]).unwrap());
    }
    let span = session.open_span(&[true], latent_shape);
    let noisy = session.predict(&span, x.clone(), 0.4).unwrap();
    session.commit(&span, x.clone());
    for &token in &after {
        cached.push(session.append_tokens(&[vec![token]]).unwrap());
    }

    let whole = |t: f32| {
        let mut builder = LayoutBuilder::new(pretrained.card.model.sequence_format());
        builder.set_latent_shape(latent_shape);
        builder.push_tokens(TEXT, &before, None);
        builder.push_blank_image(IMAGE, 0, 0);
        builder.push_tokens(TEXT, &after, None);
        let batch = Batch::new(&[builder.take()], &pretrained.device);
        let LaneRows::NextToken(rows) = &batch.lanes[TEXT].as_ref().unwrap().content else { panic!("text") };
        let images =
            LaneInput::Denoise { x_t: x.clone().unsqueeze_dim::<5>(1), t: Tensor::full([1, 1], t, &pretrained.device) };
        let lanes = vec![Some(images), Some(LaneInput::NextToken(rows.ids.clone()))];
        let geometry = batch.lanes.iter().map(|lane| lane.as_ref().map(|lane| lane.geometry.clone())).collect();
        pretrained.model.forward(ModelInput { lanes, geometry, dropout: None }, CacheUse::None)
    };
    let noisy_at_once = whole(0.4).images(IMAGE).unwrap().reshape([1, channels, height, width]);
    assert!(gap(noisy, noisy_at_once) < 1e-4, "{name}: the denoise step");
    let logits = whole(0.0).logits(TEXT).unwrap();
    let [_, rows, vocab] = logits.dims();
    let cached = Tensor::cat(cached, 0).reshape([1, rows, vocab]);
    assert!(gap(cached, logits) < 1e-4, "{name}: the logits");
}

#[test]
fn a_image_depends_on_its_prompt_and_seed_and_not_on_the_batch() {
    for (name, pretrained) in variants().into_iter().chain([with_experts_that_choose()]) {
        for guidance in [1.0, 3.0] {
            let config = sampling(guidance);
            let all = generate(&pretrained, &requests(), &config, &mut |_| {}).unwrap();
            let small = SamplingConfig { max_batch: 2, ..config.clone() };
            let alone: Vec<Image> = requests()
                .into_iter()
                .map(|request| generate(&pretrained, &[request], &small, &mut |_| {}).unwrap().remove(0))
                .collect();
            for (a, b) in all.iter().zip(&alone) {
                // Bytes may round to either side of a half.
                assert!(distance(a, b) <= 1, "{name}, guidance {guidance}");
            }
            let again = generate(&pretrained, &requests(), &config, &mut |_| {}).unwrap();
            assert_eq!(all, again, "{name}: the same seeds, the same images");
        }
    }
}

#[test]
fn seeds_and_prompts_make_a_difference_and_guidance_does_too() {
    let pretrained = pretrained(&|_| {});
    let one = |prompt: &str, seed, guidance| {
        let request = ImageRequest::new(prompt, seed);
        generate(&pretrained, &[request], &sampling(guidance), &mut |_| {}).unwrap().remove(0)
    };
    assert_ne!(one("fig", 1, 1.0), one("fig", 2, 1.0));
    assert_ne!(one("fig", 1, 1.0), one("green pear", 1, 1.0));
    assert_ne!(one("fig", 1, 1.0), one("fig", 1, 6.0));
}

#[test]
fn every_solver_draws_for_its_process_and_is_refused_for_the_other() {
    let (flow, ddpm) = (&variants()[0].1, &variants()[2].1);
    for (solver, fits, other) in [
        (Solver::Euler, flow, ddpm),
        (Solver::Heun, flow, ddpm),
        (Solver::Ddim, ddpm, flow),
        (Solver::Ancestral, ddpm, flow),
    ] {
        let config = SamplingConfig { solver: Some(solver), ..sampling(2.0) };
        assert_eq!(generate(fits, &requests(), &config, &mut |_| {}).unwrap().len(), 4, "{solver:?}");
        let message = generate(other, &requests(), &config, &mut |_| {}).err().unwrap().to_string();
        assert!(message.contains("sampling.solver: expected one of"), "{message}");
    }
}

#[test]
fn captions_do_not_depend_on_the_batch() {
    for (name, pretrained) in [("plain", pretrained(&|_| {})), with_experts_that_choose()] {
        let images = generate(&pretrained, &requests(), &sampling(1.0), &mut |_| {}).unwrap();
        let config = SamplingConfig { max_caption_tokens: Some(6), ..SamplingConfig::default() };
        let all = caption(&pretrained, &images, &config, &mut |_| {}).unwrap();
        for (image, expected) in images.iter().zip(&all) {
            let alone = caption(&pretrained, std::slice::from_ref(image), &config, &mut |_| {}).unwrap();
            assert_eq!(&alone[0], expected, "{name}");
        }
    }
}

/// What was heard of each item, and after how many words nobody listens any more.
struct Ear {
    heard: Vec<Vec<String>>,
    patience: usize,
}

impl Listener for Ear {
    fn wrote(&mut self, item: usize, words: &str) -> ControlFlow<()> {
        self.heard[item].push(words.into());
        self.patience = self.patience.saturating_sub(1);
        if self.patience == 0 { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
    }
}

#[test]
fn a_caption_is_heard_word_by_word_as_it_will_be() {
    let (mut most, mut given_up) = (0, 0);
    for (name, pretrained) in variants().into_iter().chain([with_experts_that_choose()]) {
        let images = generate(&pretrained, &requests(), &sampling(1.0), &mut |_| {}).unwrap();
        let config = SamplingConfig { max_caption_tokens: Some(12), ..SamplingConfig::default() };
        let expected = caption(&pretrained, &images, &config, &mut |_| {}).unwrap();
        let ear = |patience| Ear { heard: vec![vec![]; images.len()], patience };
        let mut patient = ear(usize::MAX);
        let captions = caption_heard(&pretrained, &images, &config, &mut patient).unwrap();
        assert_eq!(captions.as_ref(), Some(&expected), "{name}");
        for (heard, caption) in patient.heard.iter().zip(&expected) {
            assert_eq!(heard.concat(), caption.text, "{name}");
            most = most.max(heard.len());
        }
        let mut impatient = ear(2);
        if caption_heard(&pretrained, &images, &config, &mut impatient).unwrap().is_none() {
            given_up += 1;
            assert_eq!(impatient.heard.concat().len(), 2, "{name}");
        }
    }
    assert!(most > 2 && given_up > 0, "{most} words of a caption at most, {given_up} given up");
}

#[test]
fn a_caption_that_was_cut_says_so() {
    let pretrained = pretrained(&|_| {});
    let images = generate(&pretrained, &requests(), &sampling(1.0), &mut |_| {}).unwrap();
    let captions = |limit| {
        let config = SamplingConfig { max_caption_tokens: limit, ..SamplingConfig::default() };
        caption(&pretrained, &images, &config, &mut |_| {}).unwrap()
    };
    // An untrained model repeats itself and comes to no end; without a limit it is that of the training rows.
    assert!(captions(Some(2)).iter().all(|caption| caption.cut_at == Some(2)));
    assert!(captions(None).iter().all(|caption| caption.cut_at.is_none_or(|limit| limit == 48)));
}

#[test]
fn images_between_words_are_guided_as_those_of_prompts() {
    let pretrained = pretrained(&|_| {});
    let documents = |guidance| {
        let config = SamplingConfig { max_tokens: 40, temperature: 3.0, ..sampling(guidance) };
        write(&pretrained, &(0..24).collect::<Vec<_>>(), &config).unwrap()
    };
    let images = |documents: &[Vec<Piece>]| -> Vec<Option<Image>> {
        let first = documents.iter().map(|pieces| pieces.iter().find(|piece| matches!(piece, Piece::Image(_))));
        first
            .map(|piece| piece.and_then(|piece| if let Piece::Image(x) = piece { Some(x.clone()) } else { None }))
            .collect()
    };
    let (plain, guided) = (documents(1.0), documents(4.0));
    // The first image comes before anything that depends on the guidance.
    let pairs: Vec<_> = images(&plain).into_iter().zip(images(&guided)).filter(|(a, _)| a.is_some()).collect();
    assert!(!pairs.is_empty() && pairs.iter().all(|(a, b)| b.is_some() && a != b));

    // A document that begins with BOI holds nothing that could guide its image.
    for (document, (a, b)) in plain.iter().zip(images(&plain).into_iter().zip(images(&guided))) {
        if matches!(document.first(), Some(Piece::Image(_))) {
            assert!(distance(&a.unwrap(), &b.unwrap()) <= 1);
        }
    }
}

#[test]
fn the_model_writes_and_draws_by_itself_and_the_same_seed_does_the_same() {
    let pretrained = pretrained(&|_| {});
    let config = SamplingConfig { max_tokens: 40, temperature: 3.0, ..sampling(1.0) };
    let seeds: Vec<u64> = (0..24).collect();
    let documents = write(&pretrained, &seeds, &config).unwrap();
    let generated = documents.iter().flatten().filter(|piece| matches!(piece, Piece::Image(_))).count();
    assert!(generated > 0, "an untrained model opens an image now and then");
    let words = |document: &[Piece]| -> Vec<Option<String>> {
        document.iter().map(|piece| if let Piece::Text(text) = piece { Some(text.clone()) } else { None }).collect()
    };
    for (seed, together) in seeds.iter().zip(&documents) {
        let alone = write(&pretrained, &[*seed], &config).unwrap();
        assert_eq!(words(&alone[0]), words(together), "seed {seed}");
    }
}

#[test]
fn a_prompt_that_is_too_long_is_named() {
    let pretrained = pretrained(&|_| {});
    let request = ImageRequest::new("plum ".repeat(30), 0);
    let message = generate(&pretrained, &[request], &sampling(1.0), &mut |_| {}).err().unwrap().to_string();
    assert!(message.contains("the prompt \"plum") && message.contains("at most 48"), "{message}");
}

#[test]
fn settings_outside_their_range_are_named() {
    let pretrained = pretrained(&|_| {});
    let refused =
        |config: SamplingConfig| generate(&pretrained, &requests(), &config, &mut |_| {}).err().unwrap().to_string();
    assert!(refused(SamplingConfig { steps: 0, ..sampling(1.0) }).contains("sampling.steps: expected at least 1"));
    assert!(refused(sampling(f64::NAN)).contains("sampling.guidance: expected a number from 0, found NaN"));
    let leading = SamplingConfig { spacing: Some(TimestepSpacing::Leading), ..sampling(1.0) };
    assert!(refused(leading).contains("sampling.spacing: expected Trailing"));
    let no_words = SamplingConfig { max_caption_tokens: Some(0), ..sampling(1.0) };
    assert!(refused(no_words).contains("sampling.max_caption_tokens: expected at least 1"));
    assert!(refused(SamplingConfig { shift: 0.0, ..sampling(1.0) }).contains("sampling.shift"));
}
