//! Text, images and speech in turn: the model writes until BOI, draws, closes the image with EOI and writes on until EOS; speech
//! stands between markers of its own as an image does.

use std::ops::ControlFlow;

use burn::tensor::Tensor;
use interfuse_checkpoint::Pretrained;
use interfuse_data::Image;
use interfuse_image_tower::NoiseKey;
use ndarray::Array3;
use rand_chacha::ChaCha8Rng;

use crate::caption::ends_text;
use crate::codes::{CodeSampler, Opened};
use crate::config::SamplingConfig;
use crate::denoise::{Beside, Plain, denoise};
use crate::error::SamplingError;
use crate::generate::{Drawing, decode, host_images};
use crate::guidance::Guidance;
use crate::session::Session;
use crate::speech::{Speaker, Speech, speech_card};
use crate::token::TokenChoice;

/// A part of what the model made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Piece {
    /// Words.
    Text(String),
    /// An image.
    Image(Image),
    /// Units of speech, from 0.
    Speech(Vec<u32>),
}

/// The most images and stretches of speech in one document.
const MOST_TURNS: usize = 4;

/// Lets the model write and draw by itself, one document for each seed. Tokens are sampled at the configured temperature, or
/// at 1 when that is 0: without chance all documents would be alike. Images are guided by all that was written before them,
/// against the prediction after none of it.
///
/// # Errors
/// When a setting does not fit the model.
pub fn write(
    pretrained: &Pretrained,
    seeds: &[u64],
    config: &SamplingConfig,
) -> Result<Vec<Vec<Piece>>, SamplingError> {
    config.validate()?;
    let mut documents = Vec::with_capacity(seeds.len());
    let at_once = if config.is_guided() { config.max_batch / 2 } else { config.max_batch };
    for batch in seeds.chunks(at_once) {
        documents.extend(write_batch(pretrained, batch, config)?);
    }
    Ok(documents)
}

fn write_batch(
    pretrained: &Pretrained,
    seeds: &[u64],
    config: &SamplingConfig,
) -> Result<Vec<Vec<Piece>>, SamplingError> {
    let special = pretrained.card.special_tokens;
    let temperature = if config.temperature > 0.0 { config.temperature } else { 1.0 };
    let choice = TokenChoice { temperature, top_k: config.top_k, top_p: config.top_p };
    let mut generators: Vec<ChaCha8Rng> =
        seeds.iter().map(|&seed| NoiseKey { seed, step: u64::MAX - 1 }.generator(0, 0)).collect();
    let mut documents: Vec<Vec<Piece>> = vec![vec![]; seeds.len()];
    let mut session = Session::token_by_token(pretrained, seeds.len())?;
    let mut logits = session.append_tokens(&vec![vec![special.bos]; seeds.len()]);
    let mut active = vec![true; seeds.len()];
    let units = pretrained.card.speech.as_ref().map(|speech| speech.ids);
    for turn in 0..MOST_TURNS {
        let mut decoder = Decoder { session: &mut session, logits, active: active.clone(), left: config.max_tokens };
        let written =
            decoder.run(|logits, active| choice.choose(logits, active, &mut generators), ends_text(pretrained));
        let said = |marker: Option<u32>| -> Vec<bool> {
            let ends = written.iter().zip(&active);
            ends.map(|(ids, &active)| active && marker.is_some() && ids.last().copied() == marker).collect()
        };
        let drawing = said(pretrained.card.images.as_ref().map(|_| special.boi));
        let speaking = said(units.map(|ids| ids.begin));
        for (document, ids) in documents.iter_mut().zip(&written) {
            let text = pretrained.tokenizer.decode(ids)?.trim().to_string();
            if !text.is_empty() {
                document.push(Piece::Text(text));
            }
        }
        active = drawing.iter().zip(&speaking).map(|(drawing, speaking)| *drawing || *speaking).collect();
        if !active.contains(&true) {
            break;
        }
        let mut turn = Turn { pretrained, session: &mut session, seeds, number: turn as u64, config };
        let images = if drawing.contains(&true) { turn.draw(&drawing)? } else { vec![] };
        let speech = if speaking.contains(&true) { turn.speak(&speaking)? } else { vec![] };
        let closing = active.iter().enumerate().map(|(index, _)| match (drawing[index], speaking[index]) {
            (true, _) => vec![special.eoi],
            (_, true) => units.map(|ids| ids.end).into_iter().collect(),
            _ => vec![],
        });
        logits = session.append_tokens(&closing.collect::<Vec<_>>());
        for (index, latents) in images.into_iter().enumerate().filter(|(index, _)| drawing[*index]) {
            documents[index].push(Piece::Image(decode(pretrained, latents)?));
        }
        for (index, said) in speech.into_iter().enumerate().filter(|(index, _)| speaking[*index]) {
            documents[index].push(Piece::Speech(said.units));
        }
    }
    Ok(documents)
}

/// What sequences make of the marker that they have just written, and that has not been read yet.
struct Turn<'a, 'm> {
    pretrained: &'m Pretrained,
    session: &'a mut Session<'m>,
    seeds: &'a [u64],
    /// Counted from 0 within the documents.
    number: u64,
    config: &'a SamplingConfig,
}

impl Turn<'_, '_> {
    /// Images in the sequences that draw. `[C, H, W]` each; those of the others mean nothing.
    fn draw(&mut self, drawing: &[bool]) -> Result<Vec<Array3<f32>>, SamplingError> {
        let Self { pretrained, seeds, config, .. } = *self;
        let all = Drawing { seeds, latent_shape: pretrained.card.model.latent_shape, config };
        let after = self.session.append_tokens(&where_true(drawing, &[pretrained.card.special_tokens.boi]));
        if let (Some(codes), Some(logits)) = (CodeSampler::new(pretrained, &all, self.number), after) {
            let opened = Opened { session: &mut *self.session, logits };
            return draw_codes(pretrained, codes, opened, (drawing, config));
        }
        let span = self.session.open_span(drawing, all.latent_shape);
        let plain = Plain { session: &*self.session, span: &span };
        let latents = draw(pretrained, plain, &all, self.number)?;
        self.session.commit(&span, latents.clone());
        Ok(host_images(latents))
    }

    /// Units in the sequences that speak.
    fn speak(&mut self, speaking: &[bool]) -> Result<Vec<Speech>, SamplingError> {
        let card = speech_card(self.pretrained, "speak")?;
        let logits = self.session.append_tokens(&where_true(speaking, &[card.ids.begin]));
        Ok(Speaker::new(self.seeds, self.number, self.config, card).run(self.session, logits, speaking))
    }
}

/// Tokens for those sequences that are marked.
fn where_true(marks: &[bool], tokens: &[u32]) -> Vec<Vec<u32>> {
    marks.iter().map(|&mark| if mark { tokens.to_vec() } else { vec![] }).collect()
}

/// The images that are open in a session, guided against sequences that hold nothing before them.
fn draw(
    pretrained: &Pretrained,
    conditional: Plain<'_, '_>,
    &Drawing { seeds, latent_shape, config }: &Drawing<'_>,
    image_index: u64,
) -> Result<Tensor<4>, SamplingError> {
    if !config.is_guided() {
        return denoise(pretrained, &conditional, latent_shape, (seeds, image_index), config);
    }
    let drawing = &conditional.span.drawing;
    let mut session = Session::new(pretrained, seeds.len())?;
    session.append_tokens(&without_past(pretrained, drawing));
    let span = session.open_span(drawing, latent_shape);
    let unconditional = Plain { session: &session, span: &span };
    let guided = Beside { conditional, unconditional, guidance: Guidance::of(config) };
    denoise(pretrained, &guided, latent_shape, (seeds, image_index), config)
}

/// An image of codes in the sequences that draw, guided as [`draw`] does.
fn draw_codes(
    pretrained: &Pretrained,
    mut codes: CodeSampler,
    conditional: Opened<'_, '_>,
    (drawing, config): (&[bool], &SamplingConfig),
) -> Result<Vec<Array3<f32>>, SamplingError> {
    let mut session = Session::new(pretrained, drawing.len())?;
    let unconditional = match config.is_guided() {
        true => session.append_tokens(&without_past(pretrained, drawing)),
        false => None,
    };
    let unconditional = unconditional.map(|logits| Opened { session: &mut session, logits });
    Ok(codes.draw(conditional, unconditional, drawing))
}

/// `BOS BOI` where an image is to follow.
fn without_past(pretrained: &Pretrained, drawing: &[bool]) -> Vec<Vec<u32>> {
    let special = pretrained.card.special_tokens;
    where_true(drawing, &[special.bos, special.boi])
}

/// Writes token by token.
pub(crate) struct Decoder<'s, 'm> {
    session: &'s mut Session<'m>,
    logits: Option<Tensor<2>>,
    active: Vec<bool>,
    left: usize,
}

impl<'s, 'm> Decoder<'s, 'm> {
    pub(crate) fn new(session: &'s mut Session<'m>, logits: Option<Tensor<2>>, max_tokens: usize) -> Self {
        let active = vec![true; session.len()];
        Self { session, logits, active, left: max_tokens }
    }

    /// Whether each sequence came to the limit before a token that ends it.
    pub(crate) fn cut(&self) -> &[bool] {
        &self.active
    }

    /// Writes until every sequence has come to a token that ends it, or the limit. The token that ends a stretch is its
    /// last and has not been read by the model.
    pub(crate) fn run(
        &mut self,
        mut pick: impl FnMut(&Tensor<2>, &[bool]) -> Vec<u32>,
        ends: impl Fn(u32) -> bool,
    ) -> Vec<Vec<u32>> {
        self.run_heard(&mut pick, ends, |_| ControlFlow::Continue(())).unwrap_or_default()
    }

    /// As [`Self::run`], where `heard` is told after every token what was written so far; `None` where it gave the text up.
    pub(crate) fn run_heard(
        &mut self,
        mut pick: impl FnMut(&Tensor<2>, &[bool]) -> Vec<u32>,
        ends: impl Fn(u32) -> bool,
        mut heard: impl FnMut(&[Vec<u32>]) -> ControlFlow<()>,
    ) -> Option<Vec<Vec<u32>>> {
        let mut written: Vec<Vec<u32>> = vec![vec![]; self.session.len()];
        while let Some(logits) = self.logits.take() {
            let tokens = pick(&self.session.of_words(logits), &self.active);
            self.left = self.left.saturating_sub(1);
            let mut next = vec![vec![]; written.len()];
            for (index, &token) in tokens.iter().enumerate() {
                if self.active[index] {
                    written[index].push(token);
                    self.active[index] = !ends(token);
                    if self.active[index] {
                        next[index].push(token);
                    }
                }
            }
            if heard(&written).is_break() {
                return None;
            }
            if self.left == 0 || !self.active.contains(&true) {
                break;
            }
            self.logits = self.session.append_tokens(&next);
        }
        Some(written)
    }
}
