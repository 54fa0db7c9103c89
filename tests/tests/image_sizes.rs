//! One model, images of several sizes: what it predicts, how their errors are averaged, and what is drawn.

// A panic is how a test reports.
#![allow(clippy::unwrap_used)]

use std::sync::Arc;

use burn::tensor::Device;
use interfuse_image_tower::{NoiseKey, TimestepChoice, TimestepConditioning};
use interfuse_mot::CacheUse;
use interfuse_sequence::{LatentImage, LayoutBuilder, PositionScheme, Sample, Segment};
use interfuse_tests::*;
use interfuse_transfusion::{
    ImageAveraging, ModelConfig, Normalizer, ObjectiveConfig, TrainBatch, Transfusion, hybrid_loss,
};
use ndarray::Array3;

const KEY: NoiseKey = NoiseKey { seed: 5, step: 7 };
const IMAGE: usize = 0;
const TEXT: usize = 1;

/// `height` by `width` latent pixels, of as many channels as all test images have.
fn latent_shape(height: usize, width: usize) -> [usize; 3] {
    [LATENT_SHAPE[0], height, width]
}

/// A caption and an image of a size.
fn document(id: u64, [channels, height, width]: [usize; 3]) -> Sample {
    let value = |(c, y, x): (usize, usize, usize)| ((id as usize * 31 + c * 7 + y * 3 + x) as f32 * 0.7).sin();
    let x_0 = Arc::new(Array3::from_shape_fn((channels, height, width), value));
    let image = Segment::image(IMAGE, LatentImage { x_0, precedes_caption: false });
    Sample { id, segments: vec![Segment::tokens(TEXT, vec![0, 5, 6, 2]), image, Segment::tokens(TEXT, vec![3, 1])] }
}

/// Documents with images of one size, one in each sequence with room for `room` of them.
fn batch(config: &ModelConfig, samples: &[Sample], room: usize) -> TrainBatch {
    let base = config.sequence_format();
    let format = Arc::new(base.with_latent_shape(samples[0].latent_shape().unwrap()));
    let shape = row_shape(room, 8 * room).at(&base, &format);
    let of = |samples: &[Sample]| {
        let mut builder = LayoutBuilder::new(Arc::clone(&format));
        samples.iter().for_each(|sample| builder.push_sample(sample, &shape).unwrap());
        builder.finish(&shape)
    };
    let layouts: Vec<_> = samples.chunks(room).map(of).collect();
    TrainBatch::new(&layouts, config, KEY, TimestepChoice::At(0.6), &Device::flex())
}

/// The predictions of all images of a batch, and what they are to be.
fn predictions(model: &Transfusion, batch: &TrainBatch) -> Vec<f32> {
    values(model.forward(batch.input(), CacheUse::None).images(IMAGE).unwrap())
}

fn configs() -> Vec<(&'static str, ModelConfig)> {
    let with = |change: &dyn Fn(&mut ModelConfig)| {
        let mut config = mot_config();
        change(&mut config);
        config
    };
    vec![
        ("axial", with(&|config| config.positions = PositionScheme::Axial)),
        ("learned places", with(&|config| image_tower(config).learned_positions = true)),
        (
            "overlap and adaptive norms",
            with(&|config| {
                let tower = image_tower(config);
                (tower.patch_overlap, tower.learned_positions) = (1, true);
                tower.timestep_conditioning = TimestepConditioning::AdaLn;
            }),
        ),
    ]
}

#[test]
fn an_image_of_any_size_is_as_if_alone() {
    let [_, height, width] = LATENT_SHAPE;
    for (name, config) in configs() {
        let model = model(&config, 3, &Device::flex());
        for shape in [latent_shape(2 * height, width), latent_shape(height, 2), latent_shape(2, 6 * width)] {
            let samples = [document(1, shape), document(2, shape)];
            let packed = predictions(&model, &batch(&config, &samples, 2));
            let alone: Vec<f32> = samples
                .iter()
                .flat_map(|sample| predictions(&model, &batch(&config, std::slice::from_ref(sample), 1)))
                .collect();
            assert_eq!(packed.len(), 2 * shape.iter().product::<usize>(), "{name}");
            let gap = packed.iter().zip(&alone).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max);
            assert!(gap < 1e-5, "{name}, {shape:?}: {gap}");
        }
    }
}

#[test]
fn a_patch_knows_its_place_in_an_image_of_any_size() {
    let [_, height, width] = LATENT_SHAPE;
    for (name, config) in configs() {
        let model = model(&config, 3, &Device::flex());
        let shape = latent_shape(2 * height, width);
        let mut sample = document(1, shape);
        // The same everywhere, so that only places tell patches apart.
        sample.segments[1] = Segment::image(
            IMAGE,
            LatentImage { x_0: Arc::new(Array3::from_elem(shape, 0.5)), precedes_caption: false },
        );
        let sample = Sample {
            segments: vec![sample.segments[0].clone(), sample.segments[1].clone().with_given(true)],
            ..sample
        };
        let found = predictions(&model, &batch(&config, &[sample], 1));
        let patch = |row: usize, column: usize| found[row * 2 * shape[2] + column * 2];
        let corners = [patch(0, 0), patch(0, width / 2 - 1), patch(height - 1, 0), patch(height - 1, width / 2 - 1)];
        for (place, corner) in corners.iter().enumerate() {
            assert!(corners[..place].iter().all(|other| other != corner), "{name}: {corners:?}");
        }
    }
}

/// What is minimised, of batches of one step.
fn total(model: &Transfusion, batches: &[TrainBatch], averaging: ImageAveraging) -> (f32, f32) {
    let config = ObjectiveConfig { image_averaging: averaging, ..ObjectiveConfig::default() };
    let config = ObjectiveConfig { weights: [("image".to_string(), 1.0), ("text".to_string(), 0.0)].into(), ..config };
    let normalizer = batches.iter().map(Normalizer::of).fold(Normalizer::default(), Normalizer::and);
    let losses = batches.iter().map(|batch| {
        let predictions = model.forward(batch.input(), CacheUse::None);
        let loss = hybrid_loss(model, &predictions, batch, &config, &normalizer);
        let image = loss.modalities[IMAGE].as_ref().unwrap();
        (values(loss.total)[0], values(image.sum.clone())[0])
    });
    losses.fold((0.0, 0.0), |sums, (total, sum)| (sums.0 + total, sums.1 + sum))
}

#[test]
fn errors_are_averaged_over_images_or_over_patches() {
    let [_, height, width] = LATENT_SHAPE;
    let config = mot_config();
    let model = model(&config, 3, &Device::flex());
    let small = || batch(&config, &[document(1, LATENT_SHAPE), document(2, LATENT_SHAPE)], 1);
    let large = || batch(&config, &[document(3, latent_shape(2 * height, 2 * width))], 1);
    let alone = |batch: TrainBatch| total(&model, &[batch], ImageAveraging::Image).1;
    // Two images of one size, and one of four times the patches.
    let (two, one) = (alone(small()), alone(large()));
    let both = || [small(), large()];
    let by_image = total(&model, &both(), ImageAveraging::Image);
    let by_patch = total(&model, &both(), ImageAveraging::Patch);
    assert!((by_image.0 - (two + one) / 3.0).abs() < 1e-5, "{by_image:?}");
    assert!((by_patch.0 - (two + 4.0 * one) / 6.0).abs() < 1e-5, "{by_patch:?}");
    assert_eq!(by_image.1, by_patch.1, "what is reported is the error of images");
    let of_one_size =
        [ImageAveraging::Image, ImageAveraging::Patch].map(|averaging| total(&model, &[small()], averaging).0);
    assert!((of_one_size[0] - of_one_size[1]).abs() < 1e-6, "{of_one_size:?}");
}
