//! `interfuse bench`: how fast this machine trains.

use std::path::Path;

use interfuse_data::LoaderCursor;
use interfuse_transfusion::ParameterCounts;

use crate::args::BenchStepArgs;
use crate::assembly::Plan;
use crate::settings::Settings;

/// The configuration that is measured unless another is named, and where it lies.
const YARDSTICK: (&str, &str) = ("configs/yardstick.toml", include_str!("../../../../configs/yardstick.toml"));

/// Takes whole training steps, data included, and prints how long they take. Leaves no run folder.
pub(crate) fn step(args: &BenchStepArgs) -> anyhow::Result<()> {
    let settings = match &args.config {
        Some(path) => Settings::load(path, &args.overrides)?,
        None => Settings::parse(YARDSTICK.1, Path::new(YARDSTICK.0), &args.overrides)?,
    };
    let device = crate::device::open(&settings.run.device)?;
    let plan = Plan::new(settings, None)?;
    let mut trainer = plan.trainer(&device, LoaderCursor::default())?;
    let counts = ParameterCounts::of(&trainer.model);
    println!(
        "{:.2} M parameters in {} experts, {} sequences of {} rows a step, on {device:?}",
        counts.stored as f64 / 1e6,
        counts.experts.len(),
        plan.settings.train.sequences * plan.settings.train.accumulation,
        plan.shape.rows(),
    );
    for _ in 0..args.warmup {
        trainer.step()?;
    }
    let reports = (0..args.steps.max(1)).map(|_| trainer.step()).collect::<Result<Vec<_>, _>>()?;
    let mut seconds: Vec<f64> = reports.iter().map(|report| report.seconds).collect();
    seconds.sort_by(f64::total_cmp);
    let median = seconds[seconds.len() / 2];
    println!("median step {:.1} ms", 1e3 * median);
    println!(
        "fastest {:.1} ms, slowest {:.1} ms, {:.0} rows/s, {:.1} GFLOP/s",
        1e3 * seconds[0],
        1e3 * seconds[seconds.len() - 1],
        reports[0].rows as f64 / median,
        reports[0].flops / median / 1e9,
    );
    if let Some(peak) = peak_memory() {
        println!("peak memory {:.0} MiB", peak as f64 / (1024.0 * 1024.0));
    }
    Ok(())
}

/// The most bytes that this process has held at once, where the system tells.
fn peak_memory() -> Option<u64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"))?;
    let kibibytes: u64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    Some(1024 * kibibytes)
}
