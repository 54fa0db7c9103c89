//! One optimizer step, and everything that survives a resume.

use std::time::Instant;

use burn::module::Module;
use burn::tensor::{Device, Tensor};
use interfuse_data::Loader;
use interfuse_image_tower::{NoiseKey, TimestepChoice};
use interfuse_kernels::{Workers, with_precision};
use interfuse_mot::CacheUse;
use interfuse_parameters::ParameterInfo;
use interfuse_sequence::Objective;
use interfuse_transfusion::ownership::part_of;
use interfuse_transfusion::{
    FlopsPerToken, HybridLoss, ModelConfig, Normalizer, ObjectiveConfig, TrainBatch, Transfusion, hybrid_loss,
};
use serde::Serialize;

use crate::adamw::{AdamW, Update};
use crate::config::{OptimizerConfig, TrainConfig};
use crate::ema::Ema;
use crate::error::TrainError;
use crate::gradients::{FlatGradients, clip_scale, read_numbers};
use crate::learning_rate::learning_rate;
use crate::skipped_steps::SkippedSteps;
use crate::tape;
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

/// A run in progress.
pub struct Trainer {
    /// What the run is made of.
    pub setup: Setup,
    /// The weights, on the gradient tape.
    pub model: Transfusion,
    /// Their moving average.
    pub ema: Ema,
    /// The optimizer's memory.
    pub optimizer: AdamW,
    /// The data, and where it stands.
    pub loader: Loader,
    /// Run the micro-batches of a step.
    workers: Workers,
    /// Steps taken.
    pub step: u64,
    /// Steps skipped because something was not finite.
    pub skipped: SkippedSteps,
}

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

/// What a step did.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct StepReport {
    /// Steps taken, this one included.
    pub step: u64,
    /// What was minimised.
    pub total: f64,
    /// By lane; only those with rows.
    pub modalities: Vec<ModalityReport>,
    /// Norm of the gradient before clipping.
    pub gradient_norm: f64,
    /// The same of each part's weights, with the names of its modalities.
    pub part_gradient_norms: Vec<(String, f64)>,
    /// Learning rate.
    pub learning_rate: f64,
    /// Rows of all lanes, padding included.
    pub rows: usize,
    /// Duration.
    pub seconds: f64,
    /// Floating-point operations of forward and backward by the model's arithmetic.
    pub flops: f64,
    /// What was not finite, if the step was skipped.
    pub skipped: Option<String>,
}

/// What a step computed, before it is decided what to do with it.
struct Computed {
    gradients: FlatGradients,
    losses: Vec<HybridLoss>,
    normalizer: Normalizer,
}

impl Trainer {
    /// A run at its beginning, with the given weights; `model` lives on an autodiff device.
    pub fn new(setup: Setup, model: Transfusion, loader: Loader) -> Self {
        let ema = Ema::new(&model);
        let workers = Workers::on(&setup.device, setup.train.gradient_accumulation);
        let optimizer = AdamW::default();
        Self { setup, model, ema, optimizer, loader, workers, step: 0, skipped: SkippedSteps::default() }
    }

    /// The moving average as a model, off the gradient tape.
    pub fn ema_model(&self) -> Transfusion {
        self.ema.model(&self.model)
    }

    /// The weights as they are, off the gradient tape.
    pub fn plain_model(&self) -> Transfusion {
        self.model.valid()
    }

    fn next_batches(&mut self) -> Result<Vec<TrainBatch>, TrainError> {
        let key = NoiseKey { seed: self.setup.seed, step: self.step };
        let device = self.setup.device.clone().autodiff();
        let layouts = self.loader.next_batches(self.setup.train.sequences(), self.setup.train.gradient_accumulation)?;
        let model = &self.setup.model;
        let noised = |layouts: &Vec<_>| TrainBatch::new(layouts, model, key, TimestepChoice::Sampled, &device);
        Ok(self.workers.map(&layouts, noised))
    }

    /// Forward and backward of all micro-batches, while a thread beside them makes the next step's batches.
    fn compute_and_prepare(&mut self, batches: &[TrainBatch]) -> Computed {
        let Self { setup, model, loader, workers, step, .. } = self;
        let (train, last) = (&setup.train, *step + 1 >= setup.train.steps);
        std::thread::scope(|scope| {
            if !last {
                scope.spawn(|| loader.prepare(train.sequences(), train.gradient_accumulation));
            }
            compute(model, workers, setup, batches)
        })
    }

    /// Reads all numbers of the step from the device at once.
    ///
    /// # Errors
    /// When the device failed: what was launched in the step is noticed here.
    fn measure(&self, computed: &Computed, learning_rate: f64) -> Result<StepReport, TrainError> {
        let lanes = self.setup.model.modalities.len();
        let mut numbers: Vec<Tensor<1>> = Vec::new();
        for loss in &computed.losses {
            numbers.push(loss.total.clone());
            numbers.extend(loss.modalities.iter().flatten().map(|modality| modality.sum.clone()));
        }
        numbers.extend(computed.gradients.squared_norms());
        let numbers = read_numbers(numbers)?;

        let mut read = numbers.iter().copied();
        let mut next = || f64::from(read.next().unwrap_or(f32::NAN));
        let (mut total, mut sums) = (0.0, vec![(0.0, 0); lanes]);
        for loss in &computed.losses {
            total += next();
            for (sum, modality) in sums.iter_mut().zip(&loss.modalities) {
                if let Some(modality) = modality {
                    *sum = (sum.0 + next(), sum.1 + modality.count);
                }
            }
        }
        let squared: Vec<f32> = read.collect();
        let parts = self.model.partition().names();
        let (norms, gradient_norm) = computed.gradients.norms(&squared, parts.len());
        let capacity = &self.loader.shape().capacity;
        let sequences = self.setup.train.sequences() * computed.losses.len();
        Ok(StepReport {
            step: self.step,
            total,
            modalities: self.modality_reports(&sums),
            gradient_norm,
            part_gradient_norms: parts.iter().cloned().zip(norms).collect(),
            learning_rate,
            rows: sequences * capacity.iter().sum::<usize>(),
            seconds: 0.0,
            flops: sequences as f64 * FlopsPerToken::of_rows(&self.setup.model, capacity),
            skipped: computed
                .gradients
                .is_empty()
                .then(|| format!("the batch (counts {:?})", computed.normalizer.counts)),
        })
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

    fn update(&mut self, gradients: FlatGradients, learning_rate: f64, gradient_norm: f64) {
        let config = &self.setup.optimizer;
        let gradient_scale = clip_scale(gradient_norm, config.max_gradient_norm);
        let update = Update { learning_rate, gradient_scale };
        let model = tape::take(&mut self.model);
        self.model = self.optimizer.step(model, gradients, config, update);
        self.ema.update(&self.model, config.ema_decay, self.step);
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

    /// Takes one optimizer step: data → forward → backward → accumulate → clip → AdamW → moving average.
    ///
    /// A loss or gradient that is not finite skips the update and is counted.
    ///
    /// # Errors
    /// When the data runs dry, or too many steps in a row are skipped.
    fn step(&mut self) -> Result<StepReport, TrainError> {
        let started = Instant::now();
        let batches = self.next_batches()?;
        let computed = self.compute_and_prepare(&batches);
        let rate = learning_rate(&self.setup.optimizer, self.step, self.setup.train.steps);
        let mut report = self.measure(&computed, rate)?;
        report.skipped = culprit(&report);
        if report.skipped.is_none() {
            self.update(computed.gradients, rate, report.gradient_norm);
        }
        self.step += 1;
        self.skipped.count(self.step, report.skipped.as_deref(), self.setup.train.most_bad_steps)?;
        report.step = self.step;
        report.seconds = started.elapsed().as_secs_f64();
        Ok(report)
    }
}

fn compute(model: &Transfusion, workers: &Workers, setup: &Setup, batches: &[TrainBatch]) -> Computed {
    let normalizer = batches.iter().map(Normalizer::of).fold(Normalizer::default(), Normalizer::and);
    let precision = setup.train.precision.kernels();
    let pass = |batch: &TrainBatch| {
        with_precision(precision, || forward_backward(model, batch, &setup.objective, &normalizer))
    };
    let mut gradients = FlatGradients::default();
    let mut losses = Vec::new();
    for (part, loss) in workers.map(batches, pass) {
        gradients.add(part);
        losses.push(loss);
    }
    Computed { gradients, losses, normalizer }
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
    let names = model.partition().names();
    let of_part = |weight: &ParameterInfo| names.iter().position(|name| part_of(weight) == Some(name));
    let gradients = FlatGradients::of(&model, loss.total.backward(), of_part);
    (gradients, loss.detached())
}

/// The first number of a step that is none, by name.
fn culprit(report: &StepReport) -> Option<String> {
    if let Some(reason) = &report.skipped {
        return Some(reason.clone());
    }
    if let Some(modality) = report.modalities.iter().find(|modality| !modality.loss.is_finite()) {
        return Some(format!("the {} loss ({})", modality.name, modality.loss));
    }
    if let Some((name, norm)) = report.part_gradient_norms.iter().find(|(_, norm)| !norm.is_finite()) {
        return Some(format!("the gradient of part {name} ({norm})"));
    }
    (!report.gradient_norm.is_finite()).then(|| format!("the gradient outside the backbone ({})", report.gradient_norm))
}
