//! Speech of text, text of speech, and speech that goes on: units said one after the other.
//!
//! Within a stretch of speech the model may say units and the marker that ends it, nothing else. In a sequence that has ended
//! nothing more is said, so what one says does not depend on how long the others talk.

use burn::tensor::Tensor;
use interfuse_checkpoint::{Pretrained, SpeechCard};
use interfuse_image_tower::NoiseKey;
use interfuse_speech::Audio;
use interfuse_speech::units::UnitSequence;
use rand_chacha::ChaCha8Rng;

use crate::caption::{Caption, likeliest_text};
use crate::config::SamplingConfig;
use crate::error::SamplingError;
use crate::session::Session;
use crate::token::TokenChoice;

/// The step under which units are sampled; training never gets there.
const SPEECH_STEP: u64 = u64::MAX - 3;

/// Something to say.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SpeechRequest {
    /// What comes before the speech.
    pub prompt: SpeechPrompt,
    /// Decides the choice of units.
    pub seed: u64,
}

/// What speech follows from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SpeechPrompt {
    /// The words that are to be said.
    Text(String),
    /// The units that it goes on from, none for anything.
    Units(Vec<u32>),
}

/// Units that the model said.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Speech {
    /// From 0, those of the prompt not included.
    pub units: Vec<u32>,
    /// The limit in units at which it was cut, where it did not come to its end before.
    pub cut_at: Option<usize>,
}

/// Says units for every request; `progress` hears how many are done. What is said depends on its own request and the settings,
/// never on what else is said.
///
/// # Errors
/// When the model does not speak, a setting or a text does not fit it, or a unit is beyond its alphabet.
pub fn speak(
    pretrained: &Pretrained,
    requests: &[SpeechRequest],
    config: &SamplingConfig,
    progress: &mut dyn FnMut(usize),
) -> Result<Vec<Speech>, SamplingError> {
    config.validate()?;
    let card = speech_card(pretrained, "speak")?;
    let mut said = Vec::with_capacity(requests.len());
    for batch in requests.chunks(config.max_batch) {
        let mut session = Session::token_by_token(pretrained, batch.len())?;
        let texts = batch.iter().map(|request| opening(pretrained, card, &request.prompt));
        let after_text = session.append_tokens(&texts.collect::<Result<Vec<_>, _>>()?);
        let heard: Vec<Vec<u32>> = batch.iter().map(|request| request.prompt.units().to_vec()).collect();
        let after_units = session.append_units(&heard);
        let goes_on: Vec<bool> = heard.iter().map(|units| !units.is_empty()).collect();
        let logits = after_text.map(|text| merged(text, after_units, &goes_on));
        let mut speaker = Speaker::new(&batch.iter().map(|request| request.seed).collect::<Vec<_>>(), 0, config, card);
        said.extend(speaker.run(&mut session, logits, &vec![true; batch.len()]));
        progress(said.len());
    }
    Ok(said)
}

/// Writes what is said in clips, given as units; the likeliest word each time. `progress` hears how many are done.
///
/// # Errors
/// When the model does not hear, a setting does not fit it, or a unit is beyond its alphabet.
pub fn transcribe(
    pretrained: &Pretrained,
    clips: &[Vec<u32>],
    config: &SamplingConfig,
    progress: &mut dyn FnMut(usize),
) -> Result<Vec<Caption>, SamplingError> {
    config.validate()?;
    let card = speech_card(pretrained, "transcribe")?;
    let limit = config.max_caption_tokens.unwrap_or(pretrained.card.max_text_rows).max(1);
    let special = pretrained.card.special_tokens;
    let mut transcripts = Vec::with_capacity(clips.len());
    for batch in clips.chunks(config.max_batch) {
        batch.iter().try_for_each(|units| check(card, units))?;
        let mut session = Session::token_by_token(pretrained, batch.len())?;
        session.append_tokens(&vec![vec![special.bos, card.ids.begin]; batch.len()]);
        session.append_units(batch);
        let logits = session.append_tokens(&vec![vec![card.ids.end]; batch.len()]);
        transcripts.extend(likeliest_text(pretrained, &mut session, (logits, limit), &mut ())?.unwrap_or_default());
        progress(transcripts.len());
    }
    Ok(transcripts)
}

/// How units sound; deduplicated ones last as long as they do on average. Phases are a function of `seed`.
///
/// # Errors
/// When the units of the model were made by another program, or a unit is beyond its alphabet.
pub fn sound(pretrained: &Pretrained, units: &[u32], seed: u64) -> Result<Audio, SamplingError> {
    let card = speech_card(pretrained, "speak")?;
    let Some(codec) = &pretrained.units else {
        return Err(SamplingError::CannotDo { missing: "a unit codec of its own", task: "make sound of units" });
    };
    let sequence = match card.deduplicated {
        true => codec.with_mean_durations(units.to_vec())?,
        false => UnitSequence::new(units.to_vec()),
    };
    Ok(codec.decode(&sequence, seed)?)
}

/// The units of a clip as the model reads them.
///
/// # Errors
/// When the units of the model were made by another program, or the clip is too short.
pub fn units_of(pretrained: &Pretrained, clip: Audio) -> Result<Vec<u32>, SamplingError> {
    let card = speech_card(pretrained, "hear")?;
    let Some(codec) = &pretrained.units else {
        return Err(SamplingError::CannotDo { missing: "a unit codec of its own", task: "make units of sound" });
    };
    let sequence = codec.encode(clip)?;
    let mut units = if card.deduplicated { sequence.deduplicated() } else { sequence }.units().to_vec();
    units.truncate(card.max_units);
    Ok(units)
}

/// The card of a model that speaks.
pub(crate) fn speech_card<'p>(pretrained: &'p Pretrained, task: &'static str) -> Result<&'p SpeechCard, SamplingError> {
    pretrained.card.speech.as_ref().ok_or(SamplingError::CannotDo { missing: "speech", task })
}

impl SpeechPrompt {
    fn units(&self) -> &[u32] {
        match self {
            Self::Text(_) => &[],
            Self::Units(units) => units,
        }
    }
}

/// What is read before units: `BOS text BEGIN`.
fn opening(pretrained: &Pretrained, card: &SpeechCard, prompt: &SpeechPrompt) -> Result<Vec<u32>, SamplingError> {
    let words = match prompt {
        SpeechPrompt::Text(text) => pretrained.tokenizer.encode(text)?,
        SpeechPrompt::Units(units) => {
            check(card, units)?;
            vec![]
        }
    };
    let ids = [vec![pretrained.card.special_tokens.bos], words, vec![card.ids.begin]].concat();
    let (found, limit) = (ids.len() + 2, pretrained.card.max_text_rows);
    match prompt {
        SpeechPrompt::Text(text) if found > limit => {
            Err(SamplingError::PromptTooLong { prompt: text.clone(), found, limit })
        }
        _ => Ok(ids),
    }
}

/// Units that the model has ids for.
fn check(card: &SpeechCard, units: &[u32]) -> Result<(), SamplingError> {
    let alphabet = card.ids.count;
    match units.iter().find(|&&unit| unit as usize >= alphabet) {
        None => Ok(()),
        Some(unit) => Err(SamplingError::UnknownUnit { unit: *unit, alphabet }),
    }
}

/// The logits after units of the sequences that go on, after text of the others. `[B, V]`
fn merged(after_text: Tensor<2>, after_units: Option<Tensor<2>>, goes_on: &[bool]) -> Tensor<2> {
    let Some(after_units) = after_units else { return after_text };
    let rows = goes_on.iter().enumerate().map(|(index, &goes_on)| {
        let logits = if goes_on { &after_units } else { &after_text };
        logits.clone().narrow(0, index, 1)
    });
    Tensor::cat(rows.collect(), 0)
}

/// Says stretches of units.
pub(crate) struct Speaker {
    choice: TokenChoice,
    generators: Vec<ChaCha8Rng>,
    limit: usize,
}

impl Speaker {
    /// For one stretch of each seed, the `stretch`-th of its document.
    pub(crate) fn new(seeds: &[u64], stretch: u64, config: &SamplingConfig, card: &SpeechCard) -> Self {
        let SamplingConfig { unit_temperature: temperature, top_k, top_p, .. } = *config;
        let generator = |&seed: &u64| NoiseKey { seed, step: SPEECH_STEP }.generator(0, stretch);
        Self {
            choice: TokenChoice { temperature, top_k, top_p },
            generators: seeds.iter().map(generator).collect(),
            limit: config.max_units.unwrap_or(card.max_units).max(1),
        }
    }

    /// Lets those sequences speak that have opened a stretch. The marker that ends it has not been read by the model.
    pub(crate) fn run(
        &mut self,
        session: &mut Session<'_>,
        logits: Option<Tensor<2>>,
        speaking: &[bool],
    ) -> Vec<Speech> {
        let mut said = vec![Speech::default(); speaking.len()];
        let mut active = speaking.to_vec();
        let mut logits = logits;
        // Once more than there may be units, for a stretch of so many still has to end.
        for _ in 0..=self.limit {
            let Some(of_units) = logits.take().and_then(|logits| session.of_units(logits)) else { break };
            let chosen = self.choice.choose(&of_units, &active, &mut self.generators);
            let mut next = vec![vec![]; said.len()];
            for (index, id) in chosen.into_iter().enumerate().filter(|(index, _)| speaking[*index]) {
                let speech = &mut said[index];
                match id.checked_sub(1) {
                    _ if !active[index] => {}
                    None => active[index] = false,
                    Some(_) if speech.units.len() == self.limit => {
                        speech.cut_at = Some(self.limit);
                        active[index] = false;
                    }
                    Some(unit) => {
                        speech.units.push(unit);
                        next[index].push(unit);
                    }
                }
            }
            if !active.contains(&true) {
                break;
            }
            logits = session.append_units(&next);
        }
        said
    }
}
