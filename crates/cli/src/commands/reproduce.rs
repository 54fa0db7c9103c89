//! `interfuse reproduce`: a paper's comparison run again.

use interfuse_run::reproduction::mot;
use interfuse_trainer::Outcome;

use super::compare::show;
use super::scaling::this_program;
use crate::args::{MotArgs, ReproduceCommand};
use crate::print::say;
use crate::stopping::stop_when_asked;
use crate::terminal::Terminal;

pub(crate) fn run(command: &ReproduceCommand) -> anyhow::Result<()> {
    match command {
        ReproduceCommand::Mot(args) => run_mot(args),
        ReproduceCommand::Scaling(args) => super::reproduce_scaling::run(args),
    }
}

fn run_mot(args: &MotArgs) -> anyhow::Result<()> {
    let options = args.options();
    let plan = mot::plan(&options)?;
    if args.list {
        for run in &plan.runs {
            let state = if run.is_finished()? { "finished" } else { "to be trained" };
            say!("{}  seed {}  {state}  {}", run.variant, run.seed, run.folder().display());
        }
        return Ok(());
    }
    let stop = stop_when_asked()?;
    let (left, all) = (plan.unfinished()?.len(), plan.runs.len());
    say!("{left} of {all} runs to be trained; Ctrl-C saves and ends, and the same command goes on");
    let mut terminal = Terminal::default();
    let outcome = match args.side_by_side() {
        Some(options) => plan.train_side_by_side(&this_program()?, &options, &mut terminal, &stop),
        None => plan.train(&mut terminal, &stop),
    };
    drop(terminal);
    match outcome? {
        Outcome::Stopped => say!("stopped; the same command goes on where it was"),
        Outcome::Finished => {
            say!("all {all} runs are finished");
            if let Some(comparison) = mot::compared(&options, &plan)? {
                show(&comparison, &options.folder.join("comparison"))?;
            }
        }
    }
    Ok(())
}
