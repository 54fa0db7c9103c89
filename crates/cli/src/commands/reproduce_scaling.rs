//! `interfuse reproduce scaling`: the sweep of 2301.03728 at the size of a laptop, its fits and their pages.

use std::path::Path;

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
    for pair in PAIRS {
        let name = pair.replace('|', "-");
        let out = folder.join(format!("fit-{name}.json"));
        say!("");
        say!("{pair}");
        scaling::fit(&FitArgs::of_pair(table.clone(), pair, out.clone()))?;
        let page = folder.join(format!("{name}.html"));
        scaling::plot(&PlotArgs {
            fit: out,
            table: table.clone(),
            out: page,
            png: Some(folder.join("figures").join(name)),
        })?;
    }
    Ok(())
}
