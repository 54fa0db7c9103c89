//! `interfuse scaling calibrate`, `plan`, `sweep`, `phenomena` and `modalities`.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use anyhow::{Context, bail};
use interfuse_run::calibration::{rows_per_document, seconds_per_step};
use interfuse_run::{RunObserver as _, Settings};
use interfuse_scaling::mixed::Interaction;
use interfuse_sweep::batches::BatchAnswer;
use interfuse_sweep::calibration::Rate;
use interfuse_sweep::modalities::{CrossLosses, cross_perplexity, to_text};
use interfuse_sweep::phenomena::{PhenomenaSettings, phenomena};
use interfuse_sweep::running::commands;
use interfuse_sweep::{Calibration, Plan, PlannedRun, Program, Sweep, SweepOptions};

use super::file::{FitFile, Fitted};
use crate::args::{CalibrateArgs, ModalitiesArgs, PhenomenaArgs, SweepArgs, SweepPlanArgs};
use crate::print::say;
use crate::stopping::stop_when_asked;
use crate::terminal::Terminal;

/// Times a few steps at every size, and counts the rows of every group's documents.
pub(super) fn calibrate(args: &CalibrateArgs) -> anyhow::Result<()> {
    let sweep = Sweep::load(&args.sweep)?;
    let rows = sweep.groups.iter().map(|group| {
        Ok((group.name.clone(), rows_per_document(&group.config, &group.changes).context(group.name.clone())?))
    });
    let tokens_per_document: BTreeMap<String, f64> = rows.collect::<anyhow::Result<_>>()?;
    let unknown = Calibration { tokens_per_document: tokens_per_document.clone(), ..Calibration::default() };
    let plan = Plan::new(&sweep, Some(&unknown))?;
    // Of all runs of a size the first: what others see does not change how long a row takes.
    let mut sizes: BTreeMap<u64, &PlannedRun> = BTreeMap::new();
    for run in &plan.runs {
        sizes.entry(run.params as u64).or_insert(run);
    }
    let (mut rates, all) = (vec![], sizes.len());
    let mut terminal = Terminal::default();
    for (done, run) in sizes.into_values().enumerate() {
        let seconds = seconds_per_step(&run.config, &run.overrides, args.steps).context(run.name.clone())?;
        rates.push(Rate { params: run.params, flops_per_second: run.flops.total() / run.steps as f64 / seconds });
        terminal.progress("sizes", done + 1, all);
    }
    drop(terminal);
    for (group, rows) in &tokens_per_document {
        say!("{group}: {rows:.1} tokens a document");
    }
    for rate in &rates {
        say!("{}: {:.2} GFLOP/s", super::short(rate.params), rate.flops_per_second / 1e9);
    }
    let calibration = Calibration { rates, tokens_per_document, ..Calibration::default() };
    calibration.save(&args.out)?;
    say!("calibration: {}", args.out.display());
    Ok(())
}

/// What a sweep is planned for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    /// The law: one batch for each size and budget.
    Law,
    /// The best batch: every batch that the sweep names.
    Batches,
}

/// The runs of a sweep whose configurations fit together.
pub(super) fn planned(sweep: &Path, calibration: Option<&PathBuf>, kind: Kind) -> anyhow::Result<Plan> {
    let calibration = calibration.map(|path| Calibration::load(path)).transpose()?;
    let sweep = Sweep::load(sweep)?;
    let plan = match kind {
        Kind::Law => Plan::new(&sweep, calibration.as_ref())?,
        Kind::Batches => Plan::of_batches(&sweep, calibration.as_ref())?,
    };
    for run in &plan.runs {
        let settings = Settings::load(&run.config, &run.overrides).with_context(|| run.name.clone())?;
        settings.check_autoencoder().with_context(|| format!("{}: {}", run.name, run.config.display()))?;
    }
    plan.warnings.iter().for_each(|warning| say!("warning: {warning}"));
    Ok(plan)
}

pub(super) fn plan(args: &SweepPlanArgs) -> anyhow::Result<()> {
    let kind = if args.batches { Kind::Batches } else { Kind::Law };
    let plan = planned(&args.sweep, args.calibration.as_ref(), kind)?;
    plan.to_text(args.at_once).lines().for_each(|line| say!("{line}"));
    Ok(())
}

pub(crate) fn sweep(args: &SweepArgs) -> anyhow::Result<()> {
    train(&planned(&args.sweep, args.calibration.as_ref(), Kind::Law)?, args)
}

/// This program, as what starts runs.
pub(crate) fn this_program() -> anyhow::Result<Program> {
    Ok(Program::new(std::env::current_exe().context("cannot tell where this program lies")?))
}

/// Trains what is left of a plan.
pub(super) fn train(plan: &Plan, args: &SweepArgs) -> anyhow::Result<()> {
    let program = this_program()?;
    let options = SweepOptions {
        at_once: args.at_once,
        threads: args.threads,
        devices: args.devices.clone(),
        job: args.job,
        different_data: args.different_data,
        ..SweepOptions::default()
    };
    if args.list {
        commands(plan, &args.out, &program, &options)?.iter().for_each(|command| say!("{command}"));
        return Ok(());
    }
    let stop = stop_when_asked()?;
    let report = interfuse_sweep::sweep(plan, &args.out, &program, &options, &stop, &mut |note| say!("{note}"))?;
    for (name, reason) in &report.failed {
        say!("failed: {name}: {reason}");
    }
    say!("{} runs finished, {} failed, {} left", report.finished, report.failed.len(), report.open);
    say!("table: {}", args.out.join("table.csv").display());
    match report.failed.is_empty() {
        true => Ok(()),
        false => bail!("{} of {} runs failed", report.failed.len(), plan.runs.len()),
    }
}

/// α and β of the interactions of pairs, by their fits.
pub(super) fn exponents_of(fits: &[PathBuf]) -> anyhow::Result<BTreeMap<String, (f64, f64)>> {
    let mut exponents = BTreeMap::new();
    for path in fits {
        match FitFile::read(path)?.fit {
            Fitted::Mixed(mixed) => {
                let Interaction { alpha, beta, .. } = mixed.fit.law.interaction;
                exponents.insert(mixed.pair(), (alpha, beta));
            }
            Fitted::Single(_) => bail!("{}: expected the fit of a pair, found that of one modality", path.display()),
        }
    }
    Ok(exponents)
}

pub(super) fn measure_phenomena(args: &PhenomenaArgs) -> anyhow::Result<()> {
    let mut settings = PhenomenaSettings { exponents: exponents_of(&args.fits)?, ..PhenomenaSettings::default() };
    for path in &args.batches {
        settings.best_batches.extend(BatchAnswer::load(path)?.best_batches());
    }
    phenomena(&args.runs, &settings)?.to_text().lines().for_each(|line| say!("{line}"));
    Ok(())
}

pub(super) fn modalities(args: &ModalitiesArgs) -> anyhow::Result<()> {
    let text =
        std::fs::read_to_string(&args.losses).with_context(|| format!("cannot read {}", args.losses.display()))?;
    let losses: CrossLosses =
        serde_json::from_str(&text).with_context(|| format!("{}: expected names and losses", args.losses.display()))?;
    let found = cross_perplexity(&losses, args.sigma)?;
    to_text(&found, args.sigma).lines().for_each(|line| say!("{line}"));
    Ok(())
}
