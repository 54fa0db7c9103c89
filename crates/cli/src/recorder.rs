//! Listens to training: writes metrics, previews and checkpoints into the run folder, and shows progress.

use std::time::Instant;

use anyhow::ensure;
use interfuse_data::DataError;
use interfuse_data::documents::MARKERS;
use interfuse_sampling::{ImageRequest, ModelCard, Pretrained, SamplingConfig, generate};
use interfuse_trainer::{Due, Observer, StepReport, TrainError, Trainer, Validation, ValidationReport, checkpoint};

use crate::assembly::Plan;
use crate::commands::evaluate;
use crate::curves::Curves;
use crate::progress::{Pace, TrainProgress};
use crate::run_folder::RunFolder;
use crate::sample_folder::enlarged_grid;

/// Listens to training.
pub(crate) struct Recorder<'a> {
    plan: &'a Plan,
    folder: &'a RunFolder,
    curves: Curves,
    progress: TrainProgress,
    validation: Validation,
    prompts: Vec<ImageRequest>,
    tokenizer: Vec<u8>,
    started: Instant,
}

impl<'a> Recorder<'a> {
    /// Continues the curves from `step`, 0 for a new run.
    pub(crate) fn new(plan: &'a Plan, folder: &'a RunFolder, step: u64) -> anyhow::Result<Self> {
        Ok(Self {
            curves: Curves::new(folder, step, &plan.settings)?,
            progress: TrainProgress::new(step, plan.settings.train.steps),
            validation: plan.validation()?,
            prompts: preview_prompts(plan)?,
            tokenizer: plan.tokenizer.to_bytes()?,
            started: Instant::now(),
            plan,
            folder,
        })
    }

    /// Takes the bar away.
    pub(crate) fn finish(&self) {
        self.progress.finish();
    }

    fn record_step(&mut self, report: &StepReport) -> anyhow::Result<()> {
        let mut numbers = Vec::new();
        let mut put = |name: &str, value: f64| numbers.push((name.to_string(), value));
        put("loss", report.total);
        for modality in &report.modalities {
            put(&format!("{}_loss", modality.name), modality.loss);
            put(&format!("{}_count", modality.name), modality.count as f64);
        }
        put("gradient_norm", report.gradient_norm);
        for (part, norm) in &report.part_gradient_norms {
            put(&format!("gradient_norm.{part}"), *norm);
        }
        put("learning_rate", report.learning_rate);
        put("rows_per_second", report.rows as f64 / report.seconds.max(1e-9));
        put("flops_per_second", report.flops / report.seconds.max(1e-9));
        put("seconds", self.started.elapsed().as_secs_f64());
        let skipped = report.skipped.as_deref().map(|culprit| ("skipped", culprit));
        self.curves.record(report.step, "train/", &numbers, skipped.as_slice())
    }

    fn record_validation(&mut self, report: &ValidationReport) -> anyhow::Result<()> {
        let split = if report.is_train { "train_fixed_noise" } else { "held_out" };
        let numbers: Vec<(String, f64)> =
            report.numbers().into_iter().map(|(name, value)| (format!("{split}/{name}"), value)).collect();
        let name = if report.is_train { "training images, fixed noise" } else { "held out" };
        self.progress.line(&format!("step {}  {name}: {}", report.step, report.line()));
        self.curves.record(report.step, "", &numbers, &[])
    }

    fn preview(&mut self, trainer: &Trainer) -> anyhow::Result<()> {
        let pretrained = pretrained(self.plan, trainer)?;
        let images = generate(&pretrained, &self.prompts, &self.plan.settings.sampling, &mut |_| {})?;
        let grid = enlarged_grid(&images, 8)?;
        let path = self.folder.save_preview(trainer.step, &grid)?;
        self.curves.image("preview", trainer.step, &grid)?;
        self.progress.line(&format!("step {}  preview: {}", trainer.step, path.display()));
        Ok(())
    }

    /// Measures as `interfuse evaluate` does. Images are sampled from seeds of their own, so that training goes on as if
    /// nothing had been measured.
    fn measure(&mut self, trainer: &Trainer) -> anyhow::Result<()> {
        let model = pretrained(self.plan, trainer)?;
        self.progress.pause();
        let report = evaluate::measure_in_training(&self.plan.settings, &model, self.folder)?;
        let numbers = evaluate::fractions(&report);
        self.curves.record(trainer.step, "evaluation/", &numbers, &[])
    }

    fn save(&mut self, trainer: &Trainer) -> anyhow::Result<()> {
        let card = ModelCard { step: trainer.step, ..self.plan.card.clone() };
        let path = self.folder.checkpoint(trainer.step);
        checkpoint::save(trainer, &card, &self.tokenizer, &path)?;
        self.folder.keep_checkpoints(self.plan.settings.run.keep_checkpoints)
    }
}

impl Observer<Trainer> for Recorder<'_> {
    fn stepped(&mut self, trainer: &mut Trainer, report: &StepReport) -> Result<(), TrainError> {
        if let Some(warning) = trainer.loader.take_warning() {
            let cursor = trainer.loader.cursor();
            let text = format!("skipped {} bad and {} too long; first: {warning}", cursor.bad, cursor.too_long);
            self.progress.line(&text);
        }
        if let Some(culprit) = &report.skipped {
            self.progress.line(&format!("step {} skipped: {culprit} is not finite", report.step));
        }
        let losses = report.modalities.iter().map(|modality| (format!("{} loss", modality.name), modality.loss));
        let pace = Pace { done: report.rows, unit: "rows", seconds: report.seconds };
        self.progress.step(report.step, losses, pace);
        self.record_step(report).map_err(observer_error)
    }

    fn due(&mut self, trainer: &Trainer, what: Due) -> Result<(), TrainError> {
        let done = match what {
            Due::Validation if self.validation.is_empty() => Ok(()),
            Due::Validation => {
                let setup = &trainer.setup;
                let run = (setup.seed, trainer.step);
                let model = trainer.ema_model();
                let report =
                    self.validation.measure(&model, &setup.model, run, setup.train.sequences(), &setup.device)?;
                self.record_validation(&report)
            }
            Due::Preview if self.prompts.is_empty() => Ok(()),
            Due::Preview => self.preview(trainer),
            Due::Checkpoint => self.save(trainer),
            Due::Evaluation => self.measure(trainer),
        };
        done.map_err(observer_error)
    }
}

pub(crate) fn observer_error(error: anyhow::Error) -> TrainError {
    TrainError::Observer(crate::sentence(&error))
}

/// The moving average of a run in progress, as sampling wants it.
pub(crate) fn pretrained(plan: &Plan, trainer: &Trainer) -> anyhow::Result<Pretrained> {
    Ok(Pretrained {
        card: ModelCard { step: trainer.step, ..plan.card.clone() },
        model: trainer.ema_model(),
        tokenizer: plan.tokenizer.clone(),
        codec: std::sync::Arc::clone(&plan.codec),
        device: trainer.setup.device.clone(),
    })
}

/// What the previews show: the configured prompts, or captions spread evenly over the training data.
///
/// # Errors
/// A configured prompt is longer than the rows; a caption that is longer is left out, as it is in training.
pub(crate) fn preview_prompts(plan: &Plan) -> anyhow::Result<Vec<ImageRequest>> {
    let preview = &plan.settings.preview;
    let limit = plan.card.max_text_rows;
    let rows = |prompt: &str| Ok::<_, DataError>(plan.tokenizer.encode(prompt)?.len() + MARKERS);
    let mut prompts = preview.prompts.clone();
    for prompt in &prompts {
        let found = rows(prompt)?;
        ensure!(found <= limit, "preview.prompts: expected at most {limit} tokens, found {found} in {prompt:?}");
    }
    if prompts.is_empty() {
        let source = interfuse_data::open(&plan.settings.data, interfuse_data::Split::Train)?;
        let count = preview.count.min(source.len());
        prompts = (0..count).map(|i| source.captions(i * source.len() / count)[0].clone()).collect();
        prompts.retain(|caption| rows(caption).is_ok_and(|found| found <= limit));
    }
    let requests = prompts.into_iter().enumerate();
    Ok(requests.map(|(seed, prompt)| ImageRequest { prompt, seed: seed as u64 }).collect())
}

/// The settings of sampling with what the command line changes.
pub(crate) fn sampling_of(base: &SamplingConfig, args: &crate::args::SamplingArgs) -> anyhow::Result<SamplingConfig> {
    let mut sampling = base.clone();
    sampling.guidance = args.guidance.unwrap_or(sampling.guidance);
    sampling.steps = args.steps.unwrap_or(sampling.steps);
    sampling.temperature = args.temperature.unwrap_or(sampling.temperature);
    sampling.solver = args.solver.map(Into::into).or(sampling.solver);
    sampling.validate()?;
    Ok(sampling)
}
