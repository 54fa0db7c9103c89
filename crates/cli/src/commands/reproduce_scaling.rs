//! `interfuse reproduce scaling`: the sweep of 2301.03728 at the size of a laptop, its fits and their pages.

use std::path::{Path, PathBuf};

use anyhow::Context as _;
use interfuse_parameters::durable::write_file;
use interfuse_run::reproduction::scaling::{Modalities, prepare};

use super::scaling;
use crate::args::{FitArgs, PlotArgs, ReproduceScalingArgs, SweepArgs};
use crate::print::say;
use crate::terminal::Terminal;

pub(super) fn run(args: &ReproduceScalingArgs) -> anyhow::Result<()> {
    let (modalities, folder) = (args.modalities(), args.folder());
    let mut terminal = Terminal::default();
    let sweep = prepare(&folder, modalities, &mut terminal);
    drop(terminal);
    let sweep = sweep?;
    let calibration = folder.join("calibration.json");
    if !calibration.is_file() {
        scaling::calibrate(&sweep, &calibration)?;
    }
    scaling::sweep(&SweepArgs {
        sweep,
        out: folder.join("runs"),
        calibration: Some(calibration),
        at_once: args.at_once,
        threads: None,
        devices: vec![],
        job: args.job,
        list: args.list,
        different_data: true,
    })?;
    if args.list || args.job.is_some() {
        return Ok(());
    }
    fit(&folder, modalities)
}

/// Fits what is there, and draws it.
fn fit(folder: &Path, modalities: Modalities) -> anyhow::Result<()> {
    let table = folder.join("runs/table.csv");
    let file = |group: &str| folder.join(format!("fit-{group}.json"));
    let of_pair = |&(pair, group): &(&str, &'static str)| (FitArgs::of_pair(table.clone(), pair, file(group)), group);
    let of_single = |name: &&'static str| (FitArgs::of_modality(table.clone(), name, file(name)), *name);
    let mut fits = vec![];
    for (args, name) in modalities.pairs().iter().map(of_pair).chain(modalities.singles().iter().map(of_single)) {
        say!("");
        say!("{name}");
        scaling::fit(&args)?;
        scaling::plot(&PlotArgs {
            fit: args.out.clone(),
            table: table.clone(),
            out: folder.join(format!("{name}.html")),
            png: Some(folder.join("figures").join(name)),
        })?;
        fits.push(args.out);
    }
    let page = folder.join("beside-the-paper.md");
    let runs = mixed_runs(&folder.join("runs/runs"), modalities)?;
    write_file(&page, scaling::beside_the_paper(&fits, &runs)?.as_bytes())?;
    say!("");
    say!("beside the paper: {}", page.display());
    Ok(())
}

/// The last attempt of every run of a pair.
fn mixed_runs(folder: &Path, modalities: Modalities) -> anyhow::Result<Vec<PathBuf>> {
    let entries = |folder: &Path| -> anyhow::Result<Vec<PathBuf>> {
        let found = std::fs::read_dir(folder).with_context(|| format!("cannot read {}", folder.display()))?;
        let mut paths: Vec<PathBuf> = found.filter_map(|entry| Some(entry.ok()?.path())).collect();
        // Beside an attempt lies its log.
        paths.retain(|path| path.is_dir());
        paths.sort();
        Ok(paths)
    };
    let is_of =
        |path: &Path, start: &str| path.file_name().is_some_and(|name| name.to_string_lossy().starts_with(start));
    let pairs: Vec<String> = modalities.pairs().iter().map(|(_, group)| format!("{group}-N")).collect();
    let mut runs = vec![];
    for run in entries(folder)?.iter().filter(|run| pairs.iter().any(|pair| is_of(run, pair))) {
        runs.extend(entries(run)?.into_iter().rfind(|attempt| is_of(attempt, "attempt-")));
    }
    Ok(runs)
}
