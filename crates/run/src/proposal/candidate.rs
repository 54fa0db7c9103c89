//! Patch sizes and model sizes, in the order of what they cost.
//!
//! A candidate later in the order has no fewer rows an image and no fewer weights than one before it, so whoever has more minutes
//! and goes further along it never trains on fewer rows.

use std::collections::BTreeMap;

use interfuse_data::documents::MARKERS;
use interfuse_image_tower::{ImageTowerConfig, NoiseProcess, PredictionTarget, TimestepConditioning, TimestepSampling};
use interfuse_mot::BackboneConfig;
use interfuse_sequence::PositionScheme;
use interfuse_text_tower::TextTowerConfig;
use interfuse_transfusion::counts::backbone_parameters;
use interfuse_transfusion::{FlopsPerToken, ModalityConfig, ModelConfig};

use super::facts::Facts;

/// Widths and layers, each a fifth to a half dearer than the one before; 192 × 4 is the quickstart's and the shapes', 128 × 6
/// fashion's. Beyond those nothing was trained to its end here.
const SIZES: [(usize, usize); 22] = [
    (128, 4),
    (128, 5),
    (128, 6),
    (160, 5),
    (192, 4),
    (192, 5),
    (192, 6),
    (224, 6),
    (256, 6),
    (288, 6),
    (320, 6),
    (320, 8),
    (384, 7),
    (384, 8),
    (448, 8),
    (512, 8),
    (512, 10),
    (576, 10),
    (640, 10),
    (640, 12),
    (768, 10),
    (768, 12),
];
/// Which of them is the quickstart's: smaller patches are worth more than a larger model.
const QUICKSTART: usize = 4;
/// From which of them on patches become smaller once more.
const LARGE: usize = 12;
/// Base of the rotary angles, the presets': images and captions of so few rows need no slow ones.
pub(super) const ROPE_THETA: f64 = 100.0;
/// Width of a head.
const HEAD: usize = 32;
/// Rows of an image that its coarsest patches should make: as many as the quickstart's.
const FEWEST_PATCHES: usize = 16;
/// Rows of an image that finer patches should not go beyond.
const MANY_PATCHES: usize = 256;
/// Bytes that the program, the framework and the images that are kept take besides.
const BESIDES: usize = 512 << 20;
/// Room that packing leaves, as a factor.
const PACKING: f64 = 1.2;
const FLOAT: usize = size_of::<f32>();

/// A patch size and a model size.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Candidate {
    /// Side of a patch in pixels.
    pub patch_size: usize,
    /// Patches of an image.
    pub patches: usize,
    /// Width of the residual stream.
    pub d_model: usize,
    /// Number of layers.
    pub n_layers: usize,
}

impl Candidate {
    /// All candidates for an image size, from the cheapest to the dearest.
    pub(super) fn all(facts: &Facts) -> Vec<Self> {
        let size = facts.wishes.size;
        let patches = size.patches();
        let rows = |patch: &usize| size.patches_of(*patch);
        // The first is the coarsest with enough rows, or where there is none the finest; the others have more, but not too many.
        let first = patches.iter().position(|patch| rows(patch) >= FEWEST_PATCHES).unwrap_or(patches.len() - 1);
        let finer = patches[first + 1..].iter().filter(|patch| rows(patch) <= MANY_PATCHES);
        // Twice as many rows at least, or a finer patch is not worth its name.
        let mut chosen = vec![patches[first]];
        for &patch in finer {
            let last = chosen.last().map_or(0, rows);
            if rows(&patch) >= 2 * last && chosen.len() < 3 {
                chosen.push(patch);
            }
        }
        let turns = match chosen.len() {
            1 => vec![(chosen[0], 0..SIZES.len())],
            2 => vec![(chosen[0], 0..QUICKSTART + 1), (chosen[1], QUICKSTART..SIZES.len())],
            _ => vec![
                (chosen[0], 0..QUICKSTART + 1),
                (chosen[1], QUICKSTART..LARGE + 1),
                (chosen[2], LARGE..SIZES.len()),
            ],
        };
        let of_turn = |(patch_size, sizes): (usize, std::ops::Range<usize>)| {
            SIZES[sizes].iter().map(move |&(d_model, n_layers)| Self {
                patch_size,
                patches: size.patches_of(patch_size),
                d_model,
                n_layers,
            })
        };
        turns.into_iter().flat_map(of_turn).collect()
    }

    /// Number of heads.
    pub fn n_heads(&self) -> usize {
        self.d_model / HEAD
    }

    /// Width of the feed-forward: 8/3 of the model's, to a multiple of 64.
    pub fn d_ff(&self) -> usize {
        (8 * self.d_model / 3).next_multiple_of(64)
    }

    /// By how many pixels a patch reaches into its neighbours: a quarter.
    pub fn patch_overlap(&self) -> usize {
        (self.patch_size + 2) / 4
    }

    /// Rows of a document, the mean: its patches, its tokens and the markers.
    pub fn rows(&self, facts: &Facts) -> f64 {
        self.patches as f64 + facts.tokens() + MARKERS as f64
    }

    /// The model, with every size filled in.
    pub(super) fn model(&self, facts: &Facts) -> ModelConfig {
        let size = facts.wishes.size;
        let text = TextTowerConfig { vocab_size: facts.vocab_size(), ..TextTowerConfig::default() };
        let image = ImageTowerConfig {
            patch_size: self.patch_size,
            patch_overlap: self.patch_overlap(),
            unet: None,
            learned_positions: true,
            process: NoiseProcess::RectifiedFlow,
            prediction: PredictionTarget::Clean,
            skip: false,
            loss_space: None,
            timestep_conditioning: TimestepConditioning::AdaLn,
            timesteps: TimestepSampling::default(),
        };
        let backbone = BackboneConfig {
            d_ff: Some(self.d_ff()),
            qk_norm: true,
            rope_theta: ROPE_THETA,
            ..BackboneConfig::of(self.d_model, self.n_layers, self.n_heads())
        };
        ModelConfig {
            partition: vec![vec!["text".into()], vec!["image".into()]],
            positions: PositionScheme::Axial,
            latent_shape: [facts.channels(), size.height, size.width],
            backbone,
            modalities: BTreeMap::from([
                ("image".to_string(), ModalityConfig::Denoise(image)),
                ("text".to_string(), ModalityConfig::NextToken(text)),
            ]),
        }
    }

    /// Operations of training on a mean document.
    pub(super) fn flops(&self, facts: &Facts) -> f64 {
        let text = (facts.tokens() + MARKERS as f64).round() as usize;
        // In the order of the lanes, which is that of their names.
        FlopsPerToken::of_rows(&self.model(facts), &[self.patches, text])
    }

    /// Bytes of training on micro-batches of so many documents, `at_once` of them side by side: as [`crate::memory`] estimates
    /// of a plan, with the program besides.
    pub(super) fn memory(&self, facts: &Facts, documents: usize, at_once: usize) -> usize {
        let model = self.model(facts);
        let (d, ids) = (self.d_model, facts.vocab_size());
        let pixels = |side: usize| side * side * facts.channels();
        let reach = self.patch_size + 2 * self.patch_overlap();
        let towers = 2 * ids * d + d * (pixels(self.patch_size) + pixels(reach) + self.patches + 2 * d);
        let stored = backbone_parameters(&model).unwrap_or_default() + towers;
        let text =
            (documents as f64 * facts.tokens()).max(facts.longest_tokens() as f64) as usize + MARKERS * documents;
        let rows = ((text + documents * self.patches) as f64 * PACKING) as usize;
        let activations = rows * self.n_layers * (10 * d + 3 * self.d_ff());
        let logits = 2 * text * ids;
        BESIDES + FLOAT * (stored * (4 + at_once) + at_once * (activations + logits))
    }
}

#[cfg(test)]
mod tests {
    use super::super::facts::Size;
    use super::super::tests::facts;
    use super::*;

    #[test]
    fn the_order_never_falls_in_rows_weights_or_cost() {
        for text in ["32", "28", "8x16", "64", "48x64", "128", "31x17", "1", "512"] {
            let facts = facts(|facts| facts.wishes.size = Size::parse(text).unwrap());
            let all = Candidate::all(&facts);
            assert!(all.len() >= SIZES.len(), "{text}");
            for pair in all.windows(2) {
                let weights = |candidate: &Candidate| candidate.n_layers * candidate.d_model * candidate.d_model;
                assert!(pair[0].patches <= pair[1].patches && weights(&pair[0]) <= weights(&pair[1]), "{pair:?}");
                assert!(pair[0].flops(&facts) < pair[1].flops(&facts), "{text}: {pair:?}");
            }
            all.iter().for_each(|candidate| candidate.model(&facts).validate().unwrap());
        }
    }

    #[test]
    fn the_presets_are_among_the_candidates() {
        let has = |size: &str, patch_size, patch_overlap, d_model, n_layers, d_ff| {
            let facts = facts(|facts| facts.wishes.size = Size::parse(size).unwrap());
            Candidate::all(&facts).iter().any(|candidate| {
                let sizes = (candidate.patch_size, candidate.d_model, candidate.n_layers);
                sizes == (patch_size, d_model, n_layers)
                    && (candidate.patch_overlap(), candidate.d_ff()) == (patch_overlap, d_ff)
            })
        };
        assert!(has("32", 8, 2, 192, 4, 512), "quickstart");
        assert!(has("32", 4, 1, 192, 4, 512), "shapes");
        assert!(has("28", 7, 2, 128, 6, 384), "fashion");
        assert!(has("64", 16, 4, 192, 4, 512), "emoji of 64 × 64 by pixels");
    }

    #[test]
    fn memory_grows_with_documents_and_what_runs_at_once() {
        let facts = facts(|_| ());
        let all = Candidate::all(&facts);
        let (small, large) = (all[0], all[all.len() - 1]);
        assert!(small.memory(&facts, 8, 2) > small.memory(&facts, 8, 1));
        assert!(small.memory(&facts, 8, 1) > small.memory(&facts, 4, 1));
        assert!(large.memory(&facts, 4, 1) > 2 * small.memory(&facts, 4, 1));
    }
}
