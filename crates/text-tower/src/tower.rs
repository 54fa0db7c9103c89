//! The embedding and the head of a vocabulary.
//!
//! Dimensions: `B` batch, `S` rows of the lane, `D` width of the model, `V` vocabulary.

use burn::module::{Module, Param};
use burn::tensor::{Int, Tensor};
use interfuse_kernels::embedding::embed;
use interfuse_kernels::linear::product_with_rows;
use interfuse_kernels::{Linear, WeightInit};
use serde::{Deserialize, Serialize};

/// Settings of a discrete modality.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TextTowerConfig {
    /// The modality whose vocabulary this one shares, with embedding, head and the settings below (Chameleon: one vocabulary
    /// of text and image codes); its own if absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub vocabulary: Option<String>,
    /// Number of ids, to 16,777,216; 0 takes those of the tokenizer.
    #[serde(default)]
    pub vocab_size: usize,
    /// Whether the head uses the embedding's weights.
    #[serde(default)]
    pub tied_head: bool,
    /// Weight of the z-loss `log² Z`; 0 leaves it out, Chameleon takes 1e-5.
    #[serde(default)]
    pub z_loss: f64,
}

/// The two ends of a vocabulary.
#[derive(Module, Debug)]
pub struct TextTower {
    /// `[V, D]`
    embedding: Param<Tensor<2>>,
    /// `None` when tied to the embedding.
    head: Option<Linear>,
    #[module(skip)]
    z_loss: f64,
}

impl TextTower {
    /// Normal embeddings: of standard deviation 1, PyTorch's default, or 0.02 where they serve as head as well and must
    /// start with small logits.
    pub fn new(config: &TextTowerConfig, d_model: usize, init: &mut WeightInit) -> Self {
        let std = if config.tied_head { 0.02 } else { 1.0 };
        let embedding = init.normal([config.vocab_size, d_model], std);
        let head = (!config.tied_head).then(|| Linear::new(d_model, config.vocab_size, init));
        Self { embedding, head, z_loss: config.z_loss }
    }

    /// # Shapes
    /// - `ids`: `[B, S]`; returns `[B, S, D]`
    pub fn embed(&self, ids: Tensor<2, Int>) -> Tensor<3> {
        let [batch, rows] = ids.dims();
        let [_, d_model] = self.embedding.dims();
        embed(self.embedding.val(), ids.reshape([batch * rows])).reshape([batch, rows, d_model])
    }

    /// # Shapes
    /// - `x`: `[B, S, D]`; returns logits `[B, S, V]`
    pub fn logits(&self, x: Tensor<3>) -> Tensor<3> {
        match &self.head {
            Some(head) => head.forward(x),
            None => {
                let [batch, rows, d_model] = x.dims();
                let [vocab, _] = self.embedding.dims();
                let logits = product_with_rows(x.reshape([batch * rows, d_model]), self.embedding.val());
                logits.reshape([batch, rows, vocab])
            }
        }
    }

    /// Weight of the z-loss.
    pub fn z_loss(&self) -> f64 {
        self.z_loss
    }
}
