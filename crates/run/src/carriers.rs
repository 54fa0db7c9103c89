//! Which modalities carry captions, images and speech, and the sizes of a model that follow from what they carry.

use interfuse_checkpoint::CodeIds;
use interfuse_data::{DocumentConfig, Tokenizer, UnitIds};
use interfuse_sequence::{Objective, PositionScheme};
use interfuse_transfusion::{ModalityConfig, ModelConfig};

use crate::error::{Result, refuse};

/// The modalities that carry captions, images and speech: those that are named, or the only ones that can.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Carriers {
    /// A next-token modality.
    pub(crate) captions: String,
    /// A denoise modality, or where images are codes a next-token modality of the captions' vocabulary; none where the data
    /// has no images.
    pub(crate) images: Option<String>,
    /// A next-token modality of the captions' vocabulary; none where the data has no speech.
    pub(crate) speech: Option<String>,
}

/// What the data holds beside text.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Held {
    /// Images, and whether the codec makes codes of them.
    pub(crate) images: Option<Coding>,
    /// Speech.
    pub(crate) speech: bool,
}

/// What a codec makes of images.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Coding {
    /// Latents, which are denoised.
    Continuous,
    /// Codes, which are learned as tokens are.
    Codes,
}

impl Carriers {
    /// Of a model, for what the data holds.
    ///
    /// # Errors
    /// When a modality that is named cannot carry it, several can and none is named, or a modality is left without data.
    pub(crate) fn of(model: &ModelConfig, documents: &DocumentConfig, held: Held) -> Result<Self> {
        let of_objective = |objective: Objective| {
            model.modalities.iter().filter(move |(_, modality)| modality.objective() == objective)
        };
        let owns = |modality: &ModalityConfig| modality.shares().is_none();
        let words: Vec<&str> = of_objective(Objective::NextToken).map(|(name, _)| name.as_str()).collect();
        let owners = of_objective(Objective::NextToken).filter(|(_, modality)| owns(modality));
        let owners: Vec<&str> = owners.map(|(name, _)| name.as_str()).collect();
        let captions = pick("captions", "learned by next_token", &documents.captions, &words, &owners)?;
        let vocabulary = |name: &str| {
            let shared = model.modalities.get(name).and_then(|modality| modality.shares());
            shared.map_or_else(|| name.to_string(), String::clone)
        };
        let of_one = of_objective(Objective::NextToken)
            .filter(|(name, _)| **name != captions && vocabulary(name) == vocabulary(&captions));
        let of_one: Vec<&str> = of_one.map(|(name, _)| name.as_str()).collect();
        // What is named for the other is not meant.
        let left = |other: &Option<String>| -> Vec<&str> {
            of_one.iter().copied().filter(|name| other.as_deref() != Some(*name)).collect()
        };
        let images = match held.images {
            None => {
                refuse_unused("images", &documents.images)?;
                None
            }
            Some(Coding::Continuous) => {
                let fit: Vec<&str> = of_objective(Objective::Denoise).map(|(name, _)| name.as_str()).collect();
                let what = "learned by denoise, for the codec has no codes";
                Some(pick("images", what, &documents.images, &fit, &fit)?)
            }
            Some(Coding::Codes) => {
                refuse_denoised(model)?;
                let fit = left(&documents.speech);
                let what =
                    format!("that shares the vocabulary of `{captions}` (vocabulary = ...), for the codec has codes");
                Some(pick("images", &what, &documents.images, &fit, &fit)?)
            }
        };
        let speech = match held.speech {
            false => {
                refuse_unused("speech", &documents.speech)?;
                None
            }
            true => {
                let fit = left(&images);
                let what =
                    format!("that shares the vocabulary of `{captions}` (vocabulary = ...), for units of speech");
                Some(pick("speech", &what, &documents.speech, &fit, &fit)?)
            }
        };
        let carriers = Self { captions, images, speech };
        carriers.refuse_without_data(model)?;
        Ok(carriers)
    }

    /// A modality that nothing is learned from would be trained by nobody and never be asked.
    fn refuse_without_data(&self, model: &ModelConfig) -> Result<()> {
        let carries = |name: &String| {
            *name == self.captions || [&self.images, &self.speech].into_iter().flatten().any(|used| used == name)
        };
        // A vocabulary may be owned by a modality that has no rows of its own.
        let lends = |name: &String| model.modalities.values().any(|modality| modality.shares() == Some(name));
        match model.modalities.keys().find(|name| !carries(name) && !lends(name)) {
            None => Ok(()),
            Some(name) => refuse!(
                "model.modalities.{name}: expected data for it, found none: captions are carried by `{}`, images by {}, \
                 speech by {} (see [documents] and [[data.mixture]])",
                self.captions,
                named(&self.images),
                named(&self.speech),
            ),
        }
    }
}

fn named(name: &Option<String>) -> String {
    name.as_ref().map_or("none".into(), |name| format!("`{name}`"))
}

/// A carrier is named of what the data does not hold.
fn refuse_unused(key: &str, found: &Option<String>) -> Result<()> {
    match found {
        None => Ok(()),
        Some(name) => refuse!("documents.{key}: expected no modality, for data.mixture holds no {key}, found `{name}`"),
    }
}

/// Codes are not denoised, and a code must know its place.
fn refuse_denoised(model: &ModelConfig) -> Result<()> {
    let denoised = model.modalities.iter().find(|(_, modality)| modality.objective() == Objective::Denoise);
    if let Some((name, _)) = denoised {
        refuse!(
            "model.modalities.{name}.objective: expected `next_token`, for the codec has codes, which are not denoised, \
             found `denoise`"
        );
    }
    if model.positions == PositionScheme::Shared {
        refuse!(
            "model.positions: expected `sequential` or `axial`, found `shared`: a code would not know which place of \
             the image it fills"
        );
    }
    Ok(())
}

/// Which ids of the captions' vocabulary are no words: in this order a marker that opens speech, the codes of images, a marker
/// that closes speech, and its units.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct ExtraIds {
    /// `None` where images are denoised, or there are none.
    pub(crate) codes: Option<CodeIds>,
    /// `None` where there is no speech.
    pub(crate) units: Option<UnitIds>,
}

impl ExtraIds {
    /// Behind the ids of a tokenizer, for so many codes and so many units.
    pub(crate) fn new(tokenizer: &Tokenizer, codes: Option<usize>, units: Option<usize>) -> Self {
        let begin = tokenizer.vocab_size();
        let first = begin + usize::from(units.is_some());
        let end = first + codes.unwrap_or(0);
        Self {
            codes: codes.map(|count| CodeIds { first, count }),
            units: units.map(|count| UnitIds { begin: begin as u32, end: end as u32, count }),
        }
    }

    /// Ids that a vocabulary with so many words needs.
    pub(crate) fn needed(&self, words: usize) -> usize {
        let codes = self.codes.map(|codes| codes.first + codes.count);
        self.units.map(|units| units.needed()).or(codes).unwrap_or(words)
    }
}

/// The modality that is named, if it is one of `fit`; if none is, the only one of `usual`.
fn pick(key: &str, what: &str, wanted: &Option<String>, fit: &[&str], usual: &[&str]) -> Result<String> {
    match (wanted, usual) {
        (Some(name), _) if fit.contains(&name.as_str()) => Ok(name.clone()),
        (None, [only]) => Ok(only.to_string()),
        (found, _) => {
            let found = named(found);
            let known = if fit.is_empty() { "one in [model.modalities]".into() } else { fit.join(", ") };
            refuse!("documents.{key}: expected a modality {what} ({known}), found {found}")
        }
    }
}

/// The model with the sizes of the vocabulary and the latents. The vocabulary of captions has the tokenizer's ids, after them
/// those that are no words, and `needed` in all.
pub(crate) fn fill_in(
    mut model: ModelConfig,
    carriers: &Carriers,
    needed: usize,
    extra: ExtraIds,
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
        if text.vocab_size == 0 {
            text.vocab_size = needed;
        }
        if text.vocab_size < needed {
            let and = match (extra.codes.is_some(), extra.units.is_some()) {
                (false, false) => "",
                (true, false) => " and the codes",
                (false, true) => " and the units of speech",
                (true, true) => ", the codes and the units of speech",
            };
            let found = text.vocab_size;
            refuse!(
                "model.modalities.{owner}.vocab_size: expected at least {needed}, for the tokenizer's ids{and}, found {found}"
            );
        }
    }
    model.validate()?;
    Ok(model)
}
