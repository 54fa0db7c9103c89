//! The checkpoints: small models that between them have every setting that changes what is computed.

use std::path::Path;

use burn::tensor::Device;
use interfuse_checkpoint::folder::{self, Contents};
use interfuse_checkpoint::{ModelCard, pretrained};
use interfuse_data::Tokenizer;
use interfuse_image_tower::{ImageTowerConfig, NoiseProcess, PredictionTarget, TimestepConditioning, UNetConfig};
use interfuse_mot::{NormPlacement, RopeScaling, WeightKind};
use interfuse_parameters::{export_weights, import_weights};
use interfuse_sequence::PositionScheme;
use interfuse_tests::run::model_card;
use interfuse_tests::{image_tower, model, mot_config, small_config};
use interfuse_text_tower::TextTowerConfig;
use interfuse_transfusion::{ModalityConfig, ModelConfig, Transfusion};

use crate::document::{Document, Piece};

/// A checkpoint and its documents.
pub(crate) struct Case {
    /// Its folder.
    pub(crate) name: &'static str,
    /// Its model.
    pub(crate) config: fn() -> ModelConfig,
    documents: fn() -> Vec<Document>,
    /// Whether the moving average of its weights, which is another model, lies in the folder as well.
    has_average: bool,
}

pub(crate) const CASES: [Case; 4] = [
    Case { name: "mixture", config: mixture, documents, has_average: false },
    Case { name: "dense", config: dense, documents, has_average: true },
    Case { name: "in-common", config: in_common, documents, has_average: false },
    Case { name: "codes", config: codes, documents: documents_of_codes, has_average: false },
];

/// Latents of all images.
const LATENTS: [usize; 3] = [3, 8, 8];

/// Mixture-of-Transformers: patches on axes of their own, adaLN, normed queries and keys in groups, a head of its own.
fn mixture() -> ModelConfig {
    let mut config = sized(mot_config());
    config.positions = PositionScheme::Axial;
    config.backbone.qk_norm = true;
    config.backbone.n_kv_heads = Some(1);
    // Three frequencies, one for each axis.
    config.backbone.head_dim = Some(6);
    let tower = ImageTowerConfig {
        patch_size: 4,
        learned_positions: true,
        prediction: PredictionTarget::Clean,
        timestep_conditioning: TimestepConditioning::AdaLn,
        ..image_tower(&mut config).clone()
    };
    *image_tower(&mut config) = tower;
    config
}

/// The dense model: DDPM, noise that starts from what is there, patches that overlap, a head that is the embedding, slowed angles.
fn dense() -> ModelConfig {
    let mut config = sized(small_config(&[&["text", "image"]]));
    config.backbone.rope_scaling = Some(RopeScaling::Linear { factor: 2.5 });
    config.backbone.qkv_bias = true;
    let tower = ImageTowerConfig {
        patch_size: 4,
        patch_overlap: 1,
        process: NoiseProcess::Ddpm,
        prediction: PredictionTarget::Noise,
        skip: true,
        timestep_conditioning: TimestepConditioning::AdaLn,
        ..image_tower(&mut config).clone()
    };
    *image_tower(&mut config) = tower;
    if let Some(ModalityConfig::NextToken(text)) = config.modalities.get_mut("text") {
        text.tied_head = true;
    }
    config
}

/// Two parts that have most weights in common, norms behind the sub-layers, heads of a width of their own, the U-Net patcher.
fn in_common() -> ModelConfig {
    let mut config = sized(mot_config());
    config.positions = PositionScheme::Shared;
    config.backbone.untie = vec![WeightKind::Ffn, WeightKind::Norm];
    config.backbone.untie_from = 1;
    config.backbone.norm = NormPlacement::Post;
    config.backbone.head_dim = Some(12);
    let rope = RopeScaling::Llama3 {
        factor: 8.0,
        low_frequency_factor: 1.0,
        high_frequency_factor: 4.0,
        original_positions: 16,
    };
    config.backbone.rope_scaling = Some(rope);
    let tower = ImageTowerConfig {
        patch_size: 4,
        unet: Some(UNetConfig { widths: vec![2, 4], blocks: 1, groups: 2 }),
        learned_positions: true,
        timestep_conditioning: TimestepConditioning::Patch,
        ..image_tower(&mut config).clone()
    };
    *image_tower(&mut config) = tower;
    config
}

/// Codes of images and text of one vocabulary, each with a part, and an image modality that conditions its rows.
fn codes() -> ModelConfig {
    let mut config = sized(small_config(&[&["codes"], &["text", "image"]]));
    config.positions = PositionScheme::Axial;
    image_tower(&mut config).timestep_conditioning = TimestepConditioning::Row;
    image_tower(&mut config).patch_size = 8;
    let shared = TextTowerConfig { vocabulary: Some("text".into()), ..TextTowerConfig::default() };
    config.modalities.insert("codes".into(), ModalityConfig::NextToken(shared));
    config
}

/// A model small enough to be committed, with the case's latents and the ids of its tokenizer.
fn sized(mut config: ModelConfig) -> ModelConfig {
    config.latent_shape = LATENTS;
    (config.backbone.d_model, config.backbone.d_ff) = (8, Some(12));
    if let Some(ModalityConfig::NextToken(text)) = config.modalities.get_mut("text") {
        text.vocab_size = tokenizer().vocab_size();
    }
    config
}

/// That of the small language models.
fn tokenizer() -> Tokenizer {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/language_model/llama/tokenizer.json");
    Tokenizer::load_with_markers(&path).unwrap()
}

fn text(ids: &[u32]) -> Piece {
    Piece::Tokens { modality: "text".into(), ids: ids.to_vec(), grid: None }
}

/// A wave, in four digits so that the file stays small.
fn image(seed: f32, t: f32) -> Piece {
    image_of(seed, t, LATENTS)
}

fn image_of(seed: f32, t: f32, shape: [usize; 3]) -> Piece {
    let count = shape.iter().product::<usize>();
    let value = |i: usize| ((seed + 1.7 * i as f32 + 0.9 * (5.3 * i as f32).sin()).sin() * 1e4).round() / 1e4;
    Piece::Image { modality: "image".into(), x_t: (0..count).map(value).collect(), shape, t }
}

/// Before an image: the first id that the tokenizer is given beyond its own 25.
const BOI: u32 = 25;
/// After it.
const EOI: u32 = 26;

/// Two images at two times among texts, the first a clean one; text alone; and an image of another size than the model's.
fn documents() -> Vec<Document> {
    let mixed = vec![text(&[0, BOI]), image(1.0, 0.0), text(&[EOI, 7, 9, BOI]), image(2.0, 0.8), text(&[EOI, 1])];
    let [channels, height, width] = LATENTS;
    let tall = vec![text(&[0, 6, BOI]), image_of(3.0, 0.6, [channels, 2 * height, width]), text(&[EOI, 1])];
    vec![mixed, vec![text(&[0, 14, 5, 21, 20, 1])], tall]
}

/// The codes of an image on its grid, then an image of latents.
fn documents_of_codes() -> Vec<Document> {
    let grid = Piece::Tokens { modality: "codes".into(), ids: vec![19, 24, 12, 23, 20, 17], grid: Some([2, 3]) };
    vec![vec![text(&[0, 5, BOI]), grid, text(&[EOI, 17, BOI]), image(4.0, 0.5), text(&[EOI, 1])]]
}

impl Case {
    /// Writes the checkpoint and its documents.
    pub(crate) fn write(&self, folder: &Path) {
        let config = (self.config)();
        let tokenizer = tokenizer();
        let card: ModelCard = model_card(&config, &tokenizer, LATENTS);
        let [model, average] = [1, 2].map(|seed| weighted(&config, seed));
        std::fs::create_dir_all(folder).unwrap();
        let contents =
            Contents { card: &card, model: &model, average: &average, tokenizer: &tokenizer.to_bytes().unwrap() };
        folder::write(folder, &contents).unwrap();
        if !self.has_average {
            std::fs::remove_file(pretrained::weights_file(folder, true)).unwrap();
        }
        let text = serde_json::to_string(&(self.documents)()).unwrap();
        std::fs::write(folder.join("documents.json"), text + "\n").unwrap();
    }
}

/// A model in which no norm is 1 and no bias or modulation 0, which would tell nothing apart.
fn weighted(config: &ModelConfig, seed: u64) -> Transfusion {
    let model = model(config, seed, &Device::flex());
    let mut weights = export_weights(&model);
    for (index, tensor) in weights.values_mut().enumerate() {
        let phase = seed as f32 + index as f32;
        for (i, value) in tensor.values.iter_mut().enumerate() {
            *value += 0.15 * (phase + 1.3 * i as f32 + 0.9 * (3.1 * i as f32).sin()).sin();
        }
    }
    import_weights(model, weights, Path::new("the case")).unwrap()
}
