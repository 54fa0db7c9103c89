//! `config.json` of a CLIP folder.

use std::path::Path;

use serde::Deserialize;

use super::encoder::{Activation, EncoderConfig};
use crate::error::EvaluationError;

/// The settings that the towers need; what is absent is as in `openai/clip-vit-base-patch32`.
#[derive(Debug)]
pub(super) struct ClipConfig {
    pub(super) text: TextConfig,
    pub(super) vision: VisionConfig,
    pub(super) projection_dim: usize,
}

#[derive(Debug, Deserialize)]
#[serde(default)]
pub(super) struct TextConfig {
    pub(super) hidden_size: usize,
    intermediate_size: usize,
    num_hidden_layers: usize,
    num_attention_heads: usize,
    pub(super) vocab_size: usize,
    pub(super) max_position_embeddings: usize,
    hidden_act: Activation,
    pub(super) layer_norm_eps: f64,
    pub(super) eos_token_id: u32,
}

#[derive(Debug, Deserialize)]
#[serde(default)]
pub(super) struct VisionConfig {
    pub(super) hidden_size: usize,
    intermediate_size: usize,
    num_hidden_layers: usize,
    num_attention_heads: usize,
    pub(super) image_size: usize,
    pub(super) patch_size: usize,
    hidden_act: Activation,
    pub(super) layer_norm_eps: f64,
}

impl Default for TextConfig {
    fn default() -> Self {
        Self {
            hidden_size: 512,
            intermediate_size: 2048,
            num_hidden_layers: 12,
            num_attention_heads: 8,
            vocab_size: 49408,
            max_position_embeddings: 77,
            hidden_act: Activation::QuickGelu,
            layer_norm_eps: 1e-5,
            eos_token_id: 49407,
        }
    }
}

impl Default for VisionConfig {
    fn default() -> Self {
        Self {
            hidden_size: 768,
            intermediate_size: 3072,
            num_hidden_layers: 12,
            num_attention_heads: 12,
            image_size: 224,
            patch_size: 32,
            hidden_act: Activation::QuickGelu,
            layer_norm_eps: 1e-5,
        }
    }
}

impl ClipConfig {
    /// Reads `config.json`.
    ///
    /// # Errors
    /// When it is missing, no JSON, or of another model.
    pub(super) fn read(folder: &Path) -> Result<Self, EvaluationError> {
        let path = folder.join("config.json");
        let unfit = |reason: String| EvaluationError::Weights { path: path.clone(), reason };
        let text = std::fs::read_to_string(&path)
            .map_err(|error| unfit(format!("expected the config.json of a CLIP model: {error}")))?;
        let value: serde_json::Value = serde_json::from_str(&text).map_err(|error| unfit(error.to_string()))?;
        match value.get("model_type").and_then(|kind| kind.as_str()) {
            Some("clip") => {}
            kind => return Err(unfit(format!("expected model_type \"clip\", found {kind:?}"))),
        }
        let part = |key: &str| value.get(key).cloned().unwrap_or_else(|| serde_json::json!({}));
        let config = Self {
            text: serde_json::from_value(part("text_config")).map_err(|error| unfit(error.to_string()))?,
            vision: serde_json::from_value(part("vision_config")).map_err(|error| unfit(error.to_string()))?,
            projection_dim: value.get("projection_dim").and_then(|dim| dim.as_u64()).unwrap_or(512) as usize,
        };
        config.check().map_err(unfit)?;
        Ok(config)
    }

    fn check(&self) -> Result<(), String> {
        let (text, vision) = (&self.text, &self.vision);
        for (key, width, heads) in [
            ("text_config", text.hidden_size, text.num_attention_heads),
            ("vision_config", vision.hidden_size, vision.num_attention_heads),
        ] {
            if heads == 0 || width == 0 || width % heads != 0 {
                return Err(format!("{key}.num_attention_heads: expected a divisor of {width}, found {heads}"));
            }
        }
        let (side, patch) = (vision.image_size, vision.patch_size);
        if patch == 0 || side == 0 || side % patch != 0 {
            return Err(format!("vision_config.patch_size: expected a divisor of {side}, found {patch}"));
        }
        if text.max_position_embeddings < 2 {
            let found = text.max_position_embeddings;
            return Err(format!("text_config.max_position_embeddings: expected at least 2, found {found}"));
        }
        Ok(())
    }
}

impl TextConfig {
    pub(super) fn encoder(&self) -> EncoderConfig {
        EncoderConfig {
            width: self.hidden_size,
            hidden: self.intermediate_size,
            layers: self.num_hidden_layers,
            heads: self.num_attention_heads,
            activation: self.hidden_act,
            epsilon: self.layer_norm_eps,
        }
    }
}

impl VisionConfig {
    pub(super) fn encoder(&self) -> EncoderConfig {
        EncoderConfig {
            width: self.hidden_size,
            hidden: self.intermediate_size,
            layers: self.num_hidden_layers,
            heads: self.num_attention_heads,
            activation: self.hidden_act,
            epsilon: self.layer_norm_eps,
        }
    }
}
