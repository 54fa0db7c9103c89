//! `interfuse plan`: what the models of Mixture-of-Transformers cost to train.

use interfuse_run::cost::Cost;
use serde_json::json;

use crate::args::PlanArgs;
use crate::print::say;

pub(crate) fn run(args: &PlanArgs) -> anyhow::Result<()> {
    let (setting, architecture, machines) = (args.setting(), args.architecture(), args.machines());
    let cost = |size| Cost::of(size, setting, architecture, machines);
    let costs: Vec<Cost> = setting.sizes().iter().map(cost).collect::<Result<_, _>>()?;
    if args.json {
        let plan = json!({ "setting": setting, "architecture": architecture, "machines": machines, "models": costs });
        say!("{}", serde_json::to_string_pretty(&plan)?);
        return Ok(());
    }
    say!(
        "{:<6} {:>10} {:>10} {:>10} {:>11} {:>10} {:>8} {:>10} {:>9} {:>9} {:>9}",
        "model",
        "activated",
        "stored",
        "vocabulary",
        "FLOPs/row",
        "rows/step",
        "steps",
        "FLOPs",
        "weights",
        "sequence",
        "days",
    );
    for cost in &costs {
        say!(
            "{:<6} {:>9.1}M {:>9.1}M {:>9.1}M {:>11.3e} {:>9.2}M {:>8} {:>10.2e} {:>5.1} GiB {:>5.1} GiB {:>9.1}",
            cost.size,
            cost.activated_backbone as f64 / 1e6,
            cost.stored_backbone as f64 / 1e6,
            cost.vocabulary as f64 / 1e6,
            cost.flops_per_row,
            cost.rows_per_step as f64 / 1e6,
            cost.steps,
            cost.flops,
            gib(cost.parameter_bytes),
            gib(cost.sequence_bytes),
            cost.days,
        );
    }
    say!(
        "activated, stored: of the backbone. weights: with gradients, moments and average, in f32 on every GPU. sequence: what \
         the backward pass keeps of 4,096 rows, in bf16, without checkpointing. days: on {} GPUs of {} TFLOP/s at {} of \
         them.",
        machines.gpus,
        machines.tflops,
        machines.utilisation
    );
    Ok(())
}

pub(super) fn gib(bytes: f64) -> f64 {
    bytes / f64::from(1 << 30)
}
