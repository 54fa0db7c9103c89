//! The memory of a training step, as `interfuse inspect` shows it.

use interfuse_kernels::Precision;
use interfuse_run::Plan;
use interfuse_run::memory::{self, StepDevice};
use interfuse_transfusion::StepMemory;
use serde_json::{Value, json};

use crate::print::say;

/// Where a step may be computed.
const DEVICES: [(&str, &str, StepDevice); 3] = [
    ("CPU", "cpu", StepDevice::Cpu),
    ("GPU, f32", "gpu_f32", StepDevice::Gpu(Precision::F32)),
    ("GPU, bf16", "gpu_bf16", StepDevice::Gpu(Precision::Bf16)),
];
/// GiB of usual GPUs.
const SIZES: [f64; 4] = [16.0, 24.0, 40.0, 80.0];
const GIB: f64 = (1u64 << 30) as f64;

/// Prints what a step of a plan takes, and what fits into GPUs, and gives both for scripts.
pub(super) fn print(plan: &Plan, parameters: usize, memory: Option<f64>) -> anyhow::Result<Value> {
    let asked = plan.settings.train.activation_checkpointing;
    let of = |checkpointing: bool| -> anyhow::Result<Vec<StepMemory>> {
        let of_device = |(_, _, on): &(_, _, StepDevice)| {
            Ok(StepMemory::of(&plan.card.model, parameters, &on.settings(plan, checkpointing))?)
        };
        DEVICES.iter().map(of_device).collect()
    };
    let (steps, others) = (of(asked)?, of(!asked)?);
    print_steps(&steps, &others, asked);
    let sizes = memory.map_or(SIZES.to_vec(), |gib| vec![gib]);
    let fits = print_fits(plan, parameters, &sizes)?;

    let own = memory::of_step(plan, parameters)?;
    let totals = |steps: &[StepMemory]| -> Value {
        DEVICES
            .iter()
            .zip(steps)
            .map(|((_, key, on), step)| (key.to_string(), json!(step.total() + on.besides())))
            .collect()
    };
    let (key, other) = match asked {
        true => ("with_checkpointing", "without_checkpointing"),
        false => ("without_checkpointing", "with_checkpointing"),
    };
    Ok(json!({
        "all": own.total() + StepDevice::of(plan).besides(), "activations": own.activations(), "step": own,
        key: totals(&steps), other: totals(&others), "fits": fits,
    }))
}

fn print_steps(steps: &[StepMemory], others: &[StepMemory], asked: bool) {
    say!("memory of a step, by arithmetic (MiB)");
    let row = |name: &str, bytes: &dyn Fn(usize) -> usize| {
        let numbers: Vec<String> =
            (0..DEVICES.len()).map(|device| format!("{:>12.1}", bytes(device) as f64 / 1024.0 / 1024.0)).collect();
        say!("  {name:<34}{}", numbers.concat());
    };
    say!("  {:<34}{}", "", DEVICES.map(|(name, ..)| format!("{name:>12}")).concat());
    row("weights, moments, average", &|device| steps[device].weights + steps[device].moments + steps[device].average);
    row("gradients", &|device| steps[device].gradients);
    let at_once = |bytes: usize, device: usize| bytes * steps[device].at_once;
    for index in 0..steps[0].kept.len() {
        row(&format!("kept by {}", steps[0].kept[index].kind), &|device| {
            at_once(steps[device].kept[index].bytes, device)
        });
    }
    row("logits", &|device| at_once(steps[device].logits, device));
    row("work", &|device| at_once(steps[device].work, device));
    row("the program", &|device| DEVICES[device].2.besides());
    let all = |steps: &[StepMemory], device: usize| steps[device].total() + DEVICES[device].2.besides();
    row("all", &|device| all(steps, device));
    let with = if asked { "all without activation checkpointing" } else { "all with activation checkpointing" };
    row(with, &|device| all(others, device));
    if steps[0].at_once > 1 {
        say!("  on the CPU {} micro-batches are computed side by side", steps[0].at_once);
    }
}

/// The largest batches that make the same step.
fn print_fits(plan: &Plan, parameters: usize, sizes: &[f64]) -> anyhow::Result<Vec<Value>> {
    let train = &plan.settings.train;
    let documents = train.batch_size * train.gradient_accumulation;
    say!(
        "largest train.batch_size (and train.gradient_accumulation) for steps of {documents} documents, on a GPU in bf16"
    );
    let mut found = vec![];
    for &gib in sizes {
        let fits = |checkpointing: bool| {
            let on = StepDevice::Gpu(Precision::Bf16);
            memory::largest_batch(plan, parameters, on, checkpointing, (gib * GIB) as usize)
        };
        let (without, with) = (fits(false)?, fits(true)?);
        let words = |fits: Option<(usize, usize)>| match fits {
            Some((batch, times)) => format!("{batch} ({times})"),
            None => "none".to_string(),
        };
        say!("  {gib:>5} GiB  {:>12}, with activation checkpointing {:>12}", words(without), words(with));
        let value = |fits: Option<(usize, usize)>| {
            fits.map(|(batch, times)| json!({ "batch_size": batch, "gradient_accumulation": times }))
        };
        found.push(json!({ "gib": gib, "without_checkpointing": value(without), "with_checkpointing": value(with) }));
    }
    Ok(found)
}
