//! Pictures of prompts.

use burn::tensor::Tensor;
use interfuse_data::Picture;
use interfuse_kernels::Workers;
use ndarray::{Array3, Array4};

use crate::config::SamplingConfig;
use crate::denoise::denoise;
use crate::error::SamplingError;
use crate::pretrained::Pretrained;
use crate::session::Session;

/// One picture to draw.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Drawing {
    /// What is to be seen; empty for anything.
    pub prompt: String,
    /// Decides the noise, and with the prompt and the settings the picture.
    pub seed: u64,
}

/// Draws pictures, in batches of at most `max_batch` sequences, on a CPU one for each core; `progress` hears how many are
/// done.
///
/// Each prompt is read once; every denoise step runs over the image's rows alone. A picture depends on its own prompt and
/// seed, never on what else is drawn.
///
/// # Errors
/// When a setting or a prompt does not fit the model.
pub fn draw(
    pretrained: &Pretrained,
    drawings: &[Drawing],
    config: &SamplingConfig,
    progress: &mut dyn FnMut(usize),
) -> Result<Vec<Picture>, SamplingError> {
    config.validate()?;
    let guided = config.guidance != 1.0;
    let at_once = if guided { config.max_batch / 2 } else { config.max_batch };
    let mut pictures = Vec::with_capacity(drawings.len());
    let workers = Workers::on(&pretrained.device, drawings.len());
    let batches: Vec<&[Drawing]> =
        drawings.chunks(at_once.min(drawings.len().div_ceil(workers.count()).max(1))).collect();
    for group in batches.chunks(workers.count()) {
        for drawn in workers.map(group, |batch| draw_batch(pretrained, batch, config, guided)) {
            pictures.extend(drawn?);
        }
        progress(pictures.len());
    }
    Ok(pictures)
}

fn draw_batch(
    pretrained: &Pretrained,
    drawings: &[Drawing],
    config: &SamplingConfig,
    guided: bool,
) -> Result<Vec<Picture>, SamplingError> {
    let latents = draw_latents(pretrained, drawings, config, guided)?;
    host_images(latents).into_iter().map(|latents| decode(pretrained, latents)).collect()
}

fn draw_latents(
    pretrained: &Pretrained,
    drawings: &[Drawing],
    config: &SamplingConfig,
    guided: bool,
) -> Result<Tensor<4>, SamplingError> {
    let mut prompts = Vec::with_capacity(2 * drawings.len());
    for drawing in drawings {
        prompts.push(prompt_ids(pretrained, &drawing.prompt)?);
    }
    if guided {
        let unconditional = prompt_ids(pretrained, "")?;
        prompts.extend(drawings.iter().map(|_| unconditional.clone()));
    }
    let mut session = Session::new(pretrained, prompts.len())?;
    session.append_tokens(&prompts);
    let span = session.open_span(&vec![true; prompts.len()]);
    let seeds: Vec<u64> = drawings.iter().map(|drawing| drawing.seed).collect();
    denoise(pretrained, &session, &span, &seeds, 0, config, guided)
}

/// Whether a prompt is short enough for the rows that the model was trained on.
pub fn fits(pretrained: &Pretrained, prompt: &str) -> bool {
    prompt_ids(pretrained, prompt).is_ok()
}

/// `BOS prompt BOI`: what a picture of the prompt is drawn after.
///
/// # Errors
/// When the prompt cannot be encoded, or is too long for the rows that the model was trained on.
pub fn prompt_ids(pretrained: &Pretrained, prompt: &str) -> Result<Vec<u32>, SamplingError> {
    let special = pretrained.card.special_tokens;
    let words = pretrained.tokenizer.encode(prompt)?;
    let ids = [vec![special.bos], words, vec![special.boi]].concat();
    // A training row also held EOI and EOS.
    let (found, limit) = (ids.len() + 2, pretrained.card.max_text_rows);
    if found > limit {
        return Err(SamplingError::PromptTooLong { prompt: prompt.into(), found, limit });
    }
    Ok(ids)
}

/// Images on the host. `[B, C, H, W]`
pub(crate) fn host_images(latents: Tensor<4>) -> Vec<Array3<f32>> {
    let [batch, channels, height, width] = latents.dims();
    let values = latents.into_data().convert::<f32>().try_to_vec::<f32>().unwrap_or_default();
    match Array4::from_shape_vec((batch, channels, height, width), values) {
        Ok(images) => images.outer_iter().map(|image| image.to_owned()).collect(),
        Err(_) => vec![],
    }
}

/// Latents to a picture.
pub(crate) fn decode(pretrained: &Pretrained, latents: Array3<f32>) -> Result<Picture, SamplingError> {
    let pixels = pretrained.codec.decode(latents)?;
    Ok(Picture::from_unit_range(pixels.view())?)
}
