//! What a run changes in the configuration of its group.

use crate::dial::Shape;
use crate::settings::{Group, key_of};

/// Steps over which the learning rate rises, where that is at most a tenth of all steps (2301.03728, section 4).
pub const WARMUP_STEPS: u64 = 500;
/// The last learning rate as a fraction of the peak (2301.03728, section 4).
pub const FINAL_RATE: f64 = 0.1;
/// How many times a run is validated and saved.
const TIMES: u64 = 10;

/// Documents of an optimizer step.
#[derive(Debug, Clone, Copy)]
pub(super) struct Batch {
    /// Of a micro-batch.
    micro: u64,
    /// Micro-batches.
    count: u64,
}

impl Batch {
    /// About so many documents, not more if there is a choice, in micro-batches of at most the configuration's size.
    pub(super) fn of(group: &Group, documents: f64) -> Self {
        let most = group.number(&["train", "batch_size"]).unwrap_or(1).max(1) as f64;
        let packed = group.number(&["train", "documents_per_sequence"]).unwrap_or(1).max(1);
        let count = (documents / most).ceil().max(1.0);
        // A micro-batch must be a multiple of the documents of a sequence.
        let sequences = (documents / packed as f64).floor().max(1.0);
        // Micro-batches of one sequence cannot become smaller, only fewer.
        let count = count.min(sequences);
        Self { micro: (sequences / count).floor() as u64 * packed, count: count as u64 }
    }

    pub(super) fn documents(self) -> f64 {
        self.micro as f64 * self.count as f64
    }
}

/// When what happens.
#[derive(Debug, Clone, Copy)]
pub(super) struct Schedule {
    pub(super) seed: u64,
    pub(super) steps: u64,
    /// Peak learning rate.
    pub(super) rate: f64,
}

/// All changes; those of the user come last and take the place of ours.
pub(super) fn of(group: &Group, shape: &Shape, batch: Batch, schedule: Schedule) -> Vec<String> {
    let Schedule { seed, steps, rate } = schedule;
    let mut changes = vec![
        format!("model.backbone.d_model={}", shape.d_model),
        format!("model.backbone.n_layers={}", shape.n_layers),
        format!("model.backbone.n_heads={}", shape.n_heads),
        format!("model.backbone.d_ff={}", shape.d_ff),
    ];
    if group.number(&["model", "backbone", "n_kv_heads"]).is_some() {
        changes.push(format!("model.backbone.n_kv_heads={}", shape.n_heads));
    }
    changes.extend(learning_rates(rate));
    let due = steps.div_ceil(TIMES);
    changes.extend([
        format!("optimizer.warmup_steps={}", WARMUP_STEPS.min(steps.div_ceil(10))),
        format!("run.seed={seed}"),
        "run.evaluate=false".to_owned(),
        format!("train.steps={steps}"),
        format!("train.batch_size={}", batch.micro),
        format!("train.gradient_accumulation={}", batch.count),
        format!("intervals.validation={due}"),
        format!("intervals.checkpoint={due}"),
        "intervals.preview=0".to_owned(),
        "intervals.evaluation=0".to_owned(),
    ]);
    changes.retain(|change| !group.changes.iter().any(|other| key_of(other) == key_of(change)));
    changes.extend(group.changes.iter().cloned());
    changes
}

/// The changes that set a peak learning rate and the last one that goes with it.
pub fn learning_rates(peak: f64) -> [String; 2] {
    // Six digits of a learning rate are enough, and `1.2e-4 × 0.1` has no shorter decimal.
    [format!("optimizer.learning_rate={peak:.6e}"), format!("optimizer.final_learning_rate={:.6e}", FINAL_RATE * peak)]
}

/// Ids of the head, where the configuration says them; 0 elsewhere.
pub(super) fn vocabulary(group: &Group) -> f64 {
    let of_modalities = || {
        let modalities = group.table.get("model")?.get("modalities")?.as_table()?;
        modalities.values().filter_map(|modality| modality.get("vocab_size")?.as_integer()).max()
    };
    let of_tokenizer = group.number(&["tokenizer", "vocab_size"]);
    of_tokenizer.map(|ids| ids as f64).or_else(|| of_modalities().map(|ids| ids as f64)).unwrap_or_default()
}
