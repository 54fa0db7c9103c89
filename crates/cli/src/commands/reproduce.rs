//! `interfuse reproduce`: a paper's comparison run again.

use interfuse_run::cost::{Cost, Machines};
use interfuse_run::reproduction::{Plan, mot};
use interfuse_trainer::Outcome;

use super::compare::show;
use super::plan::gib;
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
    let options = args.options()?;
    let plan = mot::plan(&options)?;
    if args.list {
        for run in &plan.runs {
            let state = if run.is_finished()? { "finished" } else { "to be trained" };
            say!("{}  seed {}  {state}  {}", run.variant, run.seed, run.folder().display());
        }
        say_costs(&options, &plan, args.machines.machines())?;
        if let Some(missing) = &plan.missing {
            say!("before any is trained: {missing}");
        }
        return Ok(());
    }
    say_costs(&options, &plan, args.machines.machines())?;
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

/// Says what the runs of a size of the paper cost; nothing at the size of a laptop.
fn say_costs(options: &mot::MotOptions, plan: &Plan, machines: Machines) -> anyhow::Result<()> {
    let cost = |run| mot::cost(options.scale, options.setting, run, machines);
    let costs: Vec<Option<Cost>> = plan.runs.iter().map(cost).collect::<Result<_, _>>()?;
    let costs: Vec<(&str, Cost)> =
        plan.runs.iter().zip(costs).filter_map(|(run, cost)| Some((&*run.variant, cost?))).collect();
    if costs.is_empty() {
        return Ok(());
    }
    say!("");
    say!(
        "{:<16} {:>10} {:>10} {:>9} {:>12} {:>9} {:>9}",
        "model",
        "activated",
        "stored",
        "steps",
        "FLOPs",
        "GPU hours",
        "GiB",
    );
    for (at, (variant, cost)) in costs.iter().enumerate() {
        // Seeds of a model cost the same.
        if costs[..at].iter().any(|(other, _)| other == variant) {
            continue;
        }
        say!(
            "{variant:<16} {:>9.1}M {:>9.1}M {:>9} {:>12.3e} {:>9.0} {:>9.1}",
            (cost.activated_backbone + cost.vocabulary) as f64 / 1e6,
            (cost.stored_backbone + cost.vocabulary) as f64 / 1e6,
            cost.steps,
            cost.flops,
            24.0 * cost.days * machines.gpus as f64,
            gib(cost.parameter_bytes + cost.sequence_bytes),
        );
    }
    let flops: f64 = costs.iter().map(|(_, cost)| cost.flops).sum();
    let hours = 24.0 * costs.iter().map(|(_, cost)| cost.days).sum::<f64>();
    say!(
        "{} runs: {flops:.3e} FLOPs, {:.0} GPU hours, {hours:.0} hours on {} GPUs of {} TFLOP/s at {} of them, one after the other",
        costs.len(),
        hours * machines.gpus as f64,
        machines.gpus,
        machines.tflops,
        machines.utilisation
    );
    say!(
        "activated, stored: vocabulary included. GiB: weights, gradients, moments and average in f32, and what the backward \
          pass keeps of one sequence of 4,096 rows in bf16, on every GPU"
    );
    Ok(())
}
