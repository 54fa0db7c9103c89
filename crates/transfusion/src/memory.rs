//! How much memory a training step takes, by arithmetic, without making the model.
//!
//! ```text
//! weights + 2 moments + average + sums of gradients  +  at once · (gradients + kept + logits + work)
//! ```
//!
//! *Kept* is what the gradient tape holds of a micro-batch when its backward pass begins, by kind of operation: what each
//! operation of `interfuse_kernels` keeps, read off its node. Rows of the residual stream are `f32`; rows between products have
//! as many bytes as the device computes them in. Gradients are counted beside what is kept, although the one grows as the
//! other shrinks: allocators on CPUs and GPUs hold on to pieces of the sizes that they once handed out.
//!
//! Dimensions: `D` width of the model, `q` and `kv` width of all queries and of all keys, `H` and `G` their heads, `F` width of
//! the feed-forward, `E` experts, `V` vocabulary.

use interfuse_mot::PartSettings;
use serde::Serialize;

use crate::config::{ConfigError, ModalityConfig, ModelConfig};

/// What a training step is made of, as far as its memory hangs on it.
#[derive(Clone, Debug, PartialEq)]
pub struct StepSettings {
    /// Rows of each lane of a sequence.
    pub rows: Vec<usize>,
    /// Sequences of a micro-batch.
    pub sequences: usize,
    /// Micro-batches of an optimizer step.
    pub micro_batches: usize,
    /// How many of them are computed side by side.
    pub at_once: usize,
    /// Bytes of a number between matrix products: 4 in `f32` and on every CPU, 2 in 16 bits on a GPU.
    pub row_bytes: usize,
    /// Whether layers are computed again in the backward pass.
    pub activation_checkpointing: bool,
}

/// Bytes of a training step by what they are for.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct StepMemory {
    /// The weights.
    pub weights: usize,
    /// The optimizer's two moments; as if all were AdamW's.
    pub moments: usize,
    /// The moving average.
    pub average: usize,
    /// Gradients: those of each micro-batch that is computed, and the sum of those before where there are more.
    pub gradients: usize,
    /// What the backward pass of a micro-batch needs of its forward pass, by kind of operation.
    pub kept: Vec<Kept>,
    /// Logits of a micro-batch, whose place their gradient takes.
    pub logits: usize,
    /// What a layer's backward pass takes besides.
    pub work: usize,
    /// Micro-batches that are computed side by side, each with `kept`, `logits` and `work` of its own.
    pub at_once: usize,
}

/// What is kept for the backward passes of operations of one kind.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct Kept {
    /// Which operations.
    pub kind: &'static str,
    /// In all layers.
    pub bytes: usize,
}

/// Numbers of a row, of `f32` and of the type of rows between products.
#[derive(Clone, Copy, Debug, Default)]
struct Numbers {
    full: f64,
    short: f64,
}

impl StepMemory {
    /// Of a model of `parameters` weights.
    ///
    /// # Errors
    /// When the partition is not valid.
    pub fn of(config: &ModelConfig, parameters: usize, step: &StepSettings) -> Result<Self, ConfigError> {
        let layers = config.backbone.n_layers as f64;
        let bytes = |numbers: Numbers, lane: usize| {
            let rows = (step.sequences * step.rows.get(lane).copied().unwrap_or_default()) as f64;
            (rows * (FLOAT as f64 * numbers.full + step.row_bytes as f64 * numbers.short)) as usize
        };
        let parts = config.part_settings()?;
        let (mut kept, mut work, mut logits): (Vec<Kept>, usize, usize) = (vec![], 0, 0);
        for (lane, (name, modality)) in config.modalities.iter().enumerate() {
            let serves = |names: &Vec<String>| names.contains(name);
            let Some(part) = config.partition.iter().position(serves).and_then(|part| parts.get(part)) else {
                continue;
            };
            for (kind, of_layer) in of_layer(config, part) {
                // Computed again, the whole of a layer is there while its gradients are computed.
                let times = if step.activation_checkpointing { 1.0 } else { layers };
                add(&mut kept, kind, bytes(of_layer.times(times), lane));
            }
            if step.activation_checkpointing {
                let input = Numbers { full: config.backbone.d_model as f64, short: 0.0 };
                add(&mut kept, "inputs of layers", bytes(input.times(layers), lane));
            }
            add(&mut kept, "ends", bytes(of_ends(config, modality), lane));
            let angles = config.backbone.head_dim() as f64;
            add(&mut kept, "places", bytes(Numbers { full: angles + PLACES, short: 0.0 }, lane));
            work += bytes(of_work(config, part), lane);
            let ids = config.vocabulary(name).map_or(0, |text| text.vocab_size) as f64;
            logits += bytes(Numbers { full: 0.0, short: ids }, lane);
        }
        let weights = FLOAT * parameters;
        let at_once = step.at_once.max(1);
        let sums = usize::from(step.micro_batches > at_once);
        Ok(Self {
            weights,
            moments: 2 * weights,
            average: weights,
            gradients: (at_once + sums) * weights,
            kept,
            logits,
            work,
            at_once,
        })
    }

    /// What the backward pass of a micro-batch needs of its forward pass.
    pub fn activations(&self) -> usize {
        self.kept.iter().map(|kept| kept.bytes).sum()
    }

    /// All together.
    pub fn total(&self) -> usize {
        let of_a_batch = self.activations() + self.logits + self.work;
        self.weights + self.moments + self.average + self.gradients + self.at_once * of_a_batch
    }

    /// The most sequences of a micro-batch, a divisor of those of the step, with which a step takes no more than so many bytes; as
    /// many micro-batches make the same step of them. `None` if not even one fits.
    ///
    /// # Errors
    /// As [`Self::of`].
    pub fn most_sequences(
        config: &ModelConfig,
        parameters: usize,
        step: &StepSettings,
        bytes: usize,
    ) -> Result<Option<usize>, ConfigError> {
        let all = step.sequences * step.micro_batches;
        for sequences in (1..=all).rev().filter(|sequences| all.is_multiple_of(*sequences)) {
            let step = StepSettings { sequences, micro_batches: all / sequences, ..step.clone() };
            if Self::of(config, parameters, &step)?.total() <= bytes {
                return Ok(Some(sequences));
            }
        }
        Ok(None)
    }
}

impl Numbers {
    fn times(self, factor: f64) -> Self {
        Self { full: factor * self.full, short: factor * self.short }
    }
}

fn add(kept: &mut Vec<Kept>, kind: &'static str, bytes: usize) {
    match kept.iter_mut().find(|kept| kept.kind == kind) {
        Some(kept) => kept.bytes += bytes,
        None if bytes > 0 => kept.push(Kept { kind, bytes }),
        None => {}
    }
}

/// What a layer keeps of a row of a part, by kind of operation.
fn of_layer(config: &ModelConfig, part: &PartSettings) -> Vec<(&'static str, Numbers)> {
    let backbone = &config.backbone;
    let (d, q) = (backbone.d_model as f64, backbone.query_width() as f64);
    let kv = (backbone.kv_heads() * backbone.head_dim()) as f64;
    let (heads, kv_heads) = (backbone.n_heads as f64, backbone.kv_heads() as f64);
    // The stream before each of two norms, its normed rows, which the products after it keep, and each row's scale.
    let mut norms = Numbers { full: 2.0 * d + 2.0, short: 2.0 * d };
    if backbone.qk_norm {
        norms = Numbers { full: norms.full + heads + kv_heads, short: norms.short + q + kv };
    }
    // Queries, keys, values, what they gather, and the logarithm of each head's sum.
    let attention = Numbers { full: heads, short: 2.0 * q + 2.0 * kv };
    let (feed_forward, router) = of_feed_forward(config, part);
    // Before and after each of two sub-layers.
    let adaptive = Numbers { full: 0.0, short: if part.conditioned { 4.0 * d } else { 0.0 } };
    let masks = Numbers { full: 0.0, short: if backbone.dropout > 0.0 { 2.0 * d } else { 0.0 } };
    vec![
        ("norms", norms),
        ("attention", attention),
        ("feed-forward", feed_forward),
        ("routers", router),
        ("adaptive norms", adaptive),
        ("dropout", masks),
    ]
}

/// What the feed-forward of a layer keeps of a row, and what its router does.
fn of_feed_forward(config: &ModelConfig, part: &PartSettings) -> (Numbers, Numbers) {
    let (d, f) = (config.backbone.d_model as f64, part.feed_forward.width(config.backbone.d_ff()) as f64);
    match part.feed_forward.moe() {
        // Both factors and their product, which the last product keeps.
        None => (Numbers { full: 0.0, short: 3.0 * f }, Numbers::default()),
        // A row is copied to each of its experts, and what they make of it is weighed.
        Some(moe) => {
            let of_experts = moe.networks_per_row() * (2.0 * d + 3.0 * f);
            let router = Numbers { full: ROUTER * moe.experts as f64, short: 0.0 };
            (Numbers { full: 0.0, short: of_experts }, router)
        }
    }
}

/// What the last norm and the ends of a modality keep of a row.
fn of_ends(config: &ModelConfig, modality: &ModalityConfig) -> Numbers {
    let d = config.backbone.d_model as f64;
    let last_norm = Numbers { full: d, short: d };
    let ModalityConfig::Denoise(image) = modality else { return last_norm };
    let channels = config.latent_shape[0] as f64;
    let square = |side: usize| (side * side) as f64 * channels;
    let conditioned = config.part_settings().is_ok_and(|parts| parts.iter().any(|part| part.conditioned));
    let adaptive = if conditioned { 2.0 * d } else { 0.0 };
    let patches = PATCHES * square(image.patch_size) + square(image.patch_size + 2 * image.patch_overlap);
    let convolutions = image.unet.as_ref().map_or(0.0, |unet| {
        let width = unet.widths.iter().sum::<usize>() as f64 / unet.widths.len().max(1) as f64;
        let rows = config.sequence_format().rows_per_image().max(1) as f64;
        // A convolution multiplies each number that it reads 9 · width times, and the norm before it keeps as many.
        2.0 * unet.flops(config.latent_shape) / (2.0 * 9.0 * width) / rows
    });
    Numbers { full: last_norm.full + adaptive + patches + convolutions, ..last_norm }
}

/// What the backward pass of a layer makes of a row before it is added to something or dropped.
fn of_work(config: &ModelConfig, part: &PartSettings) -> Numbers {
    let (d, f) = (config.backbone.d_model as f64, part.feed_forward.width(config.backbone.d_ff()) as f64);
    let networks = part.feed_forward.moe().map_or(1.0, |moe| moe.networks_per_row());
    Numbers { full: d, short: 2.0 * d + 3.0 * f * networks }
}

const FLOAT: usize = size_of::<f32>();
/// Numbers of a row and expert that the softmax, the sums and the choice of a router keep.
const ROUTER: f64 = 8.0;
/// Numbers that say where a row stands and what it sees and predicts, most of them of 64 bits.
const PLACES: f64 = 40.0;
/// Numbers of a number of an image: noisy and clean, the target, the prediction and its error.
const PATCHES: f64 = 5.0;
