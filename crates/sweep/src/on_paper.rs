//! What a run costs that is too large to be tried: memory, parallel layout, days and money, from a measured utilisation.
//!
//! ```text
//! weights     20 bytes a parameter: weight, gradient, two moments and the moving average in f32, sharded over all GPUs
//! layers      2 bytes a parameter of the two layers that are gathered at once, in bf16
//! rows        2 (10 d + 3 f) bytes a row and layer that the backward pass keeps in bf16; with recomputation 2 d, and one layer whole
//! logits      2 × 4 bytes a row and id
//! ```
//!
//! Tensor parallelism of t GPUs divides layers, rows and logits by t (1909.08053, with the rows between them split as in
//! 2205.05198); the ranks beside it share the batch. Of all layouts that fit, the one of least t without recomputation is taken,
//! else the one of least t with it.

use serde::{Deserialize, Serialize};

use crate::dial::{Shape, dial};
use crate::error::{Result, SweepError};
use crate::flops::TrainingFlops;

const STATE_BYTES: f64 = 20.0;
const SECONDS_PER_DAY: f64 = 86_400.0;
/// The fraction of a GPU's memory that is planned with; the rest is for buffers and fragments.
const USABLE: f64 = 0.9;
/// GPUs with a fast connection to one another.
const NODE: usize = 8;
const GIB: f64 = 1_073_741_824.0;

/// What is trained.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PaperRun {
    /// N, from 8K to 30B.
    pub params: f64,
    /// D, of a pair the tokens of both; above 0.
    pub tokens: f64,
    /// Rows of a sequence, at least 1.
    pub sequence: usize,
    /// Ids of the vocabulary, whose embedding and head are counted apart.
    pub vocabulary: usize,
    /// Tokens of a step; that of the dial if absent.
    pub batch_tokens: Option<f64>,
}

/// What it is trained on.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Cluster {
    /// GPUs, at least 1.
    pub gpus: usize,
    /// Memory of each in GiB, above 0.
    pub memory_gib: f64,
    /// 10¹² operations that one can do in a second at most, above 0; 989 of an H100 in bf16.
    pub tflops: f64,
    /// What fraction of them it does, above 0 to 1, as measured.
    pub utilisation: f64,
    /// Price of a GPU for an hour, from 0.
    pub price: f64,
}

/// How the work is divided.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Layout {
    /// GPUs that share every layer.
    pub tensor: usize,
    /// Ranks that share the batch.
    pub ranks: usize,
    /// Whether rows are computed again in the backward pass.
    pub recompute: bool,
    /// Bytes of weights, gradients, moments and average on every GPU.
    pub state_bytes: f64,
    /// Bytes of gathered layers on every GPU.
    pub layer_bytes: f64,
    /// Bytes of rows of one sequence on every GPU.
    pub row_bytes: f64,
    /// Bytes of logits on every GPU.
    pub logit_bytes: f64,
}

impl Layout {
    /// All bytes of a GPU.
    pub fn bytes(&self) -> f64 {
        self.state_bytes + self.layer_bytes + self.row_bytes + self.logit_bytes
    }
}

/// A run on paper.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct OnPaper {
    /// The model.
    pub shape: Shape,
    /// Parameters of the backbone.
    pub params: f64,
    /// Parameters of embedding and head.
    pub vocabulary_params: f64,
    /// Training FLOPs.
    pub flops: TrainingFlops,
    /// Bytes of weights, gradients, moments and average together.
    pub state_bytes: f64,
    /// How the work is divided.
    pub layout: Layout,
    /// Sequences of a step.
    pub sequences: usize,
    /// Sequences of a rank and step.
    pub sequences_per_rank: usize,
    /// Optimizer steps.
    pub steps: u64,
    /// Days on all GPUs, with recomputation a third more.
    pub days: f64,
    /// Hours of all GPUs added up.
    pub gpu_hours: f64,
    /// Price of these hours.
    pub cost: f64,
}

/// What a run costs.
///
/// # Errors
/// A number is out of its range, there are more ranks than sequences, or no layout fits into the memory; names it.
pub fn on_paper(run: &PaperRun, cluster: &Cluster) -> Result<OnPaper> {
    run.validate()?;
    cluster.validate()?;
    let shape = dial(run.params)?;
    let vocabulary_params = 2.0 * run.vocabulary as f64 * shape.d_model as f64;
    let sequence = run.sequence as f64;
    let sequences = (run.batch_tokens.unwrap_or(shape.batch_tokens) / sequence).round().max(1.0);
    let layout = layout(run, cluster, &shape)?;
    if layout.ranks as f64 > sequences {
        let expected =
            format!("at most {} GPUs, for a step has {sequences} sequences", sequences * layout.tensor as f64);
        return Err(SweepError::value("gpus", expected, cluster.gpus));
    }
    let flops = TrainingFlops::of(&shape, run.tokens, sequence, run.vocabulary as f64);
    // Forward is a third of the work, and computed once more.
    let work = flops.total() * if layout.recompute { 4.0 / 3.0 } else { 1.0 };
    let speed = cluster.gpus as f64 * cluster.tflops * 1e12 * cluster.utilisation;
    let days = work / speed / SECONDS_PER_DAY;
    let gpu_hours = 24.0 * days * cluster.gpus as f64;
    Ok(OnPaper {
        params: shape.params(),
        vocabulary_params,
        flops,
        state_bytes: STATE_BYTES * (shape.params() + vocabulary_params),
        layout,
        sequences: sequences as usize,
        sequences_per_rank: (sequences / layout.ranks as f64).ceil() as usize,
        steps: (run.tokens / (sequences * sequence)).ceil() as u64,
        days,
        gpu_hours,
        cost: gpu_hours * cluster.price,
        shape,
    })
}

/// The layout of least tensor parallelism that fits, without recomputation if there is one.
fn layout(run: &PaperRun, cluster: &Cluster, shape: &Shape) -> Result<Layout> {
    let room = USABLE * cluster.memory_gib * GIB;
    let divides = |t: &usize| cluster.gpus.is_multiple_of(*t) && shape.n_heads.is_multiple_of(*t);
    let tensors: Vec<usize> = [1, 2, 4, NODE].into_iter().filter(divides).collect();
    let all = [false, true].into_iter().flat_map(|recompute| tensors.iter().map(move |tensor| (*tensor, recompute)));
    let mut least = f64::INFINITY;
    for (tensor, recompute) in all {
        let layout = layout_of(run, cluster.gpus, shape, (tensor, recompute));
        if layout.bytes() <= room {
            return Ok(layout);
        }
        least = least.min(layout.bytes());
    }
    let expected = format!("at least {:.0} GiB, or more GPUs", (least / USABLE / GIB).ceil());
    Err(SweepError::value("memory_gib", expected, cluster.memory_gib))
}

fn layout_of(run: &PaperRun, gpus: usize, shape: &Shape, (tensor, recompute): (usize, bool)) -> Layout {
    let (d, f, layers) = (shape.d_model as f64, shape.d_ff as f64, shape.n_layers as f64);
    let (rows, ids, t) = (run.sequence as f64, run.vocabulary as f64, tensor as f64);
    let of_layer = 2.0 * (10.0 * d + 3.0 * f);
    let kept = if recompute { layers * 2.0 * d + of_layer } else { layers * of_layer };
    Layout {
        tensor,
        ranks: gpus / tensor,
        recompute,
        state_bytes: STATE_BYTES * (shape.params() + 2.0 * ids * d) / gpus as f64,
        layer_bytes: 2.0 * 2.0 * shape.params() / layers / t,
        row_bytes: rows * kept / t,
        logit_bytes: 2.0 * 4.0 * rows * ids / t,
    }
}

impl OnPaper {
    /// The plan in lines.
    pub fn to_text(&self) -> String {
        let Self { shape, layout, flops, .. } = self;
        let gib = |bytes: f64| bytes / GIB;
        let recompute = if layout.recompute { ", rows computed again in the backward pass" } else { "" };
        [
            format!(
                "model    {} layers, width {}, {} heads, feed-forward {}: {:.2}B parameters, and {:.2}B of the vocabulary",
                shape.n_layers, shape.d_model, shape.n_heads, shape.d_ff, self.params / 1e9, self.vocabulary_params / 1e9
            ),
            format!(
                "work     {:.3e} FLOPs: matrices {:.3e}, attention {:.3e}, head {:.3e}",
                flops.total(), flops.matrices, flops.attention, flops.head
            ),
            format!("steps    {} of {} sequences, {} a rank", self.steps, self.sequences, self.sequences_per_rank),
            format!("layout   {} ranks of {} GPUs that share every layer{recompute}", layout.ranks, layout.tensor),
            format!(
                "memory   {:.1} GiB a GPU: weights and moments {:.1}, gathered layers {:.1}, rows {:.1}, logits {:.1}; {:.0} GiB \
                 of weights and moments in all",
                gib(layout.bytes()), gib(layout.state_bytes), gib(layout.layer_bytes), gib(layout.row_bytes),
                gib(layout.logit_bytes), gib(self.state_bytes)
            ),
            format!("time     {:.2} days, {:.0} GPU hours, price {:.0}", self.days, self.gpu_hours, self.cost),
        ]
        .map(|line| line + "\n")
        .concat()
    }
}

fn positive(name: &str, number: f64) -> Result<()> {
    match number.is_finite() && number > 0.0 {
        true => Ok(()),
        false => Err(SweepError::value(name, "a finite number above 0", number)),
    }
}

impl PaperRun {
    fn validate(&self) -> Result<()> {
        positive("tokens", self.tokens)?;
        positive("sequence", self.sequence as f64)?;
        self.batch_tokens.map_or(Ok(()), |tokens| positive("batch_tokens", tokens))
    }
}

impl Cluster {
    fn validate(&self) -> Result<()> {
        positive("gpus", self.gpus as f64)?;
        positive("memory_gib", self.memory_gib)?;
        positive("tflops", self.tflops)?;
        positive("utilisation", self.utilisation)?;
        if self.utilisation > 1.0 {
            return Err(SweepError::value("utilisation", "a fraction above 0, to 1", self.utilisation));
        }
        match self.price.is_finite() && self.price >= 0.0 {
            true => Ok(()),
            false => Err(SweepError::value("price", "a finite number from 0", self.price)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const RUN: PaperRun =
        PaperRun { params: 30e9, tokens: 50e9, sequence: 2048, vocabulary: 52_272, batch_tokens: Some(1_048_576.0) };
    const CLUSTER: Cluster = Cluster { gpus: 256, memory_gib: 80.0, tflops: 989.0, utilisation: 0.4, price: 2.0 };

    #[test]
    fn the_papers_test_fits_and_takes_days() {
        let found = on_paper(&RUN, &CLUSTER).unwrap();
        let layout = found.layout;
        assert_eq!(layout.ranks * layout.tensor, 256);
        assert!(layout.bytes() < 0.9 * 80.0 * GIB && !layout.recompute, "{layout:?}");
        assert_eq!((found.sequences, found.steps), (512, 47_684));
        // 6 N D alone.
        let by_hand = 6.0 * 30e9 * 50e9 / (256.0 * 989e12 * 0.4) / 86_400.0;
        assert!((1.0..1.15).contains(&(found.days / by_hand)), "{} {by_hand}", found.days);
        assert!((found.cost - 2.0 * found.gpu_hours).abs() < 1e-6);
        assert!((found.state_bytes / (20.0 * 30e9) - 1.0).abs() < 0.03);
    }

    #[test]
    fn twice_the_gpus_or_the_utilisation_take_half_the_days() {
        let days = |cluster: Cluster| on_paper(&RUN, &cluster).unwrap().days;
        let one = days(CLUSTER);
        assert!((days(Cluster { utilisation: 0.8, ..CLUSTER }) / one - 0.5).abs() < 1e-12);
        assert!((days(Cluster { gpus: 512, ..CLUSTER }) / one - 0.5).abs() < 1e-12);
    }

    #[test]
    fn less_memory_is_answered_by_sharing_and_by_computing_again() {
        let layout =
            |gpus: usize, memory_gib: f64| on_paper(&RUN, &Cluster { gpus, memory_gib, ..CLUSTER }).unwrap().layout;
        let (much, some, little) = (layout(512, 141.0), layout(512, 24.0), layout(512, 4.0));
        assert!(much.tensor <= some.tensor && !some.recompute, "{much:?} {some:?}");
        assert!(little.recompute, "{little:?}");
        assert!(little.bytes() < some.bytes());
    }

    #[test]
    fn what_cannot_be_is_named() {
        let refused = |run: PaperRun, cluster: Cluster| on_paper(&run, &cluster).unwrap_err().to_string();
        for (run, cluster, name) in [
            (PaperRun { tokens: 0.0, ..RUN }, CLUSTER, "tokens"),
            (PaperRun { sequence: 0, ..RUN }, CLUSTER, "sequence"),
            (PaperRun { params: 1e12, ..RUN }, CLUSTER, "size"),
            (PaperRun { batch_tokens: Some(f64::NAN), ..RUN }, CLUSTER, "batch_tokens"),
            (RUN, Cluster { gpus: 0, ..CLUSTER }, "gpus"),
            (RUN, Cluster { utilisation: 1.1, ..CLUSTER }, "utilisation"),
            (RUN, Cluster { utilisation: f64::NAN, ..CLUSTER }, "utilisation"),
            (RUN, Cluster { tflops: -1.0, ..CLUSTER }, "tflops"),
            (RUN, Cluster { price: -1.0, ..CLUSTER }, "price"),
            (RUN, Cluster { gpus: 1, ..CLUSTER }, "memory_gib: expected at least"),
            (RUN, Cluster { gpus: 65_536, ..CLUSTER }, "gpus: expected at most"),
        ] {
            let message = refused(run, cluster);
            assert!(message.starts_with(name), "{message}");
        }
    }
}
