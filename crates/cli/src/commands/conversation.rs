//! `interfuse edit` and `interfuse ask`: what a model makes of an image and words.

use std::path::PathBuf;

use anyhow::{bail, ensure};
use interfuse_data::Image;
use interfuse_run::sample_folder::{self, Origin};
use interfuse_run::{LoadedRun, RunObserver as _};
use interfuse_sampling::{Caption, EditRequest, Exchange, ImageRequest, Question, SamplingError};
use serde_json::json;

use super::sample::listed;
use crate::args::{AskArgs, EditArgs};
use crate::print::{say, say_error};
use crate::terminal::Terminal;

pub(crate) fn edit(args: &EditArgs) -> anyhow::Result<()> {
    args.answer.begin();
    ensure!(args.count > 0, "--count: expected at least 1, found 0");
    let loaded = args.model.open()?;
    let mut sampling = args.sampling.over(&loaded.sampling())?;
    sampling.image_guidance = args.image_guidance.unwrap_or(sampling.image_guidance);
    let images = open_images(&loaded, &args.image, &args.more_images)?;
    if let Some(warning) = loaded.edit_warning(&sampling) {
        say_error!("warning: {warning}");
    }
    let folder = args.out.clone().unwrap_or_else(|| loaded.folder().join("samples"));
    if args.out.is_some() {
        sample_folder::check(&folder)?;
    }
    let seeds = (0..args.count as u64).map(|number| args.seed.wrapping_add(number));
    let requests: Vec<EditRequest> =
        seeds.map(|seed| EditRequest { images: images.clone(), instruction: args.instruction.clone(), seed }).collect();
    let mut terminal = Terminal::default();
    let mut progress = |done| terminal.progress("images", done, requests.len());
    let edited = interfuse_sampling::edit(&loaded.pretrained, &requests, &sampling, &mut progress)?;
    let written: Vec<ImageRequest> =
        requests.iter().map(|request| ImageRequest::new(request.instruction.clone(), request.seed)).collect();
    let origin = Origin { sampling: &sampling, checkpoint: &loaded.checkpoint, columns: 8.min(args.count) };
    let grid = sample_folder::write(&folder, &written, &edited, &origin)?;
    say!("{} images in {}, all of them in {}", edited.len(), folder.display(), grid.display());
    args.answer.give(&json!({ "folder": folder, "grid": grid, "images": listed(&written) }))
}

pub(crate) fn ask(args: &AskArgs) -> anyhow::Result<()> {
    args.answer.begin();
    let loaded = args.model.open()?;
    let images = open_images(&loaded, &args.image, &args.more_images)?;
    if let Some(warning) = loaded.question_warning() {
        say_error!("warning: {warning}");
    }
    let (mut earlier, mut answered) = (vec![], vec![]);
    for text in &args.questions {
        let answers = answers_behind(&loaded, &images, &mut earlier, text)?;
        let Some(Caption { text: answer, cut_at }) = answers.into_iter().next() else {
            bail!("the model gave no answer")
        };
        say!("{answer}");
        if let Some(limit) = cut_at {
            say_error!("warning: the answer was cut at sampling.max_caption_tokens = {limit}");
        }
        answered.push(json!({ "question": text, "answer": answer, "cut_at": cut_at }));
        earlier.push(Exchange { question: text.clone(), answer });
    }
    let last = answered.last().cloned().unwrap_or_default();
    args.answer.give(&json!({ "answer": last["answer"], "cut_at": last["cut_at"], "answers": answered }))
}

/// Answers a question behind those before it; the oldest are left out where all together are longer than what the model learned
/// from.
fn answers_behind(
    loaded: &LoadedRun,
    images: &[Image],
    earlier: &mut Vec<Exchange>,
    text: &str,
) -> anyhow::Result<Vec<Caption>> {
    let sampling = loaded.sampling();
    loop {
        let question = Question::behind(images.to_vec(), earlier, text);
        match interfuse_sampling::answer(&loaded.pretrained, &[question], &sampling, &mut |_| {}) {
            Err(SamplingError::PromptTooLong { limit, .. }) if !earlier.is_empty() => {
                let left_out = earlier.remove(0).question;
                say_error!("warning: {left_out:?} is forgotten, for the model learned from at most {limit} tokens");
            }
            answers => return Ok(answers?),
        }
    }
}

/// The images that are given, brought to the model's size.
fn open_images(loaded: &LoadedRun, first: &PathBuf, more: &[PathBuf]) -> anyhow::Result<Vec<Image>> {
    let framing = loaded.pretrained.card.conversing_framing();
    let open = |path: &PathBuf| Ok(Image::open(path, framing.shape.channels)?.framed(&framing)?);
    std::iter::once(first).chain(more).map(open).collect()
}
