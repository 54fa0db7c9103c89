//! `interfuse evaluate`: numbers for a trained model, on the data that it was trained on.
//!
//! Data without classes is measured by [`memory`], data with classes by a judge, [`classes`], and the procedural shapes
//! exactly, [`scenes`].

mod classes;
mod memory;
mod neighbours;
mod page;
mod scenes;

use std::path::Path;
use std::time::Instant;

use anyhow::{Context, bail};
use interfuse_data::{Picture, SourceConfig, Split};
use interfuse_evaluation::proportion::Proportion;
use interfuse_sampling::{Drawing, Pretrained, SamplingConfig, draw};
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

/// Pictures of the grid that goes with the numbers.
const ON_THE_GRID: usize = 48;

pub(crate) fn run(args: &EvaluateArgs) -> anyhow::Result<()> {
    let loaded = LoadedRun::open(&args.model)?;
    let Some(settings) = &loaded.settings else {
        let found = args.model.run.display();
        bail!("{found}: expected a run folder with config.toml, which names the data to measure on");
    };
    let sampling = sampling_of(&loaded.sampling(), &args.draw)?;
    let places = Places {
        folder: loaded.folder(),
        samples: &loaded.folder().join("samples"),
        checkpoint: &loaded.checkpoint,
        report: &loaded.folder().join("evaluation.json"),
    };
    measure(settings, &loaded.pretrained, &sampling, (Some(args.count), args.seed), &places).map(|_| ())
}

/// Measures a model that is being trained or has just been, leaves a grid of its pictures in the run folder, and returns the
/// report.
pub(crate) fn measure_in_training(
    settings: &Settings,
    pretrained: &Pretrained,
    folder: &RunFolder,
) -> anyhow::Result<Value> {
    let places = Places {
        folder: folder.path(),
        samples: &folder.samples(),
        checkpoint: &folder.checkpoint(pretrained.card.step),
        report: &folder.evaluation(),
    };
    measure(settings, pretrained, &settings.sampling, (None, 0), &places)
}

/// Where things lie and go.
struct Places<'a> {
    folder: &'a Path,
    samples: &'a Path,
    checkpoint: &'a Path,
    report: &'a Path,
}

fn measure(
    settings: &Settings,
    pretrained: &Pretrained,
    sampling: &SamplingConfig,
    (count, seed): (Option<usize>, u64),
    places: &Places<'_>,
) -> anyhow::Result<Value> {
    let train = interfuse_data::open(&settings.data, Split::Train)?;
    let (drawn, mut report) = if matches!(settings.data.source, SourceConfig::Shapes(_)) {
        let measured = scenes::measure(pretrained, sampling, (count.unwrap_or(1000), seed))?;
        let report = scenes::report(&measured, pretrained)?;
        (measured.drawn, report)
    } else if (0..train.len()).all(|index| train.label(index).is_some()) {
        let held_out = interfuse_data::open(&settings.data, Split::HeldOut)?;
        let judge = classes::judge(train.as_ref(), held_out.as_ref(), &places.folder.join("judge.safetensors"))?;
        let sources = (train.as_ref(), held_out.as_ref());
        let measured = classes::measure(pretrained, &judge, sources, sampling, (count.unwrap_or(1000), seed))?;
        let report = classes::report(&measured, pretrained)?;
        (measured.drawn, report)
    } else {
        let count = count.unwrap_or(train.len());
        let measured = memory::measure(pretrained, train.as_ref(), sampling, count, seed)?;
        let report = memory::report(&measured, pretrained)?;
        (measured.drawn, report)
    };
    let neighbours = neighbours::Neighbours::find(&drawn, train.as_ref())?;
    // Held-out shapes are other scenes, and so farther from training pictures whatever a model does.
    let comparable = !matches!(settings.data.source, SourceConfig::Shapes(_));
    if let Some(memorisation) = comparable.then(|| neighbours.memorisation(&settings.data)).transpose()?.flatten() {
        println!(
            "nearer to a training picture than a held-out one is: {:.1} % of the time (50 %: no copies, 100 %: copies)",
            100.0 * memorisation.drawn_is_nearer
        );
        report["memorisation"] = serde_json::to_value(memorisation)?;
    }
    // While a model is trained, not every step that is measured is kept.
    if let Ok(sha256) = interfuse_vae::folder::hash_file(&places.checkpoint.join("ema.safetensors")) {
        report["checkpoint"] = json!(places.checkpoint.display().to_string());
        report["ema_sha256"] = json!(sha256);
    }
    write_report(&report, places.report)?;
    let (all, count) = (drawn.drawings.len(), ON_THE_GRID.min(drawn.drawings.len()));
    let shown = || (0..count).map(|i| i * all / count);
    let drawings: Vec<Drawing> = shown().map(|i| drawn.drawings[i].clone()).collect();
    let pictures: Vec<Picture> = shown().map(|i| drawn.pictures[i].clone()).collect();
    let origin = Origin { sampling, checkpoint: places.checkpoint, columns: 8 };
    let grid = sample_folder::write(places.samples, &drawings, &pictures, &origin)?;
    println!("a grid of prompts: {}", grid.display());
    let page = places.folder.join("report.html");
    let mut contents = page::Contents {
        title: &format!("{}, step {}", places.folder.display(), pretrained.card.step),
        report: &report,
        metrics: std::fs::read_to_string(places.folder.join("metrics.jsonl")).ok(),
        grid: std::fs::read(&grid).with_context(|| format!("cannot read {}", grid.display()))?,
        prompts: drawings.into_iter().map(|drawing| drawing.prompt).collect(),
        pairs: neighbours.pairs(&drawn, train.as_ref())?,
    };
    page::write(&mut contents, &page)?;
    println!("the whole report: {}", page.display());
    Ok(report)
}

/// The shares and distances of a report by name, for curves.
pub(crate) fn shares(report: &Value) -> Vec<(String, f64)> {
    let mut numbers = vec![];
    let paths = [
        ("retrieval", "/retrieval/top1/share"),
        ("captions_exact", "/captions/exact/share"),
        ("cider_d", "/caption_metrics/cider_d"),
        ("recognised", "/recognised/share"),
        ("fd_cnn_v1", "/fd_cnn_v1"),
        ("seen_scenes_drawn", "/seen_scenes/drawn/all/share"),
        ("held_out_scenes_drawn", "/held_out_scenes/drawn/all/share"),
        ("drawn_is_nearer", "/memorisation/drawn_is_nearer"),
    ];
    for (name, path) in paths {
        numbers.extend(report.pointer(path).and_then(Value::as_f64).map(|value| (name.to_string(), value)));
    }
    numbers
}

/// Pictures, and what it took to draw them.
struct Drawn {
    drawings: Vec<Drawing>,
    pictures: Vec<Picture>,
    sampling: SamplingConfig,
    seconds: f64,
}

fn draw_all(pretrained: &Pretrained, drawings: Vec<Drawing>, sampling: &SamplingConfig) -> anyhow::Result<Drawn> {
    let started = Instant::now();
    let bar = counting_bar("pictures drawn", drawings.len());
    let pictures = draw(pretrained, &drawings, sampling, &mut |done| bar.set_position(done as u64))?;
    bar.finish_and_clear();
    Ok(Drawn { drawings, pictures, sampling: sampling.clone(), seconds: started.elapsed().as_secs_f64() })
}

impl Drawn {
    fn summary(&self) -> String {
        format!(
            "{} pictures with guidance {} and {} steps in {} ({:.1} pictures/s)",
            self.pictures.len(),
            self.sampling.guidance,
            self.sampling.steps,
            duration(self.seconds),
            self.pictures.len() as f64 / self.seconds.max(1e-9),
        )
    }

    fn report(&self) -> Value {
        json!({
            "pictures": self.pictures.len(),
            "guidance": self.sampling.guidance,
            "steps": self.sampling.steps,
            "shift": self.sampling.shift,
            "first_seed": self.drawings.first().map(|drawing| drawing.seed),
            "seconds": self.seconds,
        })
    }
}

fn heading(step: u64) {
    let what = format!("measured at step {step}");
    println!("{what:<52} {:>8} {:>16} {:>7}", "share", "95 % interval", "chance");
}

fn row(what: &str, share: &Proportion, chance: Option<f64>) {
    let chance = chance.map(|chance| format!("{chance:.1} %")).unwrap_or_default();
    let interval = format!("{:.1} – {:.1} %", 100.0 * share.low, 100.0 * share.high);
    println!("{what:<52} {:>6.1} % {interval:>16} {chance:>7}", 100.0 * share.share);
}

fn write_report(report: &Value, path: &Path) -> anyhow::Result<()> {
    write_whole(path, serde_json::to_string_pretty(report)?.as_bytes())?;
    println!("written to {}", path.display());
    Ok(())
}

/// Pictures of one shape in [-1, 1]. `[n, channels, height, width]`
fn array(pictures: &[Picture]) -> anyhow::Result<Array4<f32>> {
    let planes: Vec<_> = pictures.iter().map(Picture::to_unit_range).collect();
    let views: Vec<_> = planes.iter().map(|plane| plane.view()).collect();
    ndarray::stack(Axis(0), &views).context("pictures of one shape")
}
