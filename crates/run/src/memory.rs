//! How much memory a training step takes, estimated from shapes, and how much is free.

use interfuse_kernels::Workers;
use interfuse_mot::MoeConfig;

use crate::plan::Plan;

/// Bytes by what they are for, all numbers taken as 32 bits.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct MemoryEstimate {
    /// Weights, gradients, the optimizer's two moments, and the moving average.
    pub parameters: usize,
    /// What the backbone keeps of a micro-batch for the backward pass; attention keeps no scores.
    pub activations: usize,
    /// Logits of a micro-batch and their gradient.
    pub logits: usize,
    /// Micro-batches that are computed side by side, each with activations, logits and gradients of its own.
    pub at_once: usize,
}

impl MemoryEstimate {
    /// Of a plan whose model stores `stored` numbers.
    pub fn of(plan: &Plan, stored: usize) -> Self {
        let (model, train) = (&plan.card.model, &plan.settings.train);
        let backbone = &model.backbone;
        let capacity = &plan.largest_shape.capacity;
        let activations = model.modalities.keys().zip(capacity).map(|(name, rows)| {
            let (feed_forward, d_ff) = (model.feed_forward(name), backbone.d_ff());
            // A row is copied to each of its experts, and so is what they make of it.
            let of_experts =
                |moe: &MoeConfig| moe.networks_per_row() * (2 * backbone.d_model + 3 * feed_forward.width(d_ff)) as f64;
            let of_feed_forward = feed_forward.moe().map_or(3 * d_ff, |moe| of_experts(moe).ceil() as usize);
            rows * backbone.n_layers * (10 * backbone.d_model + of_feed_forward)
        });
        let ids = |name: &str| model.vocabulary(name).map_or(0, |text| text.vocab_size);
        let logits = model.modalities.keys().zip(capacity).map(|(name, rows)| 2 * rows * ids(name));
        Self {
            parameters: FLOAT * 5 * stored,
            activations: FLOAT * train.sequences() * activations.sum::<usize>(),
            logits: FLOAT * train.sequences() * logits.sum::<usize>(),
            at_once: Workers::on(&plan.device, train.gradient_accumulation).count(),
        }
    }

    /// All together.
    pub fn total(&self) -> usize {
        // The parameters count the gradients once; every further micro-batch at the same time has its own.
        self.parameters + self.parameters / 5 * (self.at_once - 1) + (self.activations + self.logits) * self.at_once
    }
}

/// Bytes of memory that programs may still take without swapping; unknown where the system does not say it in
/// `/proc/meminfo`.
pub fn free() -> Option<usize> {
    let text = std::fs::read_to_string("/proc/meminfo").ok()?;
    let kibibytes = text.lines().find_map(|line| line.strip_prefix("MemAvailable:"))?.trim().strip_suffix("kB")?;
    Some(1024 * kibibytes.trim().parse::<usize>().ok()?)
}

const FLOAT: usize = size_of::<f32>();
