//! What a step did, and the numbers it is made of.

use burn::tensor::Tensor;
use interfuse_sequence::Objective;
use interfuse_transfusion::{HybridLoss, ModelConfig, RouterSums};
use serde::Serialize;

/// The loss of a modality in a step.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct ModalityReport {
    /// Its name.
    pub name: String,
    /// How it is learned.
    pub objective: Objective,
    /// Mean over tokens with a target, in nats, or over images.
    pub loss: f64,
    /// Scored tokens, or images.
    pub count: usize,
}

/// How the routers of a part distributed its rows in a step.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct RouterReport {
    /// The part's name.
    pub part: String,
    /// By layer.
    pub layers: Vec<RoutingReport>,
}

/// How one router distributed its rows.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct RoutingReport {
    /// The fraction of all choices that went to each expert; they sum to 1.
    pub load: Vec<f64>,
    /// The fraction of rows that no expert took.
    pub unrouted: f64,
    /// Mean entropy of a row's probabilities, in nats; ln(experts) where the router is undecided.
    pub entropy: f64,
    /// The balance loss without its weight: 1 where loads are even.
    pub balance: f64,
    /// The z-loss without its weight.
    pub z: f64,
}

/// What a step did.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct StepReport {
    /// Steps taken, this one included.
    pub step: u64,
    /// What was minimised.
    pub total: f64,
    /// By lane; only those with rows.
    pub modalities: Vec<ModalityReport>,
    /// What the losses of routers add to the total; `None` without one.
    pub router_loss: Option<f64>,
    /// Of each part with experts that had rows.
    pub routers: Vec<RouterReport>,
    /// Norm of the gradient before clipping.
    pub gradient_norm: f64,
    /// The same of each part's weights, with the names of its modalities, and of those that all parts have in common.
    pub part_gradient_norms: Vec<(String, f64)>,
    /// Learning rate.
    pub learning_rate: f64,
    /// Rows of all lanes, padding included.
    pub rows: usize,
    /// Those that are not padding.
    pub filled_rows: usize,
    /// Duration.
    pub seconds: f64,
    /// Of these, the seconds in which nothing was computed because documents were not ready; on a GPU without those that it may
    /// have computed in.
    pub waited: f64,
    /// Floating-point operations of forward and backward by the model's arithmetic.
    pub flops: f64,
    /// What was not finite, if the step was skipped.
    pub skipped: Option<String>,
}

impl StepReport {
    /// The fraction of rows that are not padding.
    pub fn fill(&self) -> f64 {
        self.filled_rows as f64 / self.rows.max(1) as f64
    }
}

impl RouterReport {
    /// The mean over layers.
    pub fn mean(&self) -> RoutingReport {
        let of = |number: &dyn Fn(&RoutingReport) -> f64| {
            self.layers.iter().map(number).sum::<f64>() / self.layers.len().max(1) as f64
        };
        let experts = self.layers.first().map_or(0, |layer| layer.load.len());
        RoutingReport {
            load: (0..experts).map(|expert| of(&|layer| layer.load[expert])).collect(),
            unrouted: of(&|layer| layer.unrouted),
            entropy: of(&|layer| layer.entropy),
            balance: of(&|layer| layer.balance),
            z: of(&|layer| layer.z),
        }
    }

    /// The largest fraction that went to one expert in any layer: 1 where a router has collapsed, which a mean over layers
    /// may hide.
    pub fn largest_load(&self) -> f64 {
        self.layers.iter().flat_map(|layer| &layer.load).copied().fold(0.0, f64::max)
    }
}

impl RoutingReport {
    /// Of sums over `rows` rows.
    fn of(sums: &RouterSums, rows: usize) -> Self {
        let (rows, choices) = (rows.max(1) as f64, sums.taken.iter().sum::<f64>().max(1.0));
        Self {
            load: sums.taken.iter().map(|taken| taken / choices).collect(),
            unrouted: sums.unrouted / rows,
            entropy: sums.entropy / rows,
            balance: sums.balance / rows,
            z: sums.z / rows,
        }
    }
}

/// The numbers that every micro-batch gives, whatever rows it has, so that those of all ranks can lie side by side:
/// the total, the losses of routers, sum and count of each lane, and for each layer and part those of its router.
#[derive(Clone, Debug)]
pub(crate) struct StepNumbers {
    lanes: usize,
    layers: usize,
    /// By part; 0 without a router.
    experts: Vec<usize>,
}

/// Sums over the micro-batches of a step.
#[derive(Clone, Debug)]
pub(crate) struct StepSums {
    pub(crate) total: f64,
    pub(crate) routers_total: f64,
    /// Sum and count of each lane.
    pub(crate) lanes: Vec<(f64, usize)>,
    /// By layer, then by part, the numbers of its router.
    routers: Vec<Vec<Vec<f64>>>,
}

impl StepNumbers {
    /// For a model with parts of these names.
    pub(crate) fn new(config: &ModelConfig, parts: &[String]) -> Self {
        let experts = |name: &String| config.backbone.feed_forward_of(name).moe().map_or(0, |moe| moe.experts);
        Self {
            lanes: config.modalities.len(),
            layers: config.backbone.n_layers,
            experts: parts.iter().map(experts).collect(),
        }
    }

    /// What is read from the device of a micro-batch.
    pub(crate) fn on_device(loss: &HybridLoss) -> impl Iterator<Item = Tensor<1>> {
        let modalities = loss.modalities.iter().flatten().map(|modality| modality.sum.clone());
        let routers = loss.routers.sums.iter().flatten().flatten().cloned();
        [loss.total.clone()].into_iter().chain(loss.routers.total.clone()).chain(modalities).chain(routers)
    }

    /// A micro-batch's numbers, of those that [`Self::on_device`] gave, in its order.
    pub(crate) fn of(&self, loss: &HybridLoss, read: &mut impl Iterator<Item = f64>) -> Vec<f64> {
        let mut next = || read.next().unwrap_or(f64::NAN);
        let mut numbers = vec![next()];
        numbers.push(loss.routers.total.as_ref().map_or(0.0, |_| next()));
        for modality in &loss.modalities {
            numbers.extend(modality.as_ref().map_or([0.0, 0.0], |modality| [next(), modality.count as f64]));
        }
        for layer in 0..self.layers {
            for (part, length) in self.router_lengths().enumerate() {
                let is_there = loss.routers.sums.get(layer).is_some_and(|parts| parts[part].is_some());
                numbers.extend((0..length).map(|_| if is_there { next() } else { 0.0 }));
            }
        }
        numbers
    }

    /// Adds up the numbers of all micro-batches, which lie one after the other.
    pub(crate) fn sum(&self, numbers: &[f64]) -> StepSums {
        let routers = self.router_lengths().map(|length| vec![0.0; length]).collect();
        let mut sums = StepSums {
            total: 0.0,
            routers_total: 0.0,
            lanes: vec![(0.0, 0); self.lanes],
            routers: vec![routers; self.layers],
        };
        let length = 2 + 2 * self.lanes + self.layers * self.router_lengths().sum::<usize>();
        for of_batch in numbers.chunks_exact(length) {
            let mut numbers = of_batch.iter().copied();
            let mut next = || numbers.next().unwrap_or(f64::NAN);
            sums.total += next();
            sums.routers_total += next();
            sums.lanes.iter_mut().for_each(|(sum, count)| (*sum, *count) = (*sum + next(), *count + next() as usize));
            sums.routers.iter_mut().flatten().flatten().for_each(|sum| *sum += next());
        }
        sums
    }

    /// The reports of routers; `rows` has the rows of each part.
    pub(crate) fn routers(&self, sums: &StepSums, parts: &[String], rows: &[usize]) -> Vec<RouterReport> {
        let with_rows = (0..parts.len()).filter(|&part| self.experts[part] > 0 && rows[part] > 0);
        let of_part = |part: usize| RouterReport {
            part: parts[part].clone(),
            layers: sums
                .routers
                .iter()
                .map(|layer| RoutingReport::of(&RouterSums::of(&layer[part]), rows[part]))
                .collect(),
        };
        with_rows.map(of_part).collect()
    }

    /// The number of each part's experts; 0 without a router.
    pub(crate) fn experts(&self) -> &[usize] {
        &self.experts
    }

    /// Whether there is a router.
    pub(crate) fn has_routers(&self) -> bool {
        self.experts.iter().any(|&experts| experts > 0)
    }

    fn router_lengths(&self) -> impl Iterator<Item = usize> {
        self.experts.iter().map(|&experts| if experts == 0 { 0 } else { RouterSums::length(experts) })
    }
}
