//! `config.json`: what a model is, and in what two models differ.

use std::path::{Path, PathBuf};

use interfuse_data::{Fit, Framing, ImageShape, SpecialTokens, UnitIds};
use interfuse_transfusion::ModelConfig;
use interfuse_vae::{CodecConfig, LatentRange};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::error::CheckpointError;

/// The card's file in a model's folder.
pub const CARD: &str = "config.json";
/// `model_type` of a card.
pub const MODEL_TYPE: &str = "transfusion";
/// `format_version` of a card.
pub const FORMAT_VERSION: u32 = 2;

/// `config.json`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ModelCard {
    /// Always `transfusion`.
    pub model_type: String,
    /// Version of this layout.
    pub format_version: u32,
    /// Optimizer steps behind the weights.
    pub step: u64,
    /// Settings of the model, with every size filled in.
    pub model: ModelConfig,
    /// Turns latents into pixels.
    pub codec: CodecConfig,
    /// `[channels, height, width]` of an image, in pixels.
    pub image_shape: [usize; 3],
    /// Heights and widths beside it that images of other proportions were brought to.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub image_sizes: Vec<[usize; 2]>,
    /// How images of other proportions were brought to it.
    #[serde(default, skip_serializing_if = "is_crop")]
    pub image_fit: Fit,
    /// The most text rows of a training document; longer prompts are refused.
    pub max_text_rows: usize,
    /// The modality that carries captions and prompts.
    pub captions: String,
    /// The modality that carries images; none where the model knows none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub images: Option<String>,
    /// The ids of the codes that images are made of, where they are learned as tokens.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub codes: Option<CodeIds>,
    /// How the model speaks; absent where it does not.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub speech: Option<SpeechCard>,
    /// Between what the latents of training images lie, where a sampler needs that and the codec does not know it by itself.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub latent_range: Option<LatentRange>,
    /// Ids of the markers.
    pub special_tokens: SpecialTokens,
}

/// Checkpoints that are older than the choice have cropped images.
fn is_crop(fit: &Fit) -> bool {
    *fit == Fit::Crop
}

/// Which ids of a vocabulary are codes of images; those below them are the tokenizer's.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CodeIds {
    /// The id of code 0.
    pub first: usize,
    /// How many codes there are.
    pub count: usize,
}

/// How a model reads and says units of speech.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SpeechCard {
    /// The modality that carries units.
    pub modality: String,
    /// Their ids in the vocabulary of captions.
    pub ids: UnitIds,
    /// Whether a unit stands for a run of equal ones.
    pub deduplicated: bool,
    /// The most units of a training document; speech goes on no longer.
    pub max_units: usize,
    /// What units are made by and become sound by; absent where they came from another program.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub codec: Option<UnitCodecRef>,
}

/// A unit codec, of which a model's folder holds a copy.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct UnitCodecRef {
    /// Where its file lay in training.
    pub path: PathBuf,
    /// SHA-256 of the file, in hexadecimal.
    pub sha256: String,
}

/// A key of which two models have different values.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Difference {
    /// The key of a configuration, such as `model.backbone.d_model`.
    pub key: String,
    /// The value of the card that was asked.
    pub ours: String,
    /// The value of the other.
    pub theirs: String,
}

impl ModelCard {
    /// What an image is brought to before the model sees it.
    pub fn framing(&self) -> Framing {
        let [channels, height, width] = self.image_shape;
        let (shape, sizes) = (ImageShape { channels, height, width }, self.image_sizes.as_slice());
        Framing { shape, sizes: sizes.into(), fit: self.image_fit, upscale: false }
    }

    /// How an image is brought to one of the sizes that the model reads and captions.
    pub fn reading_framing(&self) -> Framing {
        self.framing().of_any_image()
    }

    /// How an image is brought to the one size that the model converses about, in questions and edits.
    pub fn conversing_framing(&self) -> Framing {
        self.reading_framing().of_one_size()
    }

    /// In what another model differs, so that its weights would not fit or would mean something else. Empty for the same
    /// model, after however many steps.
    pub fn differences(&self, other: &Self) -> Vec<Difference> {
        let mut found = vec![];
        let value = |model: &ModelConfig| serde_json::to_value(model).unwrap_or_default();
        compare("model", &value(&self.model), &value(&other.model), &mut found);
        // It changes how weights are learned, and neither which there are nor what they mean.
        found.retain(|difference| difference.key != "model.backbone.dropout");
        if !self.codec.is_same(&other.codec) {
            let value = |codec: &CodecConfig| serde_json::to_value(codec).unwrap_or_default();
            compare("codec", &value(&self.codec), &value(&other.codec), &mut found);
        }
        let [ours, theirs] = [self, other].map(|card| {
            let [channels, height, width] = card.image_shape;
            [
                ("data.channels", channels.to_string()),
                ("data.image_size", format!("[{height}, {width}]")),
                ("documents.captions", card.captions.clone()),
                ("documents.images", card.images.clone().unwrap_or_else(|| "none".into())),
                ("documents.speech", card.speech.as_ref().map_or("none".into(), SpeechCard::meaning)),
            ]
        });
        for ((key, ours), (_, theirs)) in ours.into_iter().zip(theirs) {
            if ours != theirs {
                found.push(Difference { key: key.into(), ours, theirs });
            }
        }
        found
    }
}

impl SpeechCard {
    /// What must be the same for weights to mean the same.
    fn meaning(&self) -> String {
        let Self { modality, ids, deduplicated, codec, .. } = self;
        let runs = if *deduplicated { ", deduplicated" } else { "" };
        let codec = codec.as_ref().map_or(String::new(), |codec| format!(", of the codec {:.12}", codec.sha256));
        format!("{modality} with {} units{codec}{runs}", ids.count)
    }
}

/// Finds the keys whose values differ, in the order of the keys.
fn compare(key: &str, ours: &Value, theirs: &Value, found: &mut Vec<Difference>) {
    match (ours, theirs) {
        (Value::Object(a), Value::Object(b)) => {
            let keys = a.keys().chain(b.keys().filter(|key| !a.contains_key(*key)));
            let of =
                |map: &serde_json::Map<String, Value>, part: &String| map.get(part).cloned().unwrap_or(Value::Null);
            for part in keys {
                compare(&format!("{key}.{part}"), &of(a, part), &of(b, part), found);
            }
        }
        (ours, theirs) if ours != theirs => {
            let shown = |value: &Value| if value.is_null() { "none".into() } else { value.to_string() };
            found.push(Difference { key: key.into(), ours: shown(ours), theirs: shown(theirs) });
        }
        _ => {}
    }
}

/// Reads `config.json`.
///
/// # Errors
/// When it is missing, no JSON, or of another kind of model.
pub fn read_card(folder: &Path) -> Result<ModelCard, CheckpointError> {
    let path = folder.join(CARD);
    let fail = |expected: &str, found: String| CheckpointError::unfit(&path, expected, found);
    let text = std::fs::read_to_string(&path)
        .map_err(|error| fail("the config.json of an Interfuse checkpoint", error.to_string()))?;
    let value: Value = serde_json::from_str(&text).map_err(|error| fail("valid JSON", error.to_string()))?;
    let kind = value.get("model_type").and_then(|kind| kind.as_str()).unwrap_or("nothing");
    if kind != MODEL_TYPE {
        return Err(fail("\"model_type\": \"transfusion\"", format!("{kind:?}: a checkpoint of another program")));
    }
    let version = value.get("format_version").and_then(Value::as_u64);
    if version != Some(FORMAT_VERSION.into()) {
        let found = match version {
            Some(1) => "1: it was made before configuration and weights were renamed; train it again".into(),
            Some(other) => other.to_string(),
            None => "none".into(),
        };
        return Err(fail(&format!("\"format_version\": {FORMAT_VERSION}"), found));
    }
    let card: ModelCard =
        serde_json::from_value(value).map_err(|error| fail("the settings of a model", error.to_string()))?;
    let channels = card.model.latent_shape[0];
    match card.latent_range.as_ref().filter(|range| !range.is_of(channels)) {
        None => Ok(card),
        Some(range) => {
            let expected = format!("latent_range: {channels} finite numbers in `min`, none above its fellow in `max`");
            Err(fail(&expected, format!("{range:?}")))
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn every_key_that_differs_is_named_with_both_values() {
        let ours = json!({ "backbone": { "d_model": 32, "d_ff": null }, "latent_shape": [3, 8, 8], "same": true });
        let theirs = json!({ "backbone": { "d_model": 16, "d_ff": 48 }, "latent_shape": [3, 8, 8], "same": true });
        let mut found = vec![];
        compare("model", &ours, &theirs, &mut found);
        let found: Vec<[&str; 3]> = found.iter().map(|each| [&*each.key, &*each.ours, &*each.theirs]).collect();
        assert_eq!(found, [["model.backbone.d_model", "32", "16"], ["model.backbone.d_ff", "none", "48"]]);
    }
}
