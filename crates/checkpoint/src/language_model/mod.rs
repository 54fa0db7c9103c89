//! A language model of Hugging Face as the text part of a model: Llama, SmolLM, Mistral, Qwen2, Qwen2.5 and Qwen3.
//!
//! Its layers are ours by other names ([`names`]). What it lacks, the ids of BOI and EOI and whatever the model's vocabulary has
//! beyond its own, starts as random vectors with the mean and the standard deviation of its embedding.

mod config;
mod export;
pub mod names;

use std::path::{Path, PathBuf};

use interfuse_mot::BackboneConfig;
use interfuse_parameters::{HostTensor, HostTensors, export_weights, import_weights, read_tensors};
use interfuse_transfusion::{ModalityConfig, ModelConfig, Transfusion};
use serde_json::Value;

pub use self::export::export;
use crate::error::CheckpointError;

/// The weights of a language model, and what they need.
pub struct LanguageModel {
    /// The backbone that its layers are.
    pub backbone: BackboneConfig,
    /// Ids of its embedding.
    pub vocab_size: usize,
    /// Whether its head is its embedding.
    pub tied_head: bool,
    folder: PathBuf,
    tensors: HostTensors,
}

/// How the other parts of a model start beside the language model.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum OtherParts {
    /// From the language model too (LMFusion, 2412.15188, section 3).
    #[default]
    Copy,
    /// From random weights.
    Fresh,
}

/// How many ids the embedding of a language model has.
///
/// # Errors
/// When its configuration is missing, malformed, or of a model whose layers are others than ours.
pub fn vocab_size(folder: &Path) -> Result<usize, CheckpointError> {
    Ok(config::read(folder)?.vocab_size)
}

impl LanguageModel {
    /// Opens a folder with `config.json` and `model.safetensors`, whole or in shards with an index.
    ///
    /// # Errors
    /// When a file or a shard is missing, torn, or of a model whose layers are others than ours.
    pub fn open(folder: &Path) -> Result<Self, CheckpointError> {
        let config::Shape { backbone, vocab_size, tied_head } = config::read(folder)?;
        let tensors = read_weights(folder)?;
        let tied_head = tied_head.unwrap_or(false) || !tensors.contains_key(names::HEAD);
        Ok(Self { backbone, vocab_size, tied_head, folder: folder.to_path_buf(), tensors })
    }

    /// Whether a model can take these weights as the part that serves `captions`.
    ///
    /// # Errors
    /// Names every key of the configuration that would have to be another, with its value.
    pub fn check(&self, model: &ModelConfig, captions: &str) -> Result<(), CheckpointError> {
        let mut wanted = vec![];
        let (ours, theirs) = (&model.backbone, &self.backbone);
        let mut same = |key: &str, ours: String, theirs: String| {
            if ours != theirs {
                wanted.push(format!("{key} = {theirs} (found {ours})"));
            }
        };
        same("model.backbone.d_model", ours.d_model.to_string(), theirs.d_model.to_string());
        same("model.backbone.n_layers", ours.n_layers.to_string(), theirs.n_layers.to_string());
        same("model.backbone.n_heads", ours.n_heads.to_string(), theirs.n_heads.to_string());
        same("model.backbone.n_kv_heads", ours.kv_heads().to_string(), theirs.kv_heads().to_string());
        same("model.backbone.head_dim", ours.head_dim().to_string(), theirs.head_dim().to_string());
        same("model.backbone.d_ff", ours.d_ff().to_string(), theirs.d_ff().to_string());
        same("model.backbone.qk_norm", ours.qk_norm.to_string(), theirs.qk_norm.to_string());
        same("model.backbone.qkv_bias", ours.qkv_bias.to_string(), theirs.qkv_bias.to_string());
        same("model.backbone.norm", format!("{:?}", ours.norm), format!("{:?}", theirs.norm));
        same("model.backbone.rope_theta", ours.rope_theta.to_string(), theirs.rope_theta.to_string());
        same("model.backbone.norm_epsilon", ours.norm_epsilon.to_string(), theirs.norm_epsilon.to_string());
        same("model.backbone.rope_scaling", format!("{:?}", ours.rope_scaling), format!("{:?}", theirs.rope_scaling));
        let text = model.vocabulary(captions);
        let tied = text.is_some_and(|text| text.tied_head);
        same(&format!("model.modalities.{captions}.tied_head"), tied.to_string(), self.tied_head.to_string());
        let moe = model.feed_forward(captions).moe().is_some();
        same("model.backbone.feed_forward", moe.to_string(), "false".into());
        if text.is_some_and(|text| text.vocab_size < self.vocab_size) {
            let found = text.map_or(0, |text| text.vocab_size);
            wanted.push(format!(
                "model.modalities.{captions}.vocab_size of at least {} (found {found})",
                self.vocab_size
            ));
        }
        match wanted.is_empty() {
            true => Ok(()),
            false => Err(CheckpointError::unfit(
                &self.folder,
                format!("{}, which this language model has", wanted.join(", ")),
                "others",
            )),
        }
    }

    /// The model with these weights in the part that serves `captions`, and in the others if they are to start so. What the
    /// language model has no weights for stays as it is.
    ///
    /// # Errors
    /// As [`Self::check`]; when a tensor of the language model is missing, unexpected or of another shape.
    pub fn into_model(
        self,
        model: Transfusion,
        config: &ModelConfig,
        captions: &str,
        others: OtherParts,
    ) -> Result<Transfusion, CheckpointError> {
        self.check(config, captions)?;
        let folder = self.folder.clone();
        let mut all = export_weights(&model);
        let parts = parts_of(config, captions, others);
        let owner = owner_of(config, captions);
        for (name, tensor) in self.tensors {
            if self.tied_head && name == names::HEAD {
                continue;
            }
            let known = names::of_layer_or_end(&name)
                .ok_or_else(|| CheckpointError::unfit(&folder, "the tensors of such a language model alone", &name))?;
            let targets: Vec<String> = match &known {
                names::Place::End(end) => vec![format!("towers.{owner}.{end}")],
                names::Place::Layer(place) => parts.iter().map(|part| place.replace("{part}", part)).collect(),
            };
            for target in targets {
                if let Some(weight) = all.get_mut(&target) {
                    place(weight, &tensor, matches!(known, names::Place::End(_))).map_err(|found| {
                        CheckpointError::unfit(&folder, format!("{name} of shape {:?}", weight.shape), found)
                    })?;
                }
            }
        }
        Ok(import_weights(model, all, &folder)?)
    }
}

/// Puts a tensor in a weight's place. The ends of a vocabulary may have rows beyond those of the language model.
fn place(weight: &mut HostTensor, tensor: &HostTensor, may_grow: bool) -> Result<(), String> {
    let fits = weight.shape == tensor.shape
        || (may_grow && weight.shape[1..] == tensor.shape[1..] && weight.shape[0] > tensor.shape[0]);
    if !fits {
        return Err(format!("{:?}", tensor.shape));
    }
    let known = tensor.values.len();
    if known < weight.values.len() {
        liken(&mut weight.values[known..], &tensor.values);
    }
    weight.values[..known].copy_from_slice(&tensor.values);
    Ok(())
}

/// Gives random rows the mean and the standard deviation of others.
fn liken(rows: &mut [f32], like: &[f32]) {
    let moments = |values: &[f32]| {
        let count = values.len().max(1) as f64;
        let mean = values.iter().map(|&x| f64::from(x)).sum::<f64>() / count;
        let variance = values.iter().map(|&x| (f64::from(x) - mean).powi(2)).sum::<f64>() / count;
        (mean, variance.sqrt())
    };
    let ((from_mean, from), (to_mean, to)) = (moments(rows), moments(like));
    for value in rows {
        *value = ((f64::from(*value) - from_mean) / from.max(1e-12) * to + to_mean) as f32;
    }
}

/// The names of the parts that take the weights: the one that serves captions, the name of what all parts have in common, and
/// the other parts if they are to start so.
fn parts_of(config: &ModelConfig, captions: &str, others: OtherParts) -> Vec<String> {
    let serves = |part: &&Vec<String>| others == OtherParts::Copy || part.iter().any(|name| name == captions);
    let own = config.partition.iter().filter(serves).map(|part| part.join("+"));
    let all = config.partition.iter().map(|part| part.join("+")).collect::<Vec<_>>().join("+");
    own.chain([all]).collect()
}

/// The tower that embeds captions.
fn owner_of(config: &ModelConfig, captions: &str) -> String {
    let shared = config.modalities.get(captions).and_then(ModalityConfig::shares);
    shared.cloned().unwrap_or_else(|| captions.to_string())
}

/// All tensors of a folder.
fn read_weights(folder: &Path) -> Result<HostTensors, CheckpointError> {
    let index = folder.join("model.safetensors.index.json");
    if !index.is_file() {
        return Ok(read_tensors(&folder.join("model.safetensors"))?);
    }
    let fail = |expected: &str, found: String| CheckpointError::unfit(&index, expected, found);
    let text = std::fs::read_to_string(&index).map_err(|error| fail("an index of shards", error.to_string()))?;
    let value: Value = serde_json::from_str(&text).map_err(|error| fail("valid JSON", error.to_string()))?;
    let map = value.get("weight_map").and_then(Value::as_object).ok_or_else(|| fail("`weight_map`", "none".into()))?;
    let mut shards: Vec<&str> = map.values().filter_map(Value::as_str).collect();
    shards.sort_unstable();
    shards.dedup();
    let mut tensors = HostTensors::new();
    for shard in shards {
        // A name that leads out of the folder is no shard of it.
        if shard.contains(['/', '\\']) {
            return Err(fail("names of files beside it", shard.to_string()));
        }
        tensors.extend(read_tensors(&folder.join(shard))?);
    }
    match map.keys().find(|name| !tensors.contains_key(*name)) {
        Some(missing) => Err(fail(&format!("a shard that holds {missing}"), "none that does".into())),
        None => Ok(tensors),
    }
}
