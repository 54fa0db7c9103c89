//! What the tensors of a language model are called here.
//!
//! | transformers | here |
//! |---|---|
//! | `model.embed_tokens.weight` | `towers.TEXT.embedding` |
//! | `lm_head.weight` | `towers.TEXT.head.weight` |
//! | `model.norm.weight` | `backbone.final_norms.PART.weight` |
//! | `model.layers.N.input_layernorm.weight` | `backbone.layers.N.parts.PART.attention_norm.weight` |
//! | `model.layers.N.self_attn.{q,k,v,o}_proj.*` | `….{query,key,value,output}.*` |
//! | `model.layers.N.self_attn.{q,k}_norm.weight` | `….{query,key}_norm.weight` |
//! | `model.layers.N.post_attention_layernorm.weight` | `….feed_forward_norm.weight` |
//! | `model.layers.N.mlp.{gate,up,down}_proj.weight` | `….feed_forward.{gate,up,down}.weight` |

/// The head of a language model that has one of its own.
pub const HEAD: &str = "lm_head.weight";

const LAYERS: &str = "model.layers.";

/// Within a layer.
const FIELDS: [(&str, &str); 11] = [
    ("input_layernorm", "attention_norm"),
    ("post_attention_layernorm", "feed_forward_norm"),
    ("self_attn.q_proj", "query"),
    ("self_attn.k_proj", "key"),
    ("self_attn.v_proj", "value"),
    ("self_attn.o_proj", "output"),
    ("self_attn.q_norm", "query_norm"),
    ("self_attn.k_norm", "key_norm"),
    ("mlp.gate_proj", "feed_forward.gate"),
    ("mlp.up_proj", "feed_forward.up"),
    ("mlp.down_proj", "feed_forward.down"),
];

/// Where a tensor belongs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Place {
    /// In the tower of text, under this name.
    End(&'static str),
    /// In the backbone, under this name with the part's for `{part}`.
    Layer(String),
}

/// The place of a tensor of a language model.
pub fn of_layer_or_end(name: &str) -> Option<Place> {
    match name {
        "model.embed_tokens.weight" => return Some(Place::End("embedding")),
        HEAD => return Some(Place::End("head.weight")),
        "model.norm.weight" => return Some(Place::Layer("backbone.final_norms.{part}.weight".into())),
        _ => {}
    }
    let (layer, rest) = name.strip_prefix(LAYERS)?.split_once('.')?;
    let layer: usize = layer.parse().ok()?;
    let (field, kind) = rest.rsplit_once('.')?;
    let (_, ours) = FIELDS.iter().find(|(theirs, _)| *theirs == field)?;
    Some(Place::Layer(format!("backbone.layers.{layer}.parts.{{part}}.{ours}.{kind}")))
}

/// What a weight of the text part is called in transformers; the inverse of [`of_layer_or_end`].
pub fn in_transformers(name: &str, part: &str, tower: &str) -> Option<String> {
    if let Some(end) = name.strip_prefix(&format!("towers.{tower}.")) {
        return match end {
            "embedding" => Some("model.embed_tokens.weight".into()),
            "head.weight" => Some(HEAD.into()),
            _ => None,
        };
    }
    if name == format!("backbone.final_norms.{part}.weight") {
        return Some("model.norm.weight".into());
    }
    let (layer, rest) = name.strip_prefix("backbone.layers.")?.split_once('.')?;
    let (field, kind) = rest.strip_prefix(&format!("parts.{part}."))?.rsplit_once('.')?;
    let (theirs, _) = FIELDS.iter().find(|(_, ours)| *ours == field)?;
    Some(format!("{LAYERS}{layer}.{theirs}.{kind}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_name_has_a_place_and_comes_back() {
        let layer = |rest: &str| format!("model.layers.3.{rest}");
        let mut names: Vec<String> = FIELDS.iter().map(|(theirs, _)| layer(&format!("{theirs}.weight"))).collect();
        names.extend([layer("self_attn.q_proj.bias"), "model.norm.weight".into(), HEAD.into()]);
        names.push("model.embed_tokens.weight".into());
        for name in names {
            let ours = match of_layer_or_end(&name).unwrap() {
                Place::End(end) => format!("towers.text.{end}"),
                Place::Layer(place) => place.replace("{part}", "text"),
            };
            assert_eq!(in_transformers(&ours, "text", "text"), Some(name.clone()), "{ours}");
        }
        for unknown in ["model.layers.x.input_layernorm.weight", "model.layers.1.mlp.fc1.weight", "vision.weight"] {
            assert_eq!(of_layer_or_end(unknown), None);
        }
        assert_eq!(in_transformers("backbone.layers.0.parts.image.query.weight", "text", "text"), None);
    }
}
