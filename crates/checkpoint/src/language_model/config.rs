//! `config.json` of a language model as transformers writes it, and what our backbone would have to be.

use std::path::Path;

use interfuse_mot::{BackboneConfig, RopeScaling};
use serde::Deserialize;
use serde_json::Value;

use crate::error::CheckpointError;

/// The families whose layers are ours: norms before the sub-layers, rotary positions, SwiGLU.
const FAMILIES: [&str; 4] = ["llama", "mistral", "qwen2", "qwen3"];

/// The keys that are read; what a family leaves out has the value of its configuration class.
#[derive(Debug, Deserialize)]
struct File {
    model_type: String,
    hidden_size: usize,
    num_hidden_layers: usize,
    num_attention_heads: usize,
    num_key_value_heads: Option<usize>,
    intermediate_size: usize,
    vocab_size: usize,
    head_dim: Option<usize>,
    rms_norm_eps: Option<f64>,
    rope_theta: Option<f64>,
    rope_scaling: Option<Value>,
    /// Where newer versions of transformers keep the two above.
    rope_parameters: Option<Value>,
    tie_word_embeddings: Option<bool>,
    attention_bias: Option<bool>,
    mlp_bias: Option<bool>,
    sliding_window: Option<usize>,
    use_sliding_window: Option<bool>,
    hidden_act: Option<String>,
}

/// What a language model is made of.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Shape {
    /// The backbone that its layers are.
    pub(super) backbone: BackboneConfig,
    /// Ids of its embedding.
    pub(super) vocab_size: usize,
    /// Whether its head is its embedding, where the configuration says so.
    pub(super) tied_head: Option<bool>,
}

/// Reads `config.json` of a folder.
///
/// # Errors
/// When it is missing or malformed, or of a model whose layers are others than ours; names the key.
pub(super) fn read(folder: &Path) -> Result<Shape, CheckpointError> {
    let path = folder.join("config.json");
    let fail = |expected: &str, found: String| CheckpointError::unfit(&path, expected, found);
    let text = std::fs::read_to_string(&path)
        .map_err(|error| fail("the config.json of a language model of transformers", error.to_string()))?;
    let value: Value = serde_json::from_str(&text).map_err(|error| fail("valid JSON", error.to_string()))?;
    let family = value.get("model_type").and_then(Value::as_str).unwrap_or("none").to_string();
    if !FAMILIES.contains(&family.as_str()) {
        return Err(fail(&format!("model_type: one of {}", FAMILIES.join(", ")), family));
    }
    let file: File =
        serde_json::from_value(value).map_err(|error| fail("sizes of a language model", error.to_string()))?;
    check(&file, fail)?;
    let rope = file.rope_parameters.as_ref();
    let theta = rope.and_then(|rope| rope.get("rope_theta")).and_then(Value::as_f64).or(file.rope_theta);
    let scaling = scaling(rope.or(file.rope_scaling.as_ref()))
        .map_err(|found| fail("rope_scaling: of type default, linear or llama3", found))?;
    let head_dim = file.head_dim.filter(|width| width * file.num_attention_heads != file.hidden_size);
    let backbone = BackboneConfig {
        head_dim,
        n_kv_heads: file.num_key_value_heads.filter(|heads| *heads != file.num_attention_heads),
        d_ff: Some(file.intermediate_size),
        qk_norm: file.model_type == "qwen3",
        qkv_bias: file.model_type == "qwen2",
        rope_theta: theta.unwrap_or(1e4),
        rope_scaling: scaling,
        norm_epsilon: file.rms_norm_eps.unwrap_or(1e-6),
        ..BackboneConfig::of(file.hidden_size, file.num_hidden_layers, file.num_attention_heads)
    };
    backbone.validate().map_err(|error| fail("sizes of a language model", error.to_string()))?;
    Ok(Shape { backbone, vocab_size: file.vocab_size, tied_head: file.tie_word_embeddings })
}

/// What would make another model of the same weights.
fn check(file: &File, fail: impl Fn(&str, String) -> CheckpointError) -> Result<(), CheckpointError> {
    if file.hidden_act.as_deref().is_some_and(|act| act != "silu") {
        return Err(fail("hidden_act: silu", file.hidden_act.clone().unwrap_or_default()));
    }
    if file.mlp_bias == Some(true) {
        return Err(fail("mlp_bias: false", "true".into()));
    }
    if file.attention_bias == Some(true) {
        return Err(fail("attention_bias: false, but for Qwen2, whose biases are known", "true".into()));
    }
    // Qwen2 names a window and does not use it.
    let is_windowed = file.sliding_window.is_some() && file.use_sliding_window != Some(false);
    match is_windowed && (file.model_type == "mistral" || file.use_sliding_window == Some(true)) {
        true => Err(fail("no sliding window, for every row sees all before it", format!("{:?}", file.sliding_window))),
        false => Ok(()),
    }
}

/// How angles are stretched for contexts longer than those of training.
fn scaling(value: Option<&Value>) -> Result<Option<RopeScaling>, String> {
    let Some(value) = value.filter(|value| !value.is_null()) else { return Ok(None) };
    let kind = value.get("rope_type").or(value.get("type")).and_then(Value::as_str).unwrap_or("default");
    let number = |key: &str| value.get(key).and_then(Value::as_f64).ok_or_else(|| format!("{kind} without {key}"));
    match kind {
        "default" => Ok(None),
        "linear" => Ok(Some(RopeScaling::Linear { factor: number("factor")? })),
        "llama3" => Ok(Some(RopeScaling::Llama3 {
            factor: number("factor")?,
            low_frequency_factor: number("low_freq_factor")?,
            high_frequency_factor: number("high_freq_factor")?,
            original_positions: number("original_max_position_embeddings")? as usize,
        })),
        other => Err(other.to_string()),
    }
}
