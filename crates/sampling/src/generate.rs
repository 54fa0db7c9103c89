//! Images of prompts.

use std::cell::RefCell;

use burn::tensor::Tensor;
use interfuse_data::Image;
use interfuse_kernels::Workers;
use ndarray::{Array3, Array4};

use crate::codes::{CodeSampler, Opened};
use crate::config::SamplingConfig;
use crate::denoise::{Branches, Plain, denoise};
use crate::error::SamplingError;
use crate::guidance::Guidance;
use crate::session::Session;
use crate::size::latent_shape;
use crate::watching::{Watched, Watcher, Watching};
use interfuse_checkpoint::Pretrained;

/// One image to draw.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ImageRequest {
    /// What is to be seen; empty for anything.
    pub prompt: String,
    /// Decides the noise, and with the prompt, the size and the settings the image.
    pub seed: u64,
    /// Height and width in pixels; the model's own if absent.
    pub size: Option<[usize; 2]>,
}

impl ImageRequest {
    /// Of the model's own size.
    pub fn new(prompt: impl Into<String>, seed: u64) -> Self {
        Self { prompt: prompt.into(), seed, size: None }
    }

    /// The same of another height and width.
    #[must_use]
    pub fn of_size(self, size: Option<[usize; 2]>) -> Self {
        Self { size, ..self }
    }
}

/// Draws images, in batches of at most `max_batch` sequences, on a CPU one for each core; `progress` hears how many are
/// done.
///
/// Each prompt is read once; every denoise step runs over the image's rows alone. An image depends on its own request, never
/// on what else is generated.
///
/// # Errors
/// When a setting, a prompt or a size does not fit the model.
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
    let branches = if config.is_guided() { 2 } else { 1 };
    let batches = Batches { pretrained, at_once: config.max_batch / branches };
    batches.run_by(
        requests,
        |request| request.size,
        |batch| generate_batch(pretrained, batch, config, None).map(Option::unwrap_or_default),
        progress,
    )
}

/// How requests are cut into batches: of at most so many, on a CPU one for each core.
pub(crate) struct Batches<'a> {
    pub(crate) pretrained: &'a Pretrained,
    /// Requests of a batch at most.
    pub(crate) at_once: usize,
}

impl Batches<'_> {
    /// As [`Self::run`], in batches of requests that are alike by `key`.
    pub(crate) fn run_by<R: Sync + Clone, T: Send, K: PartialEq>(
        &self,
        requests: &[R],
        key: impl Fn(&R) -> K,
        of_batch: impl Fn(&[R]) -> Result<Vec<T>, SamplingError> + Sync,
        progress: &mut dyn FnMut(usize),
    ) -> Result<Vec<T>, SamplingError> {
        let mut made: Vec<Option<T>> = requests.iter().map(|_| None).collect();
        let mut done = 0;
        while let Some(first) = made.iter().position(Option::is_none) {
            let alike = |place: &usize| made[*place].is_none() && key(&requests[*place]) == key(&requests[first]);
            let places: Vec<usize> = (first..requests.len()).filter(alike).collect();
            let chosen: Vec<R> = places.iter().map(|&place| requests[place].clone()).collect();
            let of_these = self.run(&chosen, &of_batch, &mut |of_these| progress(done + of_these))?;
            done += places.len();
            places.into_iter().zip(of_these).for_each(|(place, one)| made[place] = Some(one));
        }
        Ok(made.into_iter().flatten().collect())
    }

    /// What `of_batch` makes of all requests, in their order; `progress` hears how many are done.
    pub(crate) fn run<R: Sync, T: Send>(
        &self,
        requests: &[R],
        of_batch: impl Fn(&[R]) -> Result<Vec<T>, SamplingError> + Sync,
        progress: &mut dyn FnMut(usize),
    ) -> Result<Vec<T>, SamplingError> {
        let mut made = Vec::with_capacity(requests.len());
        let workers = Workers::on(&self.pretrained.device, requests.len());
        let size = self.at_once.min(requests.len().div_ceil(workers.count())).max(1);
        let batches: Vec<&[R]> = requests.chunks(size).collect();
        for group in batches.chunks(workers.count()) {
            for of_one in workers.map(group, |batch| of_batch(batch)) {
                made.extend(of_one?);
            }
            progress(made.len());
        }
        Ok(made)
    }
}

/// As [`generate`], of one batch of images of one size that is watched; `None` where it was given up. Images of codes have no
/// steps to watch.
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
    let branches: Vec<_> = [prompts, unconditional].into_iter().filter(|prompts| !prompts.is_empty()).collect();
    let open = |session: &mut Session<'_>, prompts: &[Vec<u32>]| session.append_tokens(prompts);
    let size = requests.first().and_then(|request| request.size);
    let drawing = Drawing { seeds: &seeds, latent_shape: latent_shape(pretrained, size)?, config };
    draw_behind(pretrained, &branches, open, &drawing, watcher)
}

/// Images that are drawn at once.
pub(crate) struct Drawing<'a> {
    /// One of each image.
    pub(crate) seeds: &'a [u64],
    /// `[C, H, W]`
    pub(crate) latent_shape: [usize; 3],
    pub(crate) config: &'a SamplingConfig,
}

/// An image for each seed behind what sequences read: `branches` has what each reads with all that the image follows, and for
/// guidance with less of it; `open` reads it into as many sequences, BOI included, and gives the logits after it. Nothing where
/// whoever watches gave the images up.
pub(crate) fn draw_behind<P: Clone>(
    pretrained: &Pretrained,
    branches: &[Vec<P>],
    open: impl Fn(&mut Session<'_>, &[P]) -> Option<Tensor<2>>,
    drawing: &Drawing<'_>,
    watcher: Option<&mut dyn Watcher>,
) -> Result<Option<Vec<Image>>, SamplingError> {
    let latents = match CodeSampler::new(pretrained, drawing, 0) {
        Some(codes) => draw_codes(pretrained, codes, branches, open)?,
        None => {
            let mut session = Session::new(pretrained, branches.iter().map(Vec::len).sum())?;
            open(&mut session, &branches.concat());
            match denoise_span(pretrained, &mut session, drawing, watcher)? {
                Some(latents) => host_images(latents),
                None => return Ok(None),
            }
        }
    };
    latents.into_iter().map(|latents| decode(pretrained, latents)).collect::<Result<_, _>>().map(Some)
}

/// As [`draw_behind`], images of codes, of which those of the first branch are guided by the second.
fn draw_codes<P>(
    pretrained: &Pretrained,
    mut codes: CodeSampler,
    branches: &[Vec<P>],
    open: impl Fn(&mut Session<'_>, &[P]) -> Option<Tensor<2>>,
) -> Result<Vec<Array3<f32>>, SamplingError> {
    let [whole, less] = [0, 1].map(|branch| branches.get(branch).map_or(&[][..], Vec::as_slice));
    let mut sessions = [Session::new(pretrained, whole.len())?, Session::new(pretrained, less.len())?];
    let [conditional, unconditional] = {
        let [one, other] = &mut sessions;
        [(one, whole), (other, less)].map(|(session, reads)| {
            let logits = open(session, reads)?;
            Some(Opened { session, logits })
        })
    };
    Ok(conditional.map_or(vec![], |opened| codes.draw(opened, unconditional, &vec![true; whole.len()])))
}

/// Denoises an image behind all that the sequences of a session hold: one for each seed, whose branches are `n` sequences each.
/// Nothing where whoever watches gave it up.
fn denoise_span(
    pretrained: &Pretrained,
    session: &mut Session<'_>,
    &Drawing { seeds, latent_shape, config }: &Drawing<'_>,
    watcher: Option<&mut dyn Watcher>,
) -> Result<Option<Tensor<4>>, SamplingError> {
    let sequences = session.len();
    let span = session.open_span(&vec![true; sequences], latent_shape);
    let all = Plain { session, span: &span };
    let count = sequences / seeds.len().max(1);
    let denoiser = Branches { all, count, guidance: Guidance::of(config) };
    let (Some(watcher), Some(tower)) = (watcher, pretrained.card.model.image_tower()) else {
        return denoise(pretrained, &denoiser, latent_shape, (seeds, 0), config).map(Some);
    };
    let watching = Watching::new(watcher, config.steps, config.solver_for(tower.process)?);
    let watched = Watched { inner: &denoiser, pretrained, state: RefCell::new(watching) };
    let latents = denoise(pretrained, &watched, latent_shape, (seeds, 0), config)?;
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
