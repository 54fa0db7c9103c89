//! `interfuse evaluate`: numbers for a trained model, on the data that it was trained on.
//!
//! Data without classes is measured by [`memory`], data with classes by a classifier, [`classes`], and the procedural shapes
//! exactly, [`scenes`]. Where the user has the weights of published networks, those say more: [`published`].

mod classes;
mod generated;
mod losses;
mod memory;
mod neighbours;
mod numbers;
mod page;
mod published;
mod scenes;

use std::path::Path;

use anyhow::{Context, bail};
use interfuse_data::{Image, Source, SourceConfig, Split};
use interfuse_evaluation::bootstrap::Mean;
use interfuse_evaluation::proportion::Proportion;
use interfuse_sampling::{Caption, ImageRequest, Pretrained, SamplingConfig};
use serde_json::{Value, json};

use self::generated::Generated;
use self::published::Published;
use crate::args::EvaluateArgs;
use crate::atomic_file::write_whole;
use crate::commands::loaded_run::LoadedRun;
use crate::recorder::sampling_of;
use crate::run_folder::RunFolder;
use crate::sample_folder::{self, Origin};
use crate::settings::Settings;

/// Images of the grid that goes with the numbers.
const ON_THE_GRID: usize = 48;

pub(crate) fn run(args: &EvaluateArgs) -> anyhow::Result<()> {
    // Weights that are not there are told before anything is generated.
    let published = Published::open(&args.networks, &crate::device::open(&args.model.device)?)?;
    let loaded = LoadedRun::open(&args.model)?;
    let Some(settings) = &loaded.settings else {
        let found = args.model.run.display();
        bail!("{found}: expected a run folder with config.toml, which names the data to measure on");
    };
    let places = Places {
        folder: loaded.folder(),
        samples: &loaded.folder().join("samples"),
        checkpoint: &loaded.checkpoint,
        weights: &loaded.weights,
        report: &loaded.folder().join("evaluation.json"),
    };
    let subject = Subject {
        settings,
        pretrained: &loaded.pretrained,
        sampling: &sampling_of(&loaded.sampling(), &args.sampling)?,
        count: Some(args.count),
        seed: args.seed,
    };
    measure(&subject, &published, &places).map(|_| ())
}

/// Measures a model that is being trained or has just been, leaves a grid of its images in the run folder, and returns the
/// report.
pub(crate) fn measure_in_training(
    settings: &Settings,
    pretrained: &Pretrained,
    folder: &RunFolder,
) -> anyhow::Result<Value> {
    let checkpoint = folder.checkpoint(pretrained.card.step);
    let places = Places {
        folder: folder.path(),
        samples: &folder.samples(),
        checkpoint: &checkpoint,
        weights: &checkpoint.join("ema.safetensors"),
        report: &folder.evaluation(),
    };
    let subject = Subject { settings, pretrained, sampling: &settings.sampling, count: None, seed: 0 };
    measure(&subject, &Published::default(), &places)
}

/// Where things lie and go.
struct Places<'a> {
    folder: &'a Path,
    samples: &'a Path,
    checkpoint: &'a Path,
    weights: &'a Path,
    report: &'a Path,
}

/// What is measured.
struct Subject<'a> {
    settings: &'a Settings,
    pretrained: &'a Pretrained,
    sampling: &'a SamplingConfig,
    /// Images to draw; as many as the data asks for if absent.
    count: Option<usize>,
    /// Of the first image.
    seed: u64,
}

fn measure(subject: &Subject<'_>, published: &Published, places: &Places<'_>) -> anyhow::Result<Value> {
    let data = &subject.settings.data;
    let train = interfuse_data::open(data, Split::Train)?;
    let held_out = interfuse_data::open(data, Split::HeldOut)?;
    let sources = (train.as_ref(), held_out.as_ref());
    let (mut generated, mut report) = by_the_data(subject, sources, places)?;
    let neighbours = neighbours::Neighbours::find(&generated, train.as_ref())?;
    // Held-out shapes are other scenes, and so farther from training images whatever a model does.
    let comparable = !matches!(data.source, SourceConfig::Shapes(_));
    if let Some(memorisation) = comparable.then(|| neighbours.memorisation(held_out.as_ref())).transpose()?.flatten() {
        println!(
            "nearer to a training image than a held-out one is: {:.1} % of the time (50 %: no copies, 100 %: copies)",
            100.0 * memorisation.generated_is_nearer
        );
        report["memorisation"] = serde_json::to_value(memorisation)?;
    }
    if let Some(losses) = losses::measure(subject.settings, subject.pretrained)? {
        report["losses"] = losses;
    }
    published.measure(&mut generated, sources, subject.seed, &mut report)?;
    if let Some(scores) = &generated.scores {
        let mean = Mean::of(&scores.values, subject.seed);
        println!("{}:  {mean}", scores.what);
        report["prompt_score"] = json!({ "what": scores.what, "mean": mean });
    }
    // While a model is trained, not every step that is measured is kept.
    if let Ok(sha256) = interfuse_vae::folder::hash_file(places.weights) {
        report["checkpoint"] = json!(places.checkpoint.display().to_string());
        report["weights"] = json!(places.weights.file_name().map(|name| name.to_string_lossy()));
        report["weights_sha256"] = json!(sha256);
    }
    write_report(&report, places.report)?;
    write_page(subject, &generated, &report, (&neighbours, train.as_ref()), places)?;
    Ok(report)
}

/// What the data itself knows.
fn by_the_data(
    subject: &Subject<'_>,
    (train, held_out): (&dyn Source, &dyn Source),
    places: &Places<'_>,
) -> anyhow::Result<(Generated, Value)> {
    let Subject { settings, pretrained, sampling, count, seed } = *subject;
    if matches!(settings.data.source, SourceConfig::Shapes(_)) {
        let measured = scenes::measure(pretrained, sampling, (count.unwrap_or(1000), seed))?;
        let report = scenes::report(&measured, pretrained)?;
        return Ok((measured.generated, report));
    }
    if (0..train.len()).all(|index| train.label(index).is_some()) {
        let classifier = classes::classifier(train, held_out, &places.folder.join("classifier.safetensors"))?;
        let count = count.unwrap_or(1000);
        let measured = classes::measure(pretrained, &classifier, (train, held_out), sampling, (count, seed))?;
        let report = classes::report(&measured, pretrained)?;
        return Ok((measured.generated, report));
    }
    let measured = memory::measure(pretrained, train, sampling, count.unwrap_or(train.len()), seed)?;
    let report = memory::report(&measured, pretrained)?;
    Ok((measured.generated, report))
}

/// The words of captions; those that were cut are counted and told of.
fn texts(captions: Vec<Caption>) -> Vec<String> {
    let cut: Vec<usize> = captions.iter().filter_map(|caption| caption.cut_at).collect();
    if let Some(limit) = cut.first() {
        let (cut, all) = (cut.len(), captions.len());
        println!("{cut} of {all} captions that the model wrote were cut at sampling.max_caption_tokens = {limit}");
    }
    captions.into_iter().map(|caption| caption.text).collect()
}

/// Leaves a grid of generated images and `report.html`.
fn write_page(
    subject: &Subject<'_>,
    generated: &Generated,
    report: &Value,
    (neighbours, train): (&neighbours::Neighbours, &dyn Source),
    places: &Places<'_>,
) -> anyhow::Result<()> {
    let (all, count) = (generated.requests.len(), ON_THE_GRID.min(generated.requests.len()));
    let shown = || (0..count).map(|i| i * all / count);
    let requests: Vec<ImageRequest> = shown().map(|i| generated.requests[i].clone()).collect();
    let images: Vec<Image> = shown().map(|i| generated.images[i].clone()).collect();
    let origin = Origin { sampling: subject.sampling, checkpoint: places.checkpoint, columns: 8 };
    let grid = sample_folder::write(places.samples, &requests, &images, &origin)?;
    println!("a grid of prompts: {}", grid.display());
    let page = places.folder.join("report.html");
    let contents = page::Contents {
        title: &format!("{}, step {}", places.folder.display(), subject.pretrained.card.step),
        report,
        metrics: std::fs::read_to_string(places.folder.join("metrics.jsonl")).ok(),
        grid: std::fs::read(&grid).with_context(|| format!("cannot read {}", grid.display()))?,
        prompts: requests.into_iter().map(|request| request.prompt).collect(),
        pairs: neighbours.pairs(generated, train)?,
        score: generated.scores.as_ref().map(|scores| scores.what),
    };
    page::write(&contents, &page)?;
    println!("the whole report: {}", page.display());
    Ok(())
}

/// The fractions and distances of a report by name, for curves.
pub(crate) fn fractions(report: &Value) -> Vec<(String, f64)> {
    let mut numbers = vec![];
    let paths = [
        ("retrieval", "/retrieval/top1/fraction"),
        ("captions_exact", "/captions/exact/fraction"),
        ("cider_d", "/caption_metrics/cider_d"),
        ("recognised", "/recognised/fraction"),
        ("fd_cnn_v1", "/fd_cnn_v1"),
        ("seen_scenes_generated", "/seen_scenes/generated/all/fraction"),
        ("held_out_scenes_generated", "/held_out_scenes/generated/all/fraction"),
        ("generated_is_nearer", "/memorisation/generated_is_nearer"),
    ];
    for (name, path) in paths {
        numbers.extend(report.pointer(path).and_then(Value::as_f64).map(|value| (name.to_string(), value)));
    }
    numbers
}

fn heading(step: u64) {
    let what = format!("measured at step {step}");
    println!("{what:<52} {:>8} {:>16} {:>7}", "fraction", "95 % interval", "chance");
}

fn row(what: &str, fraction: &Proportion, chance: Option<f64>) {
    let chance = chance.map(|chance| format!("{chance:.1} %")).unwrap_or_default();
    let interval = format!("{:.1} – {:.1} %", 100.0 * fraction.low, 100.0 * fraction.high);
    println!("{what:<52} {:>6.1} % {interval:>16} {chance:>7}", 100.0 * fraction.fraction);
}

fn write_report(report: &Value, path: &Path) -> anyhow::Result<()> {
    write_whole(path, serde_json::to_string_pretty(report)?.as_bytes())?;
    println!("written to {}", path.display());
    Ok(())
}
