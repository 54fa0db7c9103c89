//! Chameleon's setting: images are codes of one vocabulary with the text, learned and said one by one.

// A panic is how a test reports.
#![allow(clippy::unwrap_used)]

use std::sync::Arc;

use burn::tensor::{Device, Tensor};
use interfuse_checkpoint::{CodeIds, ModelCard, Pretrained};
use interfuse_data::{DataConfig, DocumentLanes, DocumentParts, ImageLatents};
use interfuse_data::{DocumentConfig, DocumentStream, Documents, Image, Tokenizer};
use interfuse_mot::CacheUse;
use interfuse_sampling::{ImageRequest, Piece, SamplingConfig, Session, caption, generate, write};
use interfuse_sequence::{Batch, LaneContent, LaneRows, LayoutBuilder, RowShape};
use interfuse_tests::run::{model_card, toml_source};
use interfuse_tests::*;
use interfuse_transfusion::{LaneInput, ModelConfig, ModelInput};
use interfuse_vae::{Codec, LatentPosterior, LatentRange, Latents, VaeError};
use ndarray::Array3;

const CAPTIONS: [&str; 4] = ["red apple", "green pear", "a very long name of a small blue plum", "fig"];
const GRID: [usize; 2] = [2, 3];
const CODES: usize = 5;

/// A code is the level of a pixel, of five.
struct Levels;

impl Codec for Levels {
    fn latent_shape(&self, image: [usize; 3]) -> Result<[usize; 3], VaeError> {
        Ok([1, image[1], image[2]])
    }

    fn posterior(&self, pixels: Array3<f32>) -> Result<LatentPosterior, VaeError> {
        let ids = pixels.mapv(|x| ((x + 1.0) / 2.0 * (CODES - 1) as f32).round());
        Ok(LatentPosterior { mean: ids.slice_move(ndarray::s![..1, .., ..]), log_variance: None })
    }

    fn scaled(&self, posterior: LatentPosterior) -> Latents {
        Latents { mean: posterior.mean, std: None }
    }

    fn decode(&self, latents: Array3<f32>) -> Result<Array3<f32>, VaeError> {
        assert!(latents.iter().all(|&id| id.fract() == 0.0 && (0.0..CODES as f32).contains(&id)), "{latents}");
        Ok(latents.mapv(|id| id / (CODES - 1) as f32 * 2.0 - 1.0))
    }

    fn latent_range(&self) -> Option<LatentRange> {
        None
    }

    fn codes(&self) -> Option<usize> {
        Some(CODES)
    }

    fn hash(&self) -> Option<&str> {
        Some("levels")
    }
}

fn tokenizer() -> Tokenizer {
    Tokenizer::train(CAPTIONS.into_iter(), 280).unwrap()
}

fn config(partition: &str, words: usize) -> ModelConfig {
    let text = format!(
        "partition = {partition}
        positions = 'axial'
        latent_shape = [1, {}, {}]
        [backbone]
        d_model = 16
        n_layers = 2
        n_heads = 2
        d_ff = 24
        qk_norm = true
        norm = 'post'
        [modalities.image]
        objective = 'next_token'
        vocabulary = 'text'
        [modalities.text]
        objective = 'next_token'
        vocab_size = {}
        z_loss = 1e-5",
        GRID[0],
        GRID[1],
        words + CODES
    );
    let config: ModelConfig = toml::from_str(&text).unwrap();
    config.validate().unwrap();
    config
}

fn pretrained(partition: &str) -> Pretrained {
    let (device, tokenizer) = (Device::flex(), tokenizer());
    let words = tokenizer.vocab_size();
    let config = config(partition, words);
    Pretrained {
        model: model(&config, 3, &device),
        card: ModelCard {
            codes: Some(CodeIds { first: words, count: CODES }),
            ..model_card(&config, &tokenizer, [1, GRID[0], GRID[1]])
        },
        codec: Arc::new(Levels),
        units: None,
        tokenizer,
        device,
    }
}

fn variants() -> [Pretrained; 2] {
    ["[['text'], ['image']]", "[['text', 'image']]"].map(pretrained)
}

fn requests() -> Vec<ImageRequest> {
    let request = |(seed, prompt): (usize, &&str)| ImageRequest::new(*prompt, 10 + seed as u64);
    CAPTIONS.iter().enumerate().map(request).collect()
}

fn sampling(guidance: f64) -> SamplingConfig {
    SamplingConfig { guidance, ..SamplingConfig::default() }
}

/// Reads `before`, six codes and `after` in one pass and returns the logits of every row in reading order.
fn at_once(pretrained: &Pretrained, before: &[u32], codes: &[u32], after: &[u32]) -> Vec<Tensor<2>> {
    let mut builder = LayoutBuilder::new(pretrained.card.model.sequence_format());
    builder.push_tokens(TEXT, before, None);
    builder.begin_grid(GRID);
    builder.push_tokens(IMAGE, codes, None);
    builder.push_tokens(TEXT, after, None);
    let batch = Batch::new(&[builder.take()], &pretrained.device);
    let lane = |lane: &Option<interfuse_sequence::LaneBatch>| match &lane.as_ref().unwrap().content {
        LaneRows::NextToken(rows) => Some(LaneInput::NextToken(rows.ids.clone())),
        LaneRows::Denoise(_) => panic!("ids"),
    };
    let lanes = batch.lanes.iter().map(lane).collect();
    let geometry = batch.lanes.iter().map(|lane| lane.as_ref().map(|lane| lane.geometry.clone())).collect();
    let predictions = pretrained.model.forward(ModelInput { lanes, geometry, dropout: None }, CacheUse::None);
    let row = |lane: usize, row: usize| {
        let logits = predictions.logits(lane).unwrap();
        let [_, _, vocab] = logits.dims();
        logits.narrow(1, row, 1).reshape([1, vocab])
    };
    let text = |rows: std::ops::Range<usize>| rows.map(|index| row(TEXT, index)).collect::<Vec<_>>();
    let images = (0..codes.len()).map(|index| row(IMAGE, index)).collect();
    [text(0..before.len()), images, text(before.len()..before.len() + after.len())].concat()
}

#[test]
fn cached_is_uncached() {
    for pretrained in variants() {
        let special = pretrained.card.special_tokens;
        let first = pretrained.card.codes.unwrap().first as u32;
        let before = [vec![special.bos], pretrained.tokenizer.encode("red apple").unwrap(), vec![special.boi]].concat();
        let codes = [3, 0, 4, 4, 1, 2].map(|code| first + code);
        let after = [special.eoi, special.eos];
        let expected = at_once(&pretrained, &before, &codes, &after);

        let mut session = Session::new(&pretrained, 1).unwrap();
        let mut found: Vec<Tensor<2>> = vec![];
        found.extend(before.iter().map(|&id| session.append_tokens(&[vec![id]]).unwrap()));
        session.open_grid(&[true], GRID);
        found.extend(codes.iter().map(|&id| session.append_codes(&[vec![id]]).unwrap()));
        found.extend(after.iter().map(|&id| session.append_tokens(&[vec![id]]).unwrap()));
        assert_eq!(found.len(), expected.len());
        for (row, (found, expected)) in found.into_iter().zip(expected).enumerate() {
            let gap = gap(found, expected);
            assert!(gap < 1e-4, "row {row}: {gap}");
        }
    }
}

#[test]
fn batched_is_single_with_and_without_guidance() {
    for pretrained in variants() {
        for guidance in [1.0, 3.0] {
            let config = SamplingConfig { top_k: Some(4), top_p: 0.9, ..sampling(guidance) };
            let together = generate(&pretrained, &requests(), &config, &mut |_| {}).unwrap();
            for (request, image) in requests().into_iter().zip(&together) {
                let alone = generate(&pretrained, &[request], &config, &mut |_| {}).unwrap();
                assert_eq!(alone[0], *image, "guidance {guidance}");
            }
        }
    }
}

#[test]
fn guidance_of_one_is_none_and_more_changes_images() {
    let pretrained = pretrained("[['text'], ['image']]");
    let images = |guidance| generate(&pretrained, &requests(), &sampling(guidance), &mut |_| {}).unwrap();
    let plain = images(1.0);
    assert_eq!(plain, images(1.0 + 1e-9), "two sessions, but the same logits");
    assert_ne!(plain, images(20.0));
    let greedy = |seed| {
        let requests = [ImageRequest::new("fig", seed)];
        let config = SamplingConfig { code_temperature: 0.0, ..sampling(1.0) };
        generate(&pretrained, &requests, &config, &mut |_| {}).unwrap()
    };
    assert_eq!(greedy(1), greedy(2), "the likeliest codes have no seed");
}

/// Weights at their start would say codes in captions and words in images as gladly as not.
#[test]
fn words_and_codes_stay_where_they_belong() {
    for pretrained in variants() {
        let config = SamplingConfig { max_caption_tokens: Some(12), max_tokens: 64, ..sampling(2.0) };
        let images = generate(&pretrained, &requests(), &config, &mut |_| {}).unwrap();
        let captions = caption(&pretrained, &images, &config, &mut |_| {}).unwrap();
        assert_eq!(captions.len(), 4);
        for (image, together) in images.iter().zip(&captions) {
            let alone = caption(&pretrained, std::slice::from_ref(image), &config, &mut |_| {}).unwrap();
            assert_eq!(alone[0], *together);
        }
        let seeds: Vec<u64> = (0..24).collect();
        let documents = write(&pretrained, &seeds, &config).unwrap();
        let generated = documents.iter().flatten().filter(|piece| matches!(piece, Piece::Image(_))).count();
        assert!(generated > 0, "no document has an image");
        for (seed, document) in seeds.iter().zip(&documents) {
            assert_eq!(write(&pretrained, &[*seed], &config).unwrap()[0], *document, "seed {seed}");
        }
    }
}

fn documents(folder: &std::path::Path, caption_dropout: f64) -> Documents {
    for (index, name) in CAPTIONS.iter().enumerate() {
        let levels = Array3::from_shape_fn((1, GRID[0], GRID[1]), |(_, y, x)| ((index + 3 * y + x) % CODES * 63) as u8);
        Image::new(levels).unwrap().save_png(&folder.join(format!("{index}.png"))).unwrap();
        std::fs::write(folder.join(format!("{index}.txt")), name).unwrap();
    }
    let source = toml_source(&format!("kind = \"folder\"\npath = {folder:?}\nheld_out = 0.0"));
    let data = DataConfig { image_size: GRID, channels: 1, horizontal_flip: 0.0, source, ..Default::default() };
    let source = interfuse_data::open(&data).unwrap().train;
    let tokenizer = tokenizer();
    let latents = ImageLatents::encoded(Arc::new(Levels), source.as_ref());
    let first_code = Some(tokenizer.vocab_size() as u32);
    let parts = DocumentParts { source, tokenizer, latents, first_code };
    let lanes = DocumentLanes { captions: TEXT, images: IMAGE };
    let config = DocumentConfig { image_first: 0.5, caption_dropout, ..Default::default() };
    Documents::new(parts, lanes, config, 0.0, 1)
}

#[test]
fn every_code_and_every_word_is_predicted_across_the_lanes() {
    let folder = tempfile::tempdir().unwrap();
    let mut documents = documents(folder.path(), 1.0);
    let special = documents.tokenizer().special();
    let first = documents.tokenizer().vocab_size() as u32;
    let format = config("[['text'], ['image']]", first as usize).sequence_format();
    let (mut image_first, mut without_caption) = (0, 0);
    for number in 0..32 {
        let sample = documents.document(number).unwrap();
        let ids: Vec<u32> = sample.segments.iter().flat_map(|segment| segment.ids().unwrap().to_vec()).collect();
        let shape = RowShape { capacity: vec![6, 48] };
        let mut builder = LayoutBuilder::new(format.clone());
        builder.push_sample(&sample, &shape).unwrap();
        let layout = builder.finish(&shape);
        let target = |(lane, row): (usize, usize)| match &layout.lanes[lane].content {
            LaneContent::NextToken { targets, .. } => targets[row],
            LaneContent::Denoise { .. } => panic!("ids"),
        };
        let targets: Vec<Option<u32>> = layout.reading_order().into_iter().map(target).collect();
        // Whatever follows is predicted, from one lane to the other and back; nothing follows the end.
        let expected: Vec<Option<u32>> = ids.iter().skip(1).map(|&id| Some(id)).chain([None]).collect();
        assert_eq!(targets, expected);
        let codes = ids.iter().filter(|&&id| id >= first);
        assert!(codes.clone().count() == 6 && codes.clone().all(|&id| id < first + CODES as u32));
        match ids[1] == special.boi {
            true if *ids.last().unwrap() == special.eos => image_first += 1,
            true => without_caption += 1,
            false => panic!("every caption that comes first is dropped"),
        }
    }
    assert!(image_first > 0 && without_caption > 0, "{image_first} {without_caption}");
}
