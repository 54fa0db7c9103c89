//! `interfuse bench`: how fast this machine trains and draws.

mod device;

use std::collections::BTreeMap;
use std::path::Path;
use std::time::Instant;

use anyhow::Context;
use burn::tensor::Tensor;
use interfuse_data::LoaderCursor;
use interfuse_image_tower::{NoiseKey, TimestepChoice};
use interfuse_kernels::timing::{OperationTime, timed};
use interfuse_mot::CacheUse;
use interfuse_run::training::pretrained;
use interfuse_run::{Plan, Settings};
use interfuse_sampling::{Session, prompt_ids};
use interfuse_trainer::{Learner as _, Trainer};
use interfuse_transfusion::{LaneInput, ParameterCounts, TrainBatch};

use crate::args::{BenchArgs, BenchStepArgs};
use crate::print::say;

/// The configuration that is measured unless another is named, and where it lies.
const YARDSTICK: (&str, &str) = ("configs/yardstick.toml", include_str!("../../../../../configs/yardstick.toml"));

pub(crate) use self::device::check as device;

/// What `bench denoise` changes in the yardstick: 256 rows of text before 256 of image.
const DENOISE_SIZES: [&str; 2] = ["data.image_size=[128, 128]", "data.source.caption_length=252"];

/// Takes whole training steps, data included, and prints how long they take. Leaves no run folder.
pub(crate) fn step(BenchStepArgs { bench: args, by_operation }: &BenchStepArgs) -> anyhow::Result<()> {
    let plan = plan(args, &[])?;
    let mut trainer = plan.trainer(LoaderCursor::default())?;
    introduce(&plan, &ParameterCounts::of(&trainer.model, &plan.card.model), plan.settings.train.gradient_accumulation);
    for _ in 0..args.warmup {
        trainer.step()?;
    }
    let reports = (0..args.steps.max(1)).map(|_| trainer.step()).collect::<Result<Vec<_>, _>>()?;
    let times = Times::new(reports.iter().map(|report| report.seconds).collect());
    say!("median step {:.1} ms", 1e3 * times.median());
    say!(
        "fastest {:.1} ms, slowest {:.1} ms, {:.0} rows/s, {:.1} GFLOP/s by the model's arithmetic",
        1e3 * times.fastest(),
        1e3 * times.slowest(),
        reports[0].rows as f64 / times.median(),
        reports[0].flops / times.median() / 1e9,
    );
    if let Some(peak) = peak_memory() {
        say!("peak memory {:.0} MiB", peak as f64 / MEBIBYTE);
    }
    if let Some(reserved) = device_memory(&plan.device) {
        say!("device memory {:.0} MiB", reserved as f64 / MEBIBYTE);
    }
    if *by_operation { operations(&mut trainer, args.steps.max(1)) } else { Ok(()) }
}

/// Prints how long each operation takes in a step, forward and backward together, and what none of them takes.
fn operations(trainer: &mut Trainer, steps: u64) -> anyhow::Result<()> {
    trainer.compute_in_turn();
    trainer.step()?;
    let on_cpu = trainer.setup.device == burn::tensor::Device::flex();
    let run = || (0..steps).map(|_| trainer.step()).collect::<Result<Vec<_>, _>>();
    let (reports, times) = if on_cpu { by_name(timed(run)) } else { launches(run) };
    let of_a_step = |seconds: f64| 1e3 * seconds / steps as f64;
    let whole = of_a_step(reports?.iter().map(|report| report.seconds).sum());
    let mut rows: Vec<(String, f64, f64)> = times
        .into_iter()
        .map(|(name, found)| (name, found.calls as f64 / steps as f64, of_a_step(found.time.as_secs_f64())))
        .collect();
    rows.sort_by(|a, b| b.2.total_cmp(&a.2));
    let rest = whole - rows.iter().map(|(.., time)| time).sum::<f64>();
    let width = rows.iter().map(|(name, ..)| name.chars().count()).max().unwrap_or(0).clamp(28, 90);
    say!("{:<width$} {:>8} {:>10} {:>7}", "operation", "calls", "ms", "part");
    for (name, calls, time) in &rows {
        say!("{name:<width$} {calls:>8.1} {time:>10.2} {:>6.1} %", 100.0 * time / whole);
    }
    say!("{:<width$} {:>8} {rest:>10.2} {:>6.1} %", "all else", "", 100.0 * rest / whole);
    let calls: f64 = rows.iter().map(|(_, calls, _)| calls).sum();
    say!("{:<width$} {calls:>8.1} {whole:>10.2}", "a step, mean");
    Ok(())
}

/// What ran, by name.
type ByName = BTreeMap<String, OperationTime>;

fn by_name<T>((out, times): (T, BTreeMap<&'static str, OperationTime>)) -> (T, ByName) {
    (out, times.into_iter().map(|(name, found)| (name.to_string(), found)).collect())
}

/// The kernels that a GPU is given.
#[cfg(any(feature = "cuda", feature = "wgpu"))]
fn launches<T>(f: impl FnOnce() -> T) -> (T, ByName) {
    interfuse_kernels::timing::launches(true, f)
}

/// There is no other device than the CPU.
#[cfg(not(any(feature = "cuda", feature = "wgpu")))]
fn launches<T>(f: impl FnOnce() -> T) -> (T, ByName) {
    by_name(timed(f))
}

/// A denoise step against the cached prefix, and the forward pass over all rows that it replaces.
pub(crate) fn denoise(args: &BenchArgs) -> anyhow::Result<()> {
    let plan = plan(args, &DENOISE_SIZES)?;
    let mut trainer = plan.trainer(LoaderCursor::default())?;
    introduce(&plan, &ParameterCounts::of(&trainer.model, &plan.card.model), 1);
    let model = pretrained(&plan, &trainer);
    let sequences = plan.settings.train.sequences();

    let layouts = trainer.loader.next_batch(sequences)?;
    let key = NoiseKey { seed: 0, step: 0 };
    let batch = TrainBatch::new(&layouts, &model.card.model, key, TimestepChoice::At(0.5), &plan.device);
    let image = |lane: &Option<LaneInput>| match lane {
        Some(LaneInput::Denoise { x_t, .. }) => Some(x_t.clone()),
        _ => None,
    };
    let x_t: Tensor<5> = batch.input().lanes.iter().find_map(image).context("a configuration with images")?;
    let x_t: Tensor<4> = x_t.squeeze_dim(1);

    let source = &plan.images()?.train;
    let prompts = (0..sequences).map(|index| prompt_ids(&model, &source.caption(index % source.len())?));
    let mut session = Session::new(&model, sequences)?;
    session.append_tokens(&prompts.collect::<Result<Vec<_>, _>>()?);
    let span = session.open_span(&vec![true; sequences], model.card.model.latent_shape);

    let full = || drop(model.model.forward(batch.input(), CacheUse::None).lanes);
    let cached = || drop(session.predict(&span, x_t.clone(), 0.5));
    let (full, cached) = alternate(args, &plan.device, full, cached)?;
    say!("forward pass over all rows  {:.1} ms", 1e3 * full.median());
    say!("step with a cached prefix   {:.1} ms", 1e3 * cached.median());
    say!("ratio {:.3}", cached.median() / full.median());
    Ok(())
}

fn plan(args: &BenchArgs, sizes: &[&str]) -> anyhow::Result<Plan> {
    let settings = match &args.config {
        Some(path) => Settings::load(path, &args.overrides)?,
        None => {
            let overrides: Vec<String> = sizes.iter().map(ToString::to_string).chain(args.overrides.clone()).collect();
            Settings::parse(YARDSTICK.1, Path::new(YARDSTICK.0), &overrides)?
        }
    };
    Ok(Plan::new(settings)?)
}

fn introduce(plan: &Plan, counts: &ParameterCounts, batches: usize) {
    say!(
        "{:.2} M parameters in {} parts, {} sequences of {} rows",
        counts.stored as f64 / 1e6,
        counts.parts.len(),
        plan.settings.train.sequences() * batches,
        plan.shape.rows(),
    );
}

/// Times two pieces of work in turn, so that both meet the same machine.
fn alternate(
    args: &BenchArgs,
    device: &burn::tensor::Device,
    first: impl Fn(),
    second: impl Fn(),
) -> anyhow::Result<(Times, Times)> {
    let time = |work: &dyn Fn()| -> anyhow::Result<f64> {
        let started = Instant::now();
        work();
        device.sync()?;
        Ok(started.elapsed().as_secs_f64())
    };
    for _ in 0..args.warmup {
        time(&first)?;
        time(&second)?;
    }
    let (mut of_first, mut of_second) = (vec![], vec![]);
    for _ in 0..args.steps.max(1) {
        of_first.push(time(&first)?);
        of_second.push(time(&second)?);
    }
    Ok((Times::new(of_first), Times::new(of_second)))
}

/// Durations in seconds, at least one.
struct Times(Vec<f64>);

impl Times {
    fn new(mut seconds: Vec<f64>) -> Self {
        seconds.sort_by(f64::total_cmp);
        Self(seconds)
    }

    fn median(&self) -> f64 {
        self.0[self.0.len() / 2]
    }

    fn fastest(&self) -> f64 {
        self.0[0]
    }

    fn slowest(&self) -> f64 {
        self.0[self.0.len() - 1]
    }
}

const MEBIBYTE: f64 = 1024.0 * 1024.0;

/// The bytes that a GPU has reserved for this process, which do not shrink while it trains.
fn device_memory(device: &burn::tensor::Device) -> Option<u64> {
    if *device == burn::tensor::Device::flex() { None } else { Some(device.memory_pool_usage()?.bytes_reserved) }
}

/// The most bytes that this process has held at once, where the system tells.
fn peak_memory() -> Option<u64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"))?;
    let kibibytes: u64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    Some(1024 * kibibytes)
}
