//! `interfuse reproduce scaling`: the sweep of 2301.03728 at the size of a laptop, its fits and their pages.

use std::path::{Path, PathBuf};

use anyhow::Context as _;
use interfuse_parameters::durable::write_file;
use interfuse_run::reproduction::scaling::{PAIRS, prepare};

use super::scaling;
use crate::args::{FitArgs, PlotArgs, ReproduceScalingArgs, SweepArgs};
use crate::print::say;
use crate::terminal::Terminal;

pub(super) fn run(args: &ReproduceScalingArgs) -> anyhow::Result<()> {
    let mut terminal = Terminal::default();
    let sweep = prepare(&args.out, &mut terminal);
    drop(terminal);
    let sweep = sweep?;
    let calibration = args.out.join("calibration.json");
    if !calibration.is_file() {
        scaling::calibrate(&sweep, &calibration)?;
    }
    scaling::sweep(&SweepArgs {
        sweep,
        out: args.out.join("runs"),
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
    fit(&args.out)
}

/// Fits what is there, and draws it.
fn fit(folder: &Path) -> anyhow::Result<()> {
    let table = folder.join("runs/table.csv");
    let mut fits = vec![];
    for pair in PAIRS {
        let name = pair.replace('|', "-");
        let out = folder.join(format!("fit-{name}.json"));
        say!("");
        say!("{pair}");
        scaling::fit(&FitArgs::of_pair(table.clone(), pair, out.clone()))?;
        let page = folder.join(format!("{name}.html"));
        scaling::plot(&PlotArgs {
            fit: out.clone(),
            table: table.clone(),
            out: page,
            png: Some(folder.join("figures").join(name)),
        })?;
        fits.push(out);
    }
    let page = folder.join("beside-the-paper.md");
    write_file(&page, scaling::beside_the_paper(&fits, &mixed_runs(&folder.join("runs/runs"))?)?.as_bytes())?;
    say!("");
    say!("beside the paper: {}", page.display());
    Ok(())
}

/// The last attempt of every run of a pair.
fn mixed_runs(folder: &Path) -> anyhow::Result<Vec<PathBuf>> {
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
    let pairs = PAIRS.map(|pair| format!("{}-N", pair.replace('|', "-")));
    let mut runs = vec![];
    for run in entries(folder)?.iter().filter(|run| pairs.iter().any(|pair| is_of(run, pair))) {
        runs.extend(entries(run)?.into_iter().rfind(|attempt| is_of(attempt, "attempt-")));
    }
    Ok(runs)
}
