//! `interfuse evaluate`: numbers for a trained model, on the data that it was trained on.
//!
//! Data without classes is measured by *retrieval* (is the training picture nearest to a drawn one the prompted one?) and by
//! *captions* (are greedy captions of training pictures exact?). Both say how well a small set was memorised.

use std::path::Path;

use anyhow::{Context, bail};
use interfuse_data::{Picture, Source, Split};
use interfuse_evaluation::proportion::Proportion;
use interfuse_evaluation::retrieval::Retrieval;
use interfuse_evaluation::{captions, retrieval};
use interfuse_sampling::{Drawing, Pretrained, SamplingConfig, caption, draw};
use ndarray::{Array4, Axis};
use serde_json::{Value, json};

use crate::args::EvaluateArgs;
use crate::atomic_file::write_whole;
use crate::commands::loaded_run::LoadedRun;
use crate::progress::{counting_bar, duration};
use crate::recorder::sampling_of;
use crate::run_folder::RunFolder;
use crate::sample_folder::{self, Origin};
use crate::settings::Settings;

/// Pictures of the grid that ends a training run.
const ON_THE_GRID: usize = 48;

pub(crate) fn run(args: &EvaluateArgs) -> anyhow::Result<()> {
    let loaded = LoadedRun::open(&args.model)?;
    let Some(settings) = &loaded.settings else {
        bail!("{}: expected a run folder with config.toml, which names the data to measure on", args.model.run.display());
    };
    let sampling = sampling_of(&loaded.sampling(), &args.draw)?;
    let source = interfuse_data::open(&settings.data, Split::Train)?;
    let measured = measure_memory(&loaded.pretrained, source.as_ref(), &sampling, args.count, args.seed)?;
    report(&measured, &loaded.pretrained, &loaded.folder().join("evaluation.json"))
}

/// Measures a model that has just been trained, and leaves a grid of its pictures in the run folder.
pub(crate) fn measure_after_training(
    settings: &Settings,
    pretrained: &Pretrained,
    folder: &RunFolder,
) -> anyhow::Result<()> {
    let source = interfuse_data::open(&settings.data, Split::Train)?;
    let measured = measure_memory(pretrained, source.as_ref(), &settings.sampling, source.len(), 0)?;
    let shown: Vec<usize> = (0..measured.drawings.len()).step_by(measured.drawings.len().div_ceil(ON_THE_GRID)).collect();
    let drawings: Vec<Drawing> = shown.iter().map(|&i| measured.drawings[i].clone()).collect();
    let pictures: Vec<Picture> = shown.iter().map(|&i| measured.pictures[i].clone()).collect();
    let checkpoint = folder.checkpoint(pretrained.card.step);
    let origin = Origin { sampling: &settings.sampling, checkpoint: &checkpoint, columns: 8 };
    let grid = sample_folder::write(&folder.samples(), &drawings, &pictures, &origin)?;
    report(&measured, pretrained, &folder.evaluation())?;
    println!("a grid of prompts: {}", grid.display());
    Ok(())
}

/// What was drawn, written and found.
struct Measured {
    drawings: Vec<Drawing>,
    pictures: Vec<Picture>,
    sampling: SamplingConfig,
    retrieval: Retrieval,
    captions: captions::Captions,
    references: usize,
    /// A few pairs of caption and what the model wrote.
    examples: Vec<(String, String)>,
    draw_seconds: f64,
}

fn measure_memory(
    pretrained: &Pretrained,
    source: &dyn Source,
    sampling: &SamplingConfig,
    count: usize,
    seed: u64,
) -> anyhow::Result<Measured> {
    let readable: Vec<(usize, Picture)> =
        (0..source.len()).filter_map(|index| Some((index, source.picture(index).ok()?))).collect();
    let references: Vec<Picture> = readable.iter().map(|(_, picture)| picture.clone()).collect();
    let wanted: Vec<usize> = (0..count.max(1)).map(|i| i % references.len()).collect();
    let caption_of = |reference: usize| source.captions(readable[reference].0)[0].clone();
    let drawings: Vec<Drawing> = wanted
        .iter()
        .enumerate()
        .map(|(i, &reference)| Drawing { prompt: caption_of(reference), seed: seed + i as u64 })
        .collect();

    let started = std::time::Instant::now();
    let bar = counting_bar("pictures drawn", drawings.len());
    let pictures = draw(pretrained, &drawings, sampling, &mut |done| bar.set_position(done as u64))?;
    bar.finish_and_clear();
    let draw_seconds = started.elapsed().as_secs_f64();
    let retrieval = retrieval::retrieval(array(&pictures)?.view(), array(&references)?.view(), &wanted)?;

    let bar = counting_bar("pictures captioned", references.len());
    let written = caption(pretrained, &references, sampling, &mut |done| bar.set_position(done as u64))?;
    bar.finish_and_clear();
    let right: Vec<String> = (0..references.len()).map(caption_of).collect();
    let captions = captions::compare(&written, &right)?;
    let examples = right.iter().cloned().zip(written).step_by(references.len().div_ceil(4)).collect();
    let references = references.len();
    let sampling = sampling.clone();
    Ok(Measured { drawings, pictures, sampling, retrieval, captions, references, examples, draw_seconds })
}

fn report(measured: &Measured, pretrained: &Pretrained, path: &Path) -> anyhow::Result<()> {
    let Measured { retrieval, captions, sampling, .. } = measured;
    println!("captions of training pictures, and what the model writes:");
    for (right, written) in &measured.examples {
        println!("  {right:<28} {written}");
    }
    println!("{:<52} {:>8} {:>16} {:>7}", "measured at step ".to_string() + &pretrained.card.step.to_string(), "share", "95 % interval", "chance");
    let chance = 100.0 / measured.references as f64;
    row("nearest training picture is the prompted one", &retrieval.top1, Some(chance));
    row("… or among the five nearest", &retrieval.top5, Some(5.0 * chance));
    row("greedy captions of training pictures are exact", &captions.exact, None);
    println!(
        "{} pictures with guidance {} and {} steps in {} ({:.1} pictures/s)",
        measured.pictures.len(),
        sampling.guidance,
        sampling.steps,
        duration(measured.draw_seconds),
        measured.pictures.len() as f64 / measured.draw_seconds.max(1e-9),
    );
    let report = json!({
        "step": pretrained.card.step,
        "pictures": measured.pictures.len(),
        "guidance": sampling.guidance,
        "steps": sampling.steps,
        "seed": measured.drawings.first().map(|drawing| drawing.seed),
        "retrieval": serde_json::to_value(retrieval)?,
        "captions": serde_json::to_value(captions)?,
        "reference_pictures": measured.references,
        "draw_seconds": measured.draw_seconds,
        "version": env!("CARGO_PKG_VERSION"),
    });
    write_report(&report, path)
}

fn write_report(report: &Value, path: &Path) -> anyhow::Result<()> {
    write_whole(path, serde_json::to_string_pretty(report)?.as_bytes())?;
    println!("written to {}", path.display());
    Ok(())
}

fn row(what: &str, share: &Proportion, chance: Option<f64>) {
    let chance = chance.map(|chance| format!("{chance:.1} %")).unwrap_or_default();
    let interval = format!("{:.1} – {:.1} %", 100.0 * share.low, 100.0 * share.high);
    println!("{what:<52} {:>6.1} % {interval:>16} {chance:>7}", 100.0 * share.share);
}

/// Pictures of one shape in [-1, 1]. `[n, channels, height, width]`
fn array(pictures: &[Picture]) -> anyhow::Result<Array4<f32>> {
    let planes: Vec<_> = pictures.iter().map(Picture::to_unit_range).collect();
    let views: Vec<_> = planes.iter().map(|plane| plane.view()).collect();
    ndarray::stack(Axis(0), &views).context("pictures of one shape")
}
