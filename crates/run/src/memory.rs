//! How much memory a training step takes, estimated from shapes.

use crate::plan::Plan;
use interfuse_kernels::Workers;

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
        let per_row = backbone.n_layers * (10 * backbone.d_model + 3 * backbone.feed_forward());
        let ids = |name: &str| model.vocabulary(name).map_or(0, |text| text.vocab_size);
        let logits = model.modalities.keys().zip(&plan.shape.capacity).map(|(name, rows)| 2 * rows * ids(name));
        Self {
            parameters: FLOAT * 5 * stored,
            activations: FLOAT * train.sequences() * plan.shape.rows() * per_row,
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

const FLOAT: usize = size_of::<f32>();
