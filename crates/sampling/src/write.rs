//! Text and images in turn: the model writes until BOI, draws, closes the image with EOI and writes on until EOS.

use burn::tensor::Tensor;
use interfuse_checkpoint::Pretrained;
use interfuse_data::Image;
use interfuse_image_tower::NoiseKey;
use rand::Rng;
use rand_chacha::ChaCha8Rng;

use crate::config::SamplingConfig;
use crate::denoise::{Beside, Plain, denoise};
use crate::error::SamplingError;
use crate::generate::{decode, host_images};
use crate::session::Session;

/// A part of what the model made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Piece {
    /// Words.
    Text(String),
    /// An image.
    Image(Image),
}

/// The most images in one document.
const MOST_IMAGES: usize = 4;

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
    let mut generators: Vec<ChaCha8Rng> =
        seeds.iter().map(|&seed| NoiseKey { seed, step: u64::MAX - 1 }.generator(0, 0)).collect();
    let mut documents: Vec<Vec<Piece>> = vec![vec![]; seeds.len()];
    let mut session = Session::token_by_token(pretrained, seeds.len())?;
    let mut logits = session.append_tokens(&vec![vec![special.bos]; seeds.len()]);
    let mut active = vec![true; seeds.len()];
    for image_index in 0..MOST_IMAGES {
        let mut decoder = Decoder { session: &mut session, logits, active: active.clone(), left: config.max_tokens };
        let written = decoder.run(
            |logits| Ok(sampled_tokens(logits, temperature, &mut generators)),
            |token| token == special.boi || token == special.eos,
        )?;
        let drawing: Vec<bool> =
            written.iter().zip(&active).map(|(ids, &active)| active && ids.last() == Some(&special.boi)).collect();
        for (document, ids) in documents.iter_mut().zip(&written) {
            let text = pretrained.tokenizer.decode(ids)?.trim().to_string();
            if !text.is_empty() {
                document.push(Piece::Text(text));
            }
        }
        if !drawing.contains(&true) {
            break;
        }
        // The BOI that ended the stretch has not been read yet.
        let only_drawing =
            |token: u32| drawing.iter().map(|&d| if d { vec![token] } else { vec![] }).collect::<Vec<_>>();
        session.append_tokens(&only_drawing(special.boi));
        let span = session.open_span(&drawing);
        let latents = draw(pretrained, Plain { session: &session, span: &span }, seeds, image_index as u64, config)?;
        session.commit(&span, latents.clone());
        logits = session.append_tokens(&only_drawing(special.eoi));
        for ((document, latents), &generated) in documents.iter_mut().zip(host_images(latents)).zip(&drawing) {
            if generated {
                document.push(Piece::Image(decode(pretrained, latents)?));
            }
        }
        active = drawing;
    }
    Ok(documents)
}

/// The images that are open in a session, guided against sequences that hold nothing before them.
fn draw(
    pretrained: &Pretrained,
    conditional: Plain<'_, '_>,
    seeds: &[u64],
    image_index: u64,
    config: &SamplingConfig,
) -> Result<Tensor<4>, SamplingError> {
    if !config.is_guided() {
        return denoise(pretrained, &conditional, seeds, image_index, config);
    }
    let special = pretrained.card.special_tokens;
    let drawing = &conditional.span.drawing;
    let prompt = |&drawing: &bool| if drawing { vec![special.bos, special.boi] } else { vec![] };
    let mut session = Session::new(pretrained, seeds.len())?;
    session.append_tokens(&drawing.iter().map(prompt).collect::<Vec<_>>());
    let span = session.open_span(drawing);
    let unconditional = Plain { session: &session, span: &span };
    let guided = Beside { conditional, unconditional, guidance: config.guidance };
    denoise(pretrained, &guided, seeds, image_index, config)
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
        mut pick: impl FnMut(&Tensor<2>) -> Result<Vec<u32>, SamplingError>,
        ends: impl Fn(u32) -> bool,
    ) -> Result<Vec<Vec<u32>>, SamplingError> {
        let mut written: Vec<Vec<u32>> = vec![vec![]; self.session.len()];
        while let Some(logits) = self.logits.take() {
            let tokens = pick(&logits)?;
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
            if self.left == 0 || !self.active.contains(&true) {
                break;
            }
            self.logits = self.session.append_tokens(&next);
        }
        Ok(written)
    }
}

/// The likeliest token of every sequence. `[B, V]`
pub(crate) fn greedy_tokens(logits: &Tensor<2>) -> Vec<u32> {
    let ids = logits.clone().argmax(1).into_data().convert::<i64>().try_to_vec::<i64>().unwrap_or_default();
    ids.into_iter().map(|id| id as u32).collect()
}

/// A token of every sequence, sampled with its own generator. `[B, V]`
fn sampled_tokens(logits: &Tensor<2>, temperature: f64, generators: &mut [ChaCha8Rng]) -> Vec<u32> {
    let [_, vocab] = logits.dims();
    let values = logits.to_data().convert::<f32>().try_to_vec::<f32>().unwrap_or_default();
    let rows = values.chunks_exact(vocab.max(1)).zip(generators);
    rows.map(|(row, rng)| {
        let peak = row.iter().copied().fold(f32::NEG_INFINITY, f32::max);
        let weights: Vec<f64> = row.iter().map(|&x| (f64::from(x - peak) / temperature).exp()).collect();
        let total: f64 = weights.iter().sum();
        let mut rest = (rng.next_u64() >> 11) as f64 / (1u64 << 53) as f64 * total;
        let chosen = weights.iter().position(|weight| {
            rest -= weight;
            rest < 0.0
        });
        chosen.unwrap_or(vocab - 1) as u32
    })
    .collect()
}
