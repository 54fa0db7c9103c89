//! The models of the papers: Transfusion (2408.11039, table 2) and Mixture-of-Transformers (2411.04996, tables 1 and 4), as
//! configurations that can be counted without being made.
//!
//! The papers name their models by the parameters that a row activates, vocabulary included; three names are loose.
//! *0.76B* of Transfusion has 777.9 M; *443M* of Chameleon has 442.5 M with the vocabulary of 65,536 that the other names imply,
//! but is 373M in one figure, which is its size with 32,000. Transfusion's U-Net of *0.27B across all configurations* contradicts
//! its own table 7 in the smallest model, so that adapters are counted here as what is certain: the linear ones.

use std::collections::BTreeMap;

use interfuse_image_tower::{ImageTowerConfig, NoiseProcess, PredictionTarget, TimestepConditioning};
use interfuse_mot::{BackboneConfig, FeedForwardConfig, MoeConfig, Routing};
use interfuse_sequence::PositionScheme;
use interfuse_text_tower::TextTowerConfig;
use serde::{Deserialize, Serialize};

use crate::config::{ModalityConfig, ModelConfig};

/// Rows of a sequence in both papers.
pub const SEQUENCE: usize = 4096;

/// What is learned and how.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum PaperSetting {
    /// Text of 32,000 ids by next-token prediction, latents `[8, 32, 32]` by denoising, in 256 patches an image.
    Transfusion,
    /// Text and image codes, one vocabulary of 65,536, 1,024 codes an image.
    Chameleon,
    /// The same with speech units as a third modality of the vocabulary.
    Speech,
}

/// How the weights are kept apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Architecture {
    /// All modalities share all weights.
    Dense,
    /// Every modality has its own.
    Mot,
    /// Shared, with four experts as the feed-forward, which choose their rows.
    Moe4x,
}

/// A model of a paper.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct PaperSize {
    /// What the paper calls it.
    pub name: &'static str,
    /// Width of the residual stream.
    pub d_model: usize,
    /// Number of layers.
    pub n_layers: usize,
    /// Number of heads.
    pub n_heads: usize,
    /// Sequences of an optimizer step.
    pub sequences: usize,
    /// Optimizer steps.
    pub steps: usize,
}

const fn size(name: &'static str, shape: [usize; 3], sequences: usize, steps: usize) -> PaperSize {
    let [d_model, n_layers, n_heads] = shape;
    PaperSize { name, d_model, n_layers, n_heads, sequences, steps }
}

/// Mixture-of-Transformers, table 4: 512 sequences are 2.10 M rows.
const TRANSFUSION: [PaperSize; 4] = [
    size("163m", [768, 16, 12], 512, 250_000),
    size("760m", [1536, 24, 24], 512, 250_000),
    size("1.4b", [2048, 24, 16], 512, 250_000),
    size("7b", [4096, 32, 32], 512, 250_000),
];

/// Mixture-of-Transformers, table 1: GPUs times the batch of each.
const CHAMELEON: [PaperSize; 5] = [
    size("37m", [256, 4, 8], 32 * 12, 160_000),
    size("94m", [512, 8, 8], 32 * 8, 160_000),
    size("443m", [1024, 24, 16], 64 * 6, 160_000),
    size("1.5b", [2048, 24, 16], 128 * 4, 120_000),
    size("7b", [4096, 32, 32], 384 * 2, 120_000),
];

/// The speech setting: those of Chameleon, and one between.
const SPEECH: [PaperSize; 6] = [
    CHAMELEON[0],
    CHAMELEON[1],
    CHAMELEON[2],
    size("880m", [1536, 24, 24], 128 * 4, 120_000),
    CHAMELEON[3],
    CHAMELEON[4],
];

impl PaperSetting {
    /// The sizes that the paper trains.
    pub fn sizes(self) -> &'static [PaperSize] {
        match self {
            Self::Transfusion => &TRANSFUSION,
            Self::Chameleon => &CHAMELEON,
            Self::Speech => &SPEECH,
        }
    }

    /// Ids of the text's vocabulary.
    fn vocab_size(self) -> usize {
        match self {
            Self::Transfusion => 32_000,
            Self::Chameleon | Self::Speech => 65_536,
        }
    }

    fn modalities(self) -> BTreeMap<String, ModalityConfig> {
        let text = TextTowerConfig { vocab_size: self.vocab_size(), ..TextTowerConfig::default() };
        let shared = || {
            let vocabulary = Some("text".to_string());
            ModalityConfig::NextToken(TextTowerConfig { vocabulary, ..TextTowerConfig::default() })
        };
        let mut modalities = BTreeMap::from([("text".to_string(), ModalityConfig::NextToken(text))]);
        let image = match self {
            Self::Transfusion => ModalityConfig::Denoise(image_tower()),
            Self::Chameleon | Self::Speech => shared(),
        };
        modalities.insert("image".into(), image);
        if self == Self::Speech {
            modalities.insert("speech".into(), shared());
        }
        modalities
    }
}

/// Transfusion's linear patcher; its parameters are those that table 7 implies.
fn image_tower() -> ImageTowerConfig {
    ImageTowerConfig {
        patch_size: 2,
        patch_overlap: 0,
        unet: None,
        learned_positions: false,
        process: NoiseProcess::Ddpm,
        prediction: PredictionTarget::Noise,
        skip: false,
        loss_space: None,
        timestep_conditioning: TimestepConditioning::Row,
        timesteps: Default::default(),
    }
}

impl PaperSize {
    /// The model of this size, in a setting and an architecture.
    pub fn model(&self, setting: PaperSetting, architecture: Architecture) -> ModelConfig {
        let modalities = setting.modalities();
        let names: Vec<String> = modalities.keys().cloned().collect();
        let partition = match architecture {
            Architecture::Mot => names.into_iter().map(|name| vec![name]).collect(),
            Architecture::Dense | Architecture::Moe4x => vec![names],
        };
        let feed_forward = match architecture {
            Architecture::Moe4x => FeedForwardConfig::Moe(four_experts()),
            Architecture::Dense | Architecture::Mot => FeedForwardConfig::default(),
        };
        ModelConfig {
            partition,
            positions: PositionScheme::Sequential,
            latent_shape: [8, 32, 32],
            backbone: BackboneConfig { feed_forward, ..BackboneConfig::of(self.d_model, self.n_layers, self.n_heads) },
            modalities,
        }
    }

    /// Rows of an optimizer step.
    pub fn rows_per_step(&self) -> usize {
        self.sequences * SEQUENCE
    }

    /// Rows of the whole training.
    pub fn rows(&self) -> usize {
        self.rows_per_step() * self.steps
    }
}

/// MoE-4x: four experts that choose, each the rows of one network in four.
fn four_experts() -> MoeConfig {
    MoeConfig {
        experts: 4,
        routing: Routing::ExpertChoice,
        d_ff: None,
        capacity: None,
        top_k: None,
        normalize_gates: None,
        balance_loss: None,
        balance_over: None,
        z_loss: None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::counts::{FlopsPerToken, backbone_parameters};

    /// The backbone, and the vocabulary's embedding and head.
    fn named(setting: PaperSetting, architecture: Architecture, size: &PaperSize) -> usize {
        let model = size.model(setting, architecture);
        model.validate().unwrap();
        backbone_parameters(&model).unwrap() + 2 * setting.vocab_size() * size.d_model
    }

    #[test]
    fn dense_models_have_the_parameters_that_their_names_say() {
        let counts = |setting: PaperSetting| -> Vec<usize> {
            setting.sizes().iter().map(|size| named(setting, Architecture::Dense, size)).collect()
        };
        // The backbone's are table 2 of Transfusion by arithmetic: 113,271,552 and so on, with 2 · 32,000 · d_model besides.
        assert_eq!(counts(PaperSetting::Transfusion), [162_423_552, 777_856_512, 1_364_297_728, 6_738_415_616]);
        let millions: Vec<f64> =
            counts(PaperSetting::Speech).iter().map(|&n| (n as f64 / 1e5).round() / 10.0).collect();
        assert_eq!(millions, [37.0, 94.4, 442.5, 880.9, 1501.7, 7013.1]);
    }

    #[test]
    fn a_mixture_stores_a_backbone_for_every_modality() {
        let stored = |setting: PaperSetting, name: &str| {
            let size = setting.sizes().iter().find(|size| size.name == name).unwrap();
            named(setting, Architecture::Mot, size)
        };
        assert_eq!(stored(PaperSetting::Transfusion, "163m"), 275_695_104);
        assert_eq!(stored(PaperSetting::Transfusion, "760m"), 1_457_409_024);
        assert_eq!(stored(PaperSetting::Transfusion, "1.4b"), 2_597_523_456);
        assert_eq!(stored(PaperSetting::Transfusion, "7b"), 13_214_687_232);
        assert_eq!(stored(PaperSetting::Speech, "7b"), 19_965_685_760);
    }

    #[test]
    fn a_step_takes_the_rows_that_the_paper_states() {
        let millions = |size: &PaperSize| (size.rows_per_step() as f64 / 1e4).round() / 100.0;
        let steps: Vec<f64> = CHAMELEON.iter().map(millions).collect();
        assert_eq!(steps, [1.57, 1.05, 1.57, 2.1, 3.15]);
        assert_eq!((TRANSFUSION[0].rows() as f64 / 1e9).round(), 524.0);
    }

    #[test]
    fn flops_of_a_row_are_those_of_the_formula_and_the_same_for_all_architectures_but_the_router() {
        let expected = [(6.795e8, 3.020e8, 1.475e8), (4.077e9, 9.060e8, 2.949e8), (7.399e9, 1.208e9, 3.932e8)];
        for (size, (matrices, attention, head)) in TRANSFUSION.iter().zip(expected) {
            let flops =
                |architecture| FlopsPerToken::of(&size.model(PaperSetting::Transfusion, architecture), SEQUENCE);
            let (dense, mot, moe) = (flops(Architecture::Dense), flops(Architecture::Mot), flops(Architecture::Moe4x));
            // Lanes are in the order of the names: image, text.
            let close =
                |found: f64, expected: f64| assert!((found / expected - 1.0).abs() < 2e-3, "{found} {expected}");
            close(dense.matrices[1], matrices);
            close(dense.causal_attention, attention);
            close(dense.towers[1], head);
            assert_eq!(dense, mot);
            let router = 6.0 * (size.n_layers * 4 * size.d_model) as f64;
            assert_eq!(moe.matrices[1], dense.matrices[1] + router);
        }
    }
}
