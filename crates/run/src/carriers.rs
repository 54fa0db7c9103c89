//! Which modalities carry captions and images, and the sizes of a model that follow from what they carry.

use interfuse_checkpoint::CodeIds;
use interfuse_data::{DocumentConfig, Tokenizer};
use interfuse_sequence::{Objective, PositionScheme};
use interfuse_transfusion::{ModalityConfig, ModelConfig};
use interfuse_vae::Codec;

use crate::error::{Result, refuse};

/// The modalities that carry captions and images: those that are named, or the only ones that can.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Carriers {
    /// A next-token modality.
    pub(crate) captions: String,
    /// A denoise modality, or where images are codes a next-token modality of the captions' vocabulary.
    pub(crate) images: String,
}

impl Carriers {
    /// Of a model, whose codec has codes or continuous latents.
    ///
    /// # Errors
    /// When a modality that is named cannot carry it, or several can and none is named.
    pub(crate) fn of(model: &ModelConfig, documents: &DocumentConfig, codes: bool) -> Result<Self> {
        let of_objective = |objective: Objective| {
            model.modalities.iter().filter(move |(_, modality)| modality.objective() == objective)
        };
        let owns = |modality: &ModalityConfig| modality.shares().is_none();
        let words: Vec<&str> = of_objective(Objective::NextToken).map(|(name, _)| name.as_str()).collect();
        let owners = of_objective(Objective::NextToken).filter(|(_, modality)| owns(modality));
        let owners: Vec<&str> = owners.map(|(name, _)| name.as_str()).collect();
        let captions = pick("captions", "learned by next_token", &documents.captions, &words, &owners)?;
        if !codes {
            let fit: Vec<&str> = of_objective(Objective::Denoise).map(|(name, _)| name.as_str()).collect();
            let images =
                pick("images", "learned by denoise, for the codec has no codes", &documents.images, &fit, &fit)?;
            return Ok(Self { captions, images });
        }
        if let Some((name, _)) = of_objective(Objective::Denoise).next() {
            refuse!(
                "model.modalities.{name}.objective: expected `next_token`, for the codec has codes, which are not denoised, \
                 found `denoise`"
            );
        }
        let vocabulary = |name: &str| {
            let shared = model.modalities.get(name).and_then(|modality| modality.shares());
            shared.map_or_else(|| name.to_string(), String::clone)
        };
        let of_one = of_objective(Objective::NextToken)
            .filter(|(name, _)| **name != captions && vocabulary(name) == vocabulary(&captions));
        let fit: Vec<&str> = of_one.map(|(name, _)| name.as_str()).collect();
        let what = format!("that shares the vocabulary of `{captions}` (vocabulary = ...), for the codec has codes");
        let images = pick("images", &what, &documents.images, &fit, &fit)?;
        if model.positions == PositionScheme::Shared {
            refuse!(
                "model.positions: expected `sequential` or `axial`, found `shared`: a code would not know which place of \
                 the image it fills"
            );
        }
        Ok(Self { captions, images })
    }
}

/// Which ids of the captions' vocabulary are codes: those after the tokenizer's; `None` where images are denoised.
pub(crate) fn code_ids(codec: &dyn Codec, tokenizer: &Tokenizer) -> Option<CodeIds> {
    codec.codes().map(|count| CodeIds { first: tokenizer.vocab_size(), count })
}

/// The modality that is named, if it is one of `fit`; if none is, the only one of `usual`.
fn pick(key: &str, what: &str, named: &Option<String>, fit: &[&str], usual: &[&str]) -> Result<String> {
    match (named, usual) {
        (Some(name), _) if fit.contains(&name.as_str()) => Ok(name.clone()),
        (None, [only]) => Ok(only.to_string()),
        (found, _) => {
            let found = found.as_ref().map_or("none".into(), |name| format!("`{name}`"));
            let known = if fit.is_empty() { "one in [model.modalities]".into() } else { fit.join(", ") };
            refuse!("documents.{key}: expected a modality {what} ({known}), found {found}")
        }
    }
}

/// The model with the sizes of the vocabulary and the latents. The vocabulary of captions has the tokenizer's ids, and after
/// them those of codes where images are codes.
pub(crate) fn fill_in(
    mut model: ModelConfig,
    carriers: &Carriers,
    tokenizer: &Tokenizer,
    codes: Option<CodeIds>,
    latent_shape: [usize; 3],
) -> Result<ModelConfig> {
    if model.latent_shape == [0; 3] {
        model.latent_shape = latent_shape;
    }
    if model.latent_shape != latent_shape {
        let found = model.latent_shape;
        refuse!("model.latent_shape: expected {latent_shape:?}, which the data and its codec give, found {found:?}");
    }
    let captions = &carriers.captions;
    let owner = model.modalities.get(captions).and_then(ModalityConfig::shares).cloned();
    let owner = owner.unwrap_or_else(|| captions.clone());
    if let Some(ModalityConfig::NextToken(text)) = model.modalities.get_mut(&owner) {
        let needed = tokenizer.vocab_size() + codes.map_or(0, |codes| codes.count);
        if text.vocab_size == 0 {
            text.vocab_size = needed;
        }
        if text.vocab_size < needed {
            let (found, and) = (text.vocab_size, if codes.is_some() { " and the codes" } else { "" });
            refuse!(
                "model.modalities.{owner}.vocab_size: expected at least {needed}, the tokenizer's ids{and}, found {found}"
            );
        }
    }
    model.validate()?;
    Ok(model)
}
