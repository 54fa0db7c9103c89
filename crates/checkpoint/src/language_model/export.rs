//! The text part of a model as a folder that transformers opens by `AutoModelForCausalLM`.
//!
//! Text that no image or speech precedes meets the weights of the text part alone, so the language model gives the same logits.

use std::path::Path;

use interfuse_mot::{BackboneConfig, NormPlacement, RopeScaling};
use interfuse_parameters::durable::{create_folder, write_file, write_folder};
use interfuse_parameters::{HostTensors, export_weights, write_tensors};
use serde_json::{Value, json};

use super::{names, owner_of};
use crate::error::CheckpointError;
use crate::folder::{TOKENIZER, write_json};
use crate::pretrained::Pretrained;

/// Writes the text part; `folder` must not exist, or be empty.
///
/// # Errors
/// When the layers of the text part are those of no family that transformers has, or a file cannot be written.
pub fn export(pretrained: &Pretrained, folder: &Path) -> Result<(), CheckpointError> {
    let card = &pretrained.card;
    let config =
        configuration(pretrained).map_err(|(expected, found)| CheckpointError::unfit(folder, expected, found))?;
    let part = card.model.partition.iter().find(|part| part.contains(&card.captions)).map(|part| part.join("+"));
    let all = card.model.partition.iter().map(|part| part.join("+")).collect::<Vec<_>>().join("+");
    let tower = owner_of(&card.model, &card.captions);
    let mut tensors = HostTensors::new();
    for (name, tensor) in export_weights(&pretrained.model) {
        let of = |part: &str| names::in_transformers(&name, part, &tower);
        if let Some(theirs) = part.as_deref().and_then(of).or_else(|| of(&all)) {
            tensors.insert(theirs, tensor);
        }
    }
    let tokenizer = pretrained.tokenizer.to_bytes()?;
    let special = card.special_tokens;
    write_folder(folder, |temporary| {
        create_folder(temporary)?;
        write_tensors(&tensors, &temporary.join("model.safetensors"))?;
        write_json(&temporary.join("config.json"), &config)?;
        write_file(&temporary.join(TOKENIZER), &tokenizer)?;
        write_json(&temporary.join("tokenizer_config.json"), &tokenizer_config(pretrained))?;
        let generation =
            json!({ "bos_token_id": special.bos, "eos_token_id": special.eos, "pad_token_id": special.pad });
        write_json(&temporary.join("generation_config.json"), &generation)
    })
}

/// `tokenizer_config.json`. Without it transformers takes the class that it knows for the family, which has other markers and
/// may cut words otherwise than `tokenizer.json` says.
fn tokenizer_config(pretrained: &Pretrained) -> Value {
    let (tokenizer, special) = (&pretrained.tokenizer, pretrained.card.special_tokens);
    json!({
        "tokenizer_class": "PreTrainedTokenizerFast",
        "bos_token": tokenizer.token(special.bos),
        "eos_token": tokenizer.token(special.eos),
        "pad_token": tokenizer.token(special.pad),
        "clean_up_tokenization_spaces": false,
    })
}

/// `config.json`, or what was expected and found where there is no such family.
fn configuration(pretrained: &Pretrained) -> Result<Value, (&'static str, String)> {
    let card = &pretrained.card;
    let backbone = &card.model.backbone;
    let (family, architecture) = match (backbone.qk_norm, backbone.qkv_bias) {
        (false, false) => ("llama", "LlamaForCausalLM"),
        (false, true) => ("qwen2", "Qwen2ForCausalLM"),
        (true, false) => ("qwen3", "Qwen3ForCausalLM"),
        (true, true) => return Err(("model.backbone.qk_norm or qkv_bias", "both, which no family has".into())),
    };
    if backbone.norm == NormPlacement::Post {
        return Err(("model.backbone.norm: pre", "post, which no such family has".into()));
    }
    if card.model.feed_forward(&card.captions).moe().is_some() {
        return Err(("a feed-forward of one network", "a mixture of experts".into()));
    }
    let text = card.model.vocabulary(&card.captions).ok_or(("a vocabulary for captions", "none".to_string()))?;
    let special = card.special_tokens;
    let rope = rope(backbone);
    Ok(json!({
        "architectures": [architecture],
        "model_type": family,
        "hidden_size": backbone.d_model,
        "num_hidden_layers": backbone.n_layers,
        "num_attention_heads": backbone.n_heads,
        "num_key_value_heads": backbone.kv_heads(),
        "head_dim": backbone.head_dim(),
        "intermediate_size": backbone.d_ff(),
        "vocab_size": text.vocab_size,
        "rms_norm_eps": backbone.norm_epsilon,
        "rope_theta": backbone.rope_theta,
        "rope_scaling": if backbone.rope_scaling.is_some() { rope.clone() } else { Value::Null },
        "rope_parameters": rope,
        "tie_word_embeddings": text.tied_head,
        "attention_bias": false,
        "mlp_bias": false,
        "hidden_act": "silu",
        "max_position_embeddings": 131_072,
        "bos_token_id": special.bos,
        "eos_token_id": special.eos,
        "pad_token_id": special.pad,
        "torch_dtype": "float32",
    }))
}

/// The angles, as newer versions of transformers keep them in one table.
fn rope(backbone: &BackboneConfig) -> Value {
    let theta = backbone.rope_theta;
    match backbone.rope_scaling {
        None => json!({ "rope_type": "default", "rope_theta": theta }),
        Some(RopeScaling::Linear { factor }) => json!({ "rope_type": "linear", "factor": factor, "rope_theta": theta }),
        Some(RopeScaling::Llama3 { factor, low_frequency_factor, high_frequency_factor, original_positions }) => {
            json!({
                "rope_type": "llama3",
                "factor": factor,
                "low_freq_factor": low_frequency_factor,
                "high_freq_factor": high_frequency_factor,
                "original_max_position_embeddings": original_positions,
                "rope_theta": theta,
            })
        }
    }
}
