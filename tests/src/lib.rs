//! Fixtures shared by the integration tests: small models, small samples, and ways to compare tensors.

pub mod ranks;
pub mod run;

use std::collections::BTreeMap;
use std::sync::Arc;

use burn::tensor::{Device, Tensor};
use interfuse_image_tower::{ImageTowerConfig, TimestepConditioning};
use interfuse_kernels::WeightInit;
use interfuse_mot::BackboneConfig;
use interfuse_parameters::{HostTensors, export_weights};
use interfuse_sequence::{LatentImage, LayoutBuilder, PositionScheme, RowShape, Sample, Segment, SequenceLayout};
use interfuse_text_tower::TextTowerConfig;
use interfuse_transfusion::{ModalityConfig, ModelConfig, Transfusion};
use ndarray::Array3;

/// The lane of images: lanes are in the order of the modalities' names.
pub const IMAGE: usize = 0;
/// The lane of text.
pub const TEXT: usize = 1;
/// `[channels, height, width]` of the small images; with patches of 2 an image takes 6 rows.
pub const LATENT_SHAPE: [usize; 3] = [2, 4, 6];
/// Ids of the small vocabulary.
pub const VOCAB: usize = 23;
/// Markers of the small vocabulary.
pub const BOS: u32 = 0;
/// End of a document.
pub const EOS: u32 = 1;
/// Before an image.
pub const BOI: u32 = 2;
/// After an image.
pub const EOI: u32 = 3;

/// The GPU: by the feature that the test was built with, or, with both, wgpu if `INTERFUSE_TEST_DEVICE` says so.
#[cfg(any(feature = "cuda", feature = "wgpu"))]
pub fn gpu() -> Device {
    #[cfg(all(feature = "cuda", feature = "wgpu"))]
    if std::env::var("INTERFUSE_TEST_DEVICE").is_ok_and(|name| name == "wgpu") {
        return Device::wgpu(burn::tensor::DeviceKind::DefaultDevice);
    }
    #[cfg(feature = "cuda")]
    return Device::cuda(burn::tensor::DeviceIndex::Default);
    #[cfg(not(feature = "cuda"))]
    return Device::wgpu(burn::tensor::DeviceKind::DefaultDevice);
}

/// A small model of two layers; `partition` in the configuration's notation.
pub fn small_config(parts: &[&[&str]]) -> ModelConfig {
    let image = ImageTowerConfig {
        patch_size: 2,
        patch_overlap: 0,
        unet: None,
        learned_positions: false,
        process: Default::default(),
        prediction: Default::default(),
        skip: false,
        loss_space: None,
        timestep_conditioning: TimestepConditioning::Patch,
        timesteps: Default::default(),
    };
    let text = TextTowerConfig { vocab_size: VOCAB, ..TextTowerConfig::default() };
    ModelConfig {
        partition: parts.iter().map(|names| names.iter().map(|name| name.to_string()).collect()).collect(),
        positions: PositionScheme::Sequential,
        latent_shape: LATENT_SHAPE,
        backbone: BackboneConfig { d_ff: Some(24), ..BackboneConfig::of(16, 2, 2) },
        modalities: BTreeMap::from([
            ("image".to_string(), ModalityConfig::Denoise(image)),
            ("text".to_string(), ModalityConfig::NextToken(text)),
        ]),
    }
}

/// Mixture-of-Transformers over text and image.
pub fn mot_config() -> ModelConfig {
    small_config(&[&["text"], &["image"]])
}

/// The settings of the image tower, to be changed.
pub fn image_tower(config: &mut ModelConfig) -> &mut ImageTowerConfig {
    match config.modalities.get_mut("image") {
        Some(ModalityConfig::Denoise(image)) => image,
        _ => panic!("the small model has images"),
    }
}

/// A model with weights of its own for each seed.
pub fn model(config: &ModelConfig, seed: u64, device: &Device) -> Transfusion {
    Transfusion::new(config, &mut WeightInit::new(seed, device)).expect("the small configuration is valid")
}

/// An image whose values depend on `seed`.
pub fn latents(seed: u64, precedes_caption: bool) -> LatentImage {
    let [channels, height, width] = LATENT_SHAPE;
    let value = |(c, y, x): (usize, usize, usize)| ((seed * 97 + (c * 31 + y * 7 + x) as u64) as f32 * 0.7).sin();
    LatentImage { x_0: Arc::new(Array3::from_shape_fn((channels, height, width), value)), precedes_caption }
}

/// A stretch of text.
pub fn text(ids: &[u32]) -> Segment {
    Segment::tokens(TEXT, ids.to_vec())
}

/// A stretch of one image.
pub fn image(seed: u64, precedes_caption: bool) -> Segment {
    Segment::image(IMAGE, latents(seed, precedes_caption))
}

/// `BOS caption BOI [image] EOI EOS`
pub fn caption_first(id: u64, caption: &[u32]) -> Sample {
    let before = [&[BOS], caption, &[BOI]].concat();
    Sample { id, segments: vec![text(&before), image(id, false), text(&[EOI, EOS])] }
}

/// `BOS BOI [image] EOI caption EOS`
pub fn image_first(id: u64, caption: &[u32]) -> Sample {
    let after = [&[EOI], caption, &[EOS]].concat();
    Sample { id, segments: vec![text(&[BOS, BOI]), image(id, true), text(&after)] }
}

/// Text, image, text, image, text.
pub fn interleaved(id: u64) -> Sample {
    let segments =
        vec![text(&[BOS, 5, BOI]), image(id, false), text(&[EOI, 6, 7, BOI]), image(id + 50, false), text(&[EOI, EOS])];
    Sample { id, segments }
}

/// Text alone.
pub fn text_only(id: u64, ids: &[u32]) -> Sample {
    Sample { id, segments: vec![text(&[&[BOS], ids, &[EOS]].concat())] }
}

/// Packs samples into one sequence.
pub fn pack(config: &ModelConfig, samples: &[Sample], shape: &RowShape) -> SequenceLayout {
    let mut builder = LayoutBuilder::new(config.sequence_format());
    for sample in samples {
        builder.push_sample(sample, shape).expect("the samples fit the row shape");
    }
    builder.finish(shape)
}

/// Rows of the image lane and of the text lane.
pub fn row_shape(images: usize, text: usize) -> RowShape {
    let rows_per_image = LATENT_SHAPE[1] / 2 * LATENT_SHAPE[2] / 2;
    RowShape { capacity: vec![images * rows_per_image, text] }
}

/// The largest absolute difference of two tensors of one shape.
pub fn gap<const R: usize>(a: Tensor<R>, b: Tensor<R>) -> f32 {
    assert_eq!(a.dims(), b.dims());
    (values(a).into_iter().zip(values(b))).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max)
}

/// The values of a tensor, row by row.
pub fn values<const R: usize>(tensor: Tensor<R>) -> Vec<f32> {
    tensor.into_data().convert::<f32>().try_to_vec().expect("f32")
}

/// All weights of a model.
pub fn weights(model: &Transfusion) -> HostTensors {
    export_weights(model)
}

/// The largest absolute difference of two sets of weights of the same names.
pub fn weight_gap(a: &HostTensors, b: &HostTensors) -> f32 {
    assert!(a.keys().eq(b.keys()), "the same weights");
    let gaps = a.iter().flat_map(|(name, a)| a.values.iter().zip(&b[name].values).map(|(a, b)| (a - b).abs()));
    gaps.fold(0.0, f32::max)
}
