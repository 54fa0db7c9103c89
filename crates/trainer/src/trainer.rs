//! One optimizer step, and everything that survives a resume.

use std::time::Instant;

use burn::module::Module;
use burn::tensor::Device;
use interfuse_data::Loader;
use interfuse_image_tower::{NoiseKey, TimestepChoice};
use interfuse_kernels::{Workers, with_activation_checkpointing, with_precision};
use interfuse_mot::CacheUse;
use interfuse_parameters::{ParameterInfo, parameters};
use interfuse_transfusion::ownership::{owners, part_of};
use interfuse_transfusion::{
    FlopsPerToken, HybridLoss, ModelConfig, Normalizer, ObjectiveConfig, TrainBatch, Transfusion, hybrid_loss,
};

use crate::config::TrainConfig;
use crate::error::TrainError;
use crate::optimization::gradients::norms;
use crate::optimization::learning_rate::learning_rate;
use crate::optimization::step::{self, Stepper};
use crate::optimization::{Ema, FlatGradients, Optimizer, OptimizerConfig, SkippedSteps, tape};
use crate::parallel::{Exchange, Ranks, Sharding, Weight};
use crate::step_report::{ModalityReport, RouterReport, StepNumbers, StepReport, StepSums};
use crate::training_loop::Learner;

/// What a run is made of.
pub struct Setup {
    /// Settings of the model, with every size filled in.
    pub model: ModelConfig,
    /// How the losses are weighed.
    pub objective: ObjectiveConfig,
    /// The optimizer.
    pub optimizer: OptimizerConfig,
    /// How much is trained.
    pub train: TrainConfig,
    /// Of the weights, the data and the noise.
    pub seed: u64,
    /// A device without autodiff; the trainer turns it on.
    pub device: Device,
}

impl Setup {
    /// Runs a part of a step on this thread as its settings say: in their precision, and with activation checkpointing or not.
    pub(crate) fn computing<T>(&self, f: impl FnOnce() -> T) -> T {
        let precision = self.train.precision.on(&self.device);
        with_precision(precision, || with_activation_checkpointing(self.train.activation_checkpointing, f))
    }
}

/// A run in progress.
pub struct Trainer {
    /// What the run is made of.
    pub setup: Setup,
    /// The weights, on the gradient tape.
    pub model: Transfusion,
    /// Their moving average.
    pub ema: Ema,
    /// The optimizer's memory.
    pub optimizer: Optimizer,
    /// The data, and where it stands.
    pub loader: Loader,
    /// Run the micro-batches of a step.
    pub(crate) workers: Workers,
    /// The processes that train this model together.
    pub(crate) ranks: Ranks,
    /// Which of them keeps the moments of which weight, where not all keep all.
    pub(crate) sharding: Option<Sharding>,
    /// Steps taken.
    pub step: u64,
    /// Steps skipped because something was not finite.
    pub skipped: SkippedSteps,
}

/// What a step computed, before it is decided what to do with it.
pub(crate) struct Computed {
    /// Of all ranks.
    gradients: FlatGradients,
    /// Of this rank's micro-batches.
    losses: Vec<HybridLoss>,
    /// What all ranks' micro-batches hold together.
    normalizer: Normalizer,
    /// Seconds in which nothing was computed because documents were not ready.
    waited: f64,
}

impl Trainer {
    /// A run at its beginning, with the given weights; `model` lives on an autodiff device.
    pub fn new(setup: Setup, model: Transfusion, loader: Loader) -> Self {
        let ema = Ema::learned(&model);
        let workers = Workers::on(&setup.device, setup.train.gradient_accumulation);
        let optimizer = Optimizer::default();
        let (ranks, skipped) = (Ranks::alone(), SkippedSteps::default());
        Self { setup, model, ema, optimizer, loader, workers, ranks, sharding: None, step: 0, skipped }
    }

    /// The same run as one of several ranks, each of which computes its share of a step's micro-batches.
    ///
    /// # Errors
    /// When there are fewer micro-batches than ranks.
    pub fn among(mut self, ranks: Ranks) -> Result<Self, TrainError> {
        let share = ranks.share(self.setup.train.gradient_accumulation)?;
        self.workers = Workers::on(&self.setup.device, share.len());
        let is_sharded = self.setup.optimizer.sharded && ranks.size() > 1;
        self.sharding = is_sharded.then(|| Sharding::new(&ranks, parameters(&self.model)));
        self.ranks = ranks;
        Ok(self)
    }

    /// The moving average as a model, off the gradient tape.
    pub fn ema_model(&self) -> Transfusion {
        self.ema.model(&self.model)
    }

    /// The weights as they are, off the gradient tape.
    pub fn plain_model(&self) -> Transfusion {
        self.model.valid()
    }

    /// Computes micro-batches one after the other, each on all cores, from now on: what the times of operations add up in.
    pub fn compute_in_turn(&mut self) {
        self.workers = Workers::on(&self.setup.device, 1);
    }

    /// This rank's micro-batches of the next step, and for how many seconds their documents were waited for. Every rank lays all
    /// of them out, so that their order is that of one process.
    fn next_batches(&mut self) -> Result<(Vec<TrainBatch>, f64), TrainError> {
        let key = NoiseKey { seed: self.setup.seed, step: self.step };
        let device = self.setup.device.clone().autodiff();
        let asked = Instant::now();
        let layouts = self.loader.next_batches(self.setup.train.sequences(), self.setup.train.gradient_accumulation)?;
        let waited = asked.elapsed().as_secs_f64();
        let model = &self.setup.model;
        let share = self.ranks.share(layouts.len())?;
        let own: Vec<(usize, &Vec<_>)> = share.clone().zip(&layouts[share]).collect();
        let noised = |(index, layouts): &(usize, &Vec<_>)| {
            let batch = TrainBatch::new(layouts, model, key, TimestepChoice::Sampled, &device);
            batch.with_dropout(model, key, *index)
        };
        Ok((self.workers.map(&own, noised), waited))
    }

    /// What all ranks' micro-batches hold together.
    fn normalizer(&self, batches: &[TrainBatch]) -> Result<Normalizer, TrainError> {
        let own = batches.iter().map(Normalizer::of).fold(Normalizer::default(), Normalizer::and);
        let numbers = own.numbers();
        let length = numbers.len();
        let all = self.ranks.gather_numbers(numbers)?;
        let of_ranks = all.chunks_exact(length).map(Normalizer::of_numbers);
        let mut sum = of_ranks.fold(Normalizer::default(), Normalizer::and);
        sum.loads = self.setup.model.balances_over_steps().then(|| self.router_loads(batches)).transpose()?;
        Ok(sum)
    }

    /// What every micro-batch says in numbers.
    pub(crate) fn numbers(&self) -> StepNumbers {
        StepNumbers::new(&self.setup.model, self.model.partition().names())
    }

    /// Losses of all ranks' micro-batches.
    fn sums(&self, losses: &[HybridLoss], read: Vec<f64>) -> Result<StepSums, TrainError> {
        let (numbers, mut read) = (self.numbers(), read.into_iter());
        let own = losses.iter().flat_map(|loss| numbers.of(loss, &mut read)).collect();
        Ok(numbers.sum(&self.ranks.gather_numbers(own)?))
    }

    fn modality_reports(&self, sums: &[(f64, usize)]) -> Vec<ModalityReport> {
        let modalities = self.setup.model.modalities().into_iter().zip(sums);
        modalities
            .filter(|(_, (_, count))| *count > 0)
            .map(|(modality, &(sum, count))| ModalityReport {
                name: modality.name,
                objective: modality.objective,
                loss: sum / count as f64,
                count,
            })
            .collect()
    }

    fn router_reports(&self, sums: &StepSums, rows: &[usize]) -> Vec<RouterReport> {
        let partition = self.model.partition();
        let of_part = |lanes: &Vec<usize>| lanes.iter().map(|&lane| rows[lane]).sum();
        let rows: Vec<usize> = partition.parts().iter().map(of_part).collect();
        self.numbers().routers(sums, partition.names(), &rows)
    }
}

impl Stepper for Trainer {
    type Computed = Computed;
    type Report = StepReport;

    fn compute(&mut self) -> Result<Computed, TrainError> {
        let (batches, waited) = self.next_batches()?;
        let normalizer = self.normalizer(&batches)?;
        let Self { setup, model, loader, workers, ranks, sharding, step, .. } = self;
        let (train, goes_on, is_alone) = (&setup.train, *step + 1 < setup.train.steps, ranks.size() == 1);
        let prepare = goes_on.then_some(|| loader.prepare(train.sequences(), train.gradient_accumulation));
        let ((parts, losses), late) =
            step::beside(prepare, || compute(model, workers, setup, (&batches, &normalizer, is_alone)));
        // A GPU still computes what was asked of it, so nobody waits for documents as long as that takes.
        let late = if setup.device == Device::flex() { late } else { 0.0 };
        let exchange = Exchange { ranks, sharding: sharding.as_ref(), device: &setup.device };
        let gradients = exchange.sum(parts, || weights(model))?;
        Ok(Computed { gradients, losses, normalizer, waited: waited + late })
    }

    fn measure(&self, computed: &Computed) -> Result<StepReport, TrainError> {
        let losses = computed.losses.iter().flat_map(StepNumbers::on_device).collect();
        let (losses, [squared]) = step::read(losses, [Some(&computed.gradients)])?;

        let (normalizer, sums) = (&computed.normalizer, self.sums(&computed.losses, losses)?);
        let owners = owners(&self.model);
        let squared = computed.gradients.named(&squared);
        let squared = match &self.sharding {
            Some(sharding) => sharding.all_norms(&squared)?,
            None => squared,
        };
        let (norms, gradient_norm) = norms(&squared, owners.len());
        let sequences = self.setup.train.sequences() * normalizer.batches;
        // Where batches have several sizes, a sequence of the mean one.
        let mean: Vec<usize> = normalizer.all_rows.iter().map(|rows| rows / sequences.max(1)).collect();
        let mut report = StepReport {
            step: self.step,
            total: sums.total,
            modalities: self.modality_reports(&sums.lanes),
            router_loss: self.numbers().has_routers().then_some(sums.routers_total),
            routers: self.router_reports(&sums, &normalizer.rows),
            gradient_norm,
            part_gradient_norms: owners.into_iter().zip(norms).collect(),
            learning_rate: learning_rate(&self.setup.optimizer, self.step, self.setup.train.steps),
            rows: normalizer.all_rows.iter().sum(),
            filled_rows: normalizer.filled(),
            seconds: 0.0,
            waited: computed.waited,
            flops: sequences as f64 * FlopsPerToken::of_rows(&self.setup.model, &mean),
            skipped: None,
        };
        report.skipped = match squared.is_empty() {
            true => Some(format!("the batch (counts {:?})", normalizer.counts)),
            false => step::non_finite(numbers(&report)),
        };
        Ok(report)
    }

    fn update(&mut self, computed: Computed, report: &mut StepReport) -> Result<(), TrainError> {
        let config = &self.setup.optimizer;
        let (norm, rate) = (report.gradient_norm, report.learning_rate);
        let own = self.sharding.as_ref().map(|_| computed.gradients.names().map(String::from).collect());
        self.optimizer.apply(&mut self.model, computed.gradients, norm, config, rate);
        if let Some((sharding, own)) = self.sharding.as_ref().zip(own) {
            sharding.keep_own(&mut self.optimizer);
            self.model = sharding.spread(tape::take(&mut self.model), own, &self.setup.device)?;
        }
        self.ema.update(&self.model, config.ema_decay, self.step);
        Ok(())
    }

    fn count(&mut self) -> (&mut u64, &mut SkippedSteps, u64) {
        (&mut self.step, &mut self.skipped, self.setup.train.most_bad_steps)
    }
}

impl step::Report for StepReport {
    fn skipped(&self) -> Option<&str> {
        self.skipped.as_deref()
    }

    fn taken(&mut self, step: u64, seconds: f64) {
        (self.step, self.seconds) = (step, seconds);
    }
}

impl Learner for Trainer {
    type Report = StepReport;

    fn steps_taken(&self) -> u64 {
        self.step
    }

    fn steps(&self) -> u64 {
        self.setup.train.steps
    }

    fn is_non_finite(&self) -> bool {
        self.skipped.in_a_row > 0
    }

    fn stops(&mut self, asked: bool) -> Result<bool, TrainError> {
        Ok(self.ranks.any(asked)?)
    }

    /// The moments that other ranks keep.
    fn gather(&mut self) -> Result<(), TrainError> {
        self.sharding.as_ref().map_or(Ok(()), |sharding| sharding.gather(&mut self.optimizer))
    }

    /// Takes one optimizer step: data → forward → backward → accumulate → clip → update → moving average.
    ///
    /// A loss or gradient that is not finite skips the update and is counted.
    ///
    /// # Errors
    /// When the data runs dry, or too many steps in a row are skipped.
    fn step(&mut self) -> Result<StepReport, TrainError> {
        step::take(self)
    }
}

/// Gradients and losses of each micro-batch. Where no other rank adds to them, those of all micro-batches so far are one sum, so
/// that no more are held than are computed side by side.
fn compute(
    model: &Transfusion,
    workers: &Workers,
    setup: &Setup,
    (batches, normalizer, is_alone): (&[TrainBatch], &Normalizer, bool),
) -> (Vec<FlatGradients>, Vec<HybridLoss>) {
    let pass = |batch: &TrainBatch| setup.computing(|| forward_backward(model, batch, &setup.objective, normalizer));
    let (mut parts, mut losses): (Vec<FlatGradients>, Vec<HybridLoss>) = (vec![], vec![]);
    for side_by_side in batches.chunks(workers.count()) {
        for (gradients, loss) in workers.map(side_by_side, pass) {
            match parts.last_mut().filter(|_| is_alone) {
                Some(sum) => sum.add(gradients),
                None => parts.push(gradients),
            }
            losses.push(loss);
        }
    }
    (parts, losses)
}

/// All weights, in the order of their names.
fn weights(model: &Transfusion) -> Vec<Weight> {
    let names = owners(model);
    let mut all: Vec<Weight> = parameters(model)
        .into_iter()
        .map(|info| Weight { group: names.iter().position(|name| part_of(&info) == Some(name)), info })
        .collect();
    all.sort_by(|a, b| a.info.name.cmp(&b.info.name));
    all
}

/// The gradients and losses of one micro-batch.
fn forward_backward(
    model: &Transfusion,
    batch: &TrainBatch,
    objective: &ObjectiveConfig,
    normalizer: &Normalizer,
) -> (FlatGradients, HybridLoss) {
    let model = tape::on_its_own_tape(model);
    let predictions = model.forward(batch.input(), CacheUse::None);
    let loss = hybrid_loss(&model, &predictions, batch, objective, normalizer);
    // The tape then holds the logits alone, so that their gradient takes their place.
    drop(predictions);
    let names = owners(&model);
    let of_part = |weight: &ParameterInfo| names.iter().position(|name| part_of(weight) == Some(name));
    let gradients = FlatGradients::of(&model, loss.total.backward(), of_part);
    (gradients, loss.detached())
}

/// What must be finite for a step to count, by name.
fn numbers(report: &StepReport) -> impl Iterator<Item = (String, f64)> {
    let losses = report.modalities.iter().map(|modality| (format!("{} loss", modality.name), modality.loss));
    let parts = report.part_gradient_norms.iter().map(|(name, norm)| (format!("gradient of part {name}"), *norm));
    let routers = report.router_loss.map(|loss| ("loss of routers".to_string(), loss));
    losses.chain(routers).chain(parts).chain([("gradient outside the backbone".into(), report.gradient_norm)])
}
