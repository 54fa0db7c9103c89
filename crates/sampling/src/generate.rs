//! Images of prompts.

use std::cell::RefCell;

use burn::tensor::Tensor;
use interfuse_data::Image;
use interfuse_kernels::Workers;
use ndarray::{Array3, Array4};

use crate::codes::{CodeSampler, Opened};
use crate::config::SamplingConfig;
use crate::denoise::{Denoiser, Paired, Plain, denoise};
use crate::error::SamplingError;
use crate::session::Session;
use crate::watching::{Watched, Watcher, Watching};
use interfuse_checkpoint::Pretrained;

/// One image to draw.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ImageRequest {
    /// What is to be seen; empty for anything.
    pub prompt: String,
    /// Decides the noise, and with the prompt and the settings the image.
    pub seed: u64,
}

/// Draws images, in batches of at most `max_batch` sequences, on a CPU one for each core; `progress` hears how many are
/// done.
///
/// Each prompt is read once; every denoise step runs over the image's rows alone. An image depends on its own prompt and
/// seed, never on what else is generated.
///
/// # Errors
/// When a setting or a prompt does not fit the model.
pub fn generate(
    pretrained: &Pretrained,
    requests: &[ImageRequest],
    config: &SamplingConfig,
    progress: &mut dyn FnMut(usize),
) -> Result<Vec<Image>, SamplingError> {
    config.validate()?;
    if pretrained.card.images.is_none() {
        return Err(SamplingError::CannotDo { missing: "images", task: "draw" });
    }
    let at_once = if config.is_guided() { config.max_batch / 2 } else { config.max_batch };
    let mut images = Vec::with_capacity(requests.len());
    let workers = Workers::on(&pretrained.device, requests.len());
    let batches: Vec<&[ImageRequest]> =
        requests.chunks(at_once.min(requests.len().div_ceil(workers.count()).max(1))).collect();
    for group in batches.chunks(workers.count()) {
        for generated in workers.map(group, |batch| generate_batch(pretrained, batch, config, None)) {
            images.extend(generated?.unwrap_or_default());
        }
        progress(images.len());
    }
    Ok(images)
}

/// As [`generate`], of one batch that is watched; `None` where it was given up. Images of codes have no steps to watch.
///
/// # Errors
/// As [`generate`].
pub fn generate_watched(
    pretrained: &Pretrained,
    requests: &[ImageRequest],
    config: &SamplingConfig,
    watcher: &mut dyn Watcher,
) -> Result<Option<Vec<Image>>, SamplingError> {
    config.validate()?;
    if pretrained.card.images.is_none() {
        return Err(SamplingError::CannotDo { missing: "images", task: "draw" });
    }
    generate_batch(pretrained, requests, config, Some(watcher))
}

/// Images of one batch; `None` where whoever watches gave it up.
fn generate_batch(
    pretrained: &Pretrained,
    requests: &[ImageRequest],
    config: &SamplingConfig,
    watcher: Option<&mut dyn Watcher>,
) -> Result<Option<Vec<Image>>, SamplingError> {
    let prompts = requests.iter().map(|request| prompt_ids(pretrained, &request.prompt));
    let prompts: Vec<Vec<u32>> = prompts.collect::<Result<_, _>>()?;
    let unconditional = match config.is_guided() {
        true => vec![prompt_ids(pretrained, "")?; requests.len()],
        false => vec![],
    };
    let seeds: Vec<u64> = requests.iter().map(|request| request.seed).collect();
    let latents = match CodeSampler::new(pretrained, &seeds, 0, config) {
        Some(codes) => draw_codes(pretrained, codes, &prompts, &unconditional)?,
        None => match denoise_latents(pretrained, [prompts, unconditional].concat(), (&seeds, config), watcher)? {
            Some(latents) => host_images(latents),
            None => return Ok(None),
        },
    };
    latents.into_iter().map(|latents| decode(pretrained, latents)).collect::<Result<_, _>>().map(Some)
}

/// An image of codes after each prompt.
fn draw_codes(
    pretrained: &Pretrained,
    mut codes: CodeSampler,
    prompts: &[Vec<u32>],
    unconditional: &[Vec<u32>],
) -> Result<Vec<Array3<f32>>, SamplingError> {
    let mut sessions = [Session::new(pretrained, prompts.len())?, Session::new(pretrained, unconditional.len())?];
    let [conditional, unconditional] = {
        let [one, other] = &mut sessions;
        [(one, prompts), (other, unconditional)].map(|(session, prompts)| {
            let logits = session.append_tokens(prompts)?;
            Some(Opened { session, logits })
        })
    };
    Ok(conditional.map_or(vec![], |opened| codes.draw(opened, unconditional, &vec![true; prompts.len()])))
}

fn denoise_latents(
    pretrained: &Pretrained,
    prompts: Vec<Vec<u32>>,
    (seeds, config): (&[u64], &SamplingConfig),
    watcher: Option<&mut dyn Watcher>,
) -> Result<Option<Tensor<4>>, SamplingError> {
    let mut session = Session::new(pretrained, prompts.len())?;
    session.append_tokens(&prompts);
    let span = session.open_span(&vec![true; prompts.len()]);
    let plain = Plain { session: &session, span: &span };
    let denoiser: Box<dyn Denoiser + '_> = match config.is_guided() {
        true => Box::new(Paired { both: plain, guidance: config.guidance }),
        false => Box::new(plain),
    };
    let (Some(watcher), Some(tower)) = (watcher, pretrained.card.model.image_tower()) else {
        return denoise(pretrained, denoiser.as_ref(), seeds, 0, config).map(Some);
    };
    let watching = Watching::new(watcher, config.steps, config.solver_for(tower.process)?);
    let watched = Watched { inner: denoiser.as_ref(), pretrained, state: RefCell::new(watching) };
    let latents = denoise(pretrained, &watched, seeds, 0, config)?;
    let stopped = watched.state.borrow().is_stopped();
    Ok((!stopped).then_some(latents))
}

/// Whether a prompt is short enough for the rows that the model was trained on.
pub fn fits(pretrained: &Pretrained, prompt: &str) -> bool {
    prompt_ids(pretrained, prompt).is_ok()
}

/// `BOS prompt BOI`: what an image of the prompt is generated after.
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

/// Latents to an image.
pub(crate) fn decode(pretrained: &Pretrained, latents: Array3<f32>) -> Result<Image, SamplingError> {
    let pixels = pretrained.codec.decode(latents)?;
    Ok(Image::from_unit_range(pixels.view())?)
}
