//! How much memory a training step of a plan takes, by the arithmetic of [`interfuse_transfusion::memory`], and how much is free.

use burn::tensor::Device;
use interfuse_kernels::{Precision, Workers};
use interfuse_transfusion::{StepMemory, StepSettings};

use crate::error::Result;
use crate::plan::Plan;

/// What a step is computed on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StepDevice {
    /// Of this machine: micro-batches side by side on its cores, numbers of 32 bits between products in every precision.
    Cpu,
    /// Any, one micro-batch after the other.
    Gpu(Precision),
}

impl StepDevice {
    /// What a plan is computed on.
    pub fn of(plan: &Plan) -> Self {
        match plan.device == Device::flex() {
            true => Self::Cpu,
            false => Self::Gpu(plan.settings.train.precision.on(&plan.device)),
        }
    }

    /// How a plan's steps are computed there, of sequences with the largest images.
    pub fn settings(self, plan: &Plan, activation_checkpointing: bool) -> StepSettings {
        let train = &plan.settings.train;
        let at_once = match self {
            Self::Cpu => Workers::on(&Device::flex(), train.gradient_accumulation).count(),
            Self::Gpu(_) => 1,
        };
        StepSettings {
            rows: plan.largest_shape.capacity.clone(),
            sequences: train.sequences(),
            micro_batches: train.gradient_accumulation,
            at_once,
            row_bytes: match self {
                Self::Cpu | Self::Gpu(Precision::F32) => 4,
                Self::Gpu(Precision::Bf16 | Precision::F16) => 2,
            },
            activation_checkpointing,
        }
    }

    /// What a step takes besides: on a CPU the program and what its allocator holds on to.
    pub fn besides(self) -> usize {
        match self {
            Self::Cpu => PROGRAM,
            Self::Gpu(_) => 0,
        }
    }
}

/// What a step of a plan takes where it is computed, of a model of so many weights.
///
/// # Errors
/// When the partition is not valid.
pub fn of_step(plan: &Plan, parameters: usize) -> Result<StepMemory> {
    let step = StepDevice::of(plan).settings(plan, plan.settings.train.activation_checkpointing);
    Ok(StepMemory::of(&plan.card.model, parameters, &step)?)
}

/// The most documents of a micro-batch with which a step of a plan fits into so many bytes of a device, and how many micro-batches
/// make the same step then. `None` if not even one sequence fits. A twentieth of the bytes is left to others.
///
/// # Errors
/// When the partition is not valid.
pub fn largest_batch(
    plan: &Plan,
    parameters: usize,
    on: StepDevice,
    activation_checkpointing: bool,
    bytes: usize,
) -> Result<Option<(usize, usize)>> {
    let step = on.settings(plan, activation_checkpointing);
    let usable = (bytes / 20 * 19).saturating_sub(on.besides());
    let most = StepMemory::most_sequences(&plan.card.model, parameters, &step, usable)?;
    let documents = plan.settings.train.documents_per_sequence.unwrap_or(1);
    Ok(most.map(|sequences| (sequences * documents, step.sequences * step.micro_batches / sequences)))
}

/// Bytes of memory that programs may still take without swapping; unknown where the system does not say it in
/// `/proc/meminfo`.
pub fn free() -> Option<usize> {
    let text = std::fs::read_to_string("/proc/meminfo").ok()?;
    let kibibytes = text.lines().find_map(|line| line.strip_prefix("MemAvailable:"))?.trim().strip_suffix("kB")?;
    Some(1024 * kibibytes.trim().parse::<usize>().ok()?)
}

/// As measured on two cores.
const PROGRAM: usize = 120 << 20;
