//! Listens to training: writes metrics, previews and checkpoints into the run folder.

use std::time::Instant;

use interfuse_checkpoint::ModelCard;
use interfuse_sampling::{ImageRequest, generate};
use interfuse_trainer::{Due, Observer, StepReport, TrainError, Trainer, Validation, ValidationReport, checkpoint};

use super::phenomena::PhenomenaWatch;
use super::previews::preview_prompts;
use super::{observer_error, pretrained, unique};
use crate::error::Result;
use crate::measuring::measure_in_training;
use crate::metrics::Curves;
use crate::observer::{RunObserver, StepNotice};
use crate::plan::Plan;
use crate::run_folder::RunFolder;
use crate::sample_folder::enlarged_grid;

/// Listens to training.
pub(super) struct Recorder<'a> {
    plan: &'a Plan,
    folder: &'a RunFolder,
    curves: Curves,
    phenomena: PhenomenaWatch,
    observer: &'a mut dyn RunObserver,
    validation: Validation,
    prompts: Vec<ImageRequest>,
    tokenizer: Vec<u8>,
    started: Instant,
}

impl<'a> Recorder<'a> {
    /// Continues the curves from `step`, 0 for a new run.
    pub(super) fn new(
        plan: &'a Plan,
        folder: &'a RunFolder,
        step: u64,
        observer: &'a mut dyn RunObserver,
    ) -> Result<Self> {
        // Cuts what will come again off the metrics, before they are counted.
        let curves = Curves::new(folder, step, &plan.settings)?;
        Ok(Self {
            curves,
            phenomena: PhenomenaWatch::of_run(plan, &folder.metrics())?,
            observer,
            validation: plan.validation()?,
            prompts: preview_prompts(plan)?,
            tokenizer: plan.tokenizer.to_bytes()?,
            started: Instant::now(),
            plan,
            folder,
        })
    }

    fn record_step(&mut self, trainer: &Trainer, report: &StepReport) -> Result<()> {
        let mut numbers = Vec::new();
        let mut put = |name: &str, value: f64| numbers.push((name.to_string(), value));
        put("loss", report.total);
        for modality in &report.modalities {
            put(&format!("{}_loss", modality.name), modality.loss);
            put(&format!("{}_count", modality.name), modality.count as f64);
        }
        report.router_loss.iter().for_each(|loss| put("router_loss", *loss));
        for router in &report.routers {
            let (name, mean) = (format!("router.{}", router.part), router.mean());
            mean.load.iter().enumerate().for_each(|(expert, load)| put(&format!("{name}.load.{expert}"), *load));
            put(&format!("{name}.largest_load"), router.largest_load());
            put(&format!("{name}.unrouted"), mean.unrouted);
            put(&format!("{name}.entropy"), mean.entropy);
            put(&format!("{name}.balance"), mean.balance);
            put(&format!("{name}.z"), mean.z);
        }
        put("gradient_norm", report.gradient_norm);
        for (part, norm) in &report.part_gradient_norms {
            put(&format!("gradient_norm.{part}"), *norm);
        }
        put("learning_rate", report.learning_rate);
        put("fill", report.fill());
        put("data_wait", report.waited / report.seconds.max(1e-9));
        put("rows_per_second", report.rows as f64 / report.seconds.max(1e-9));
        put("flops", report.flops);
        put("flops_per_second", report.flops / report.seconds.max(1e-9));
        put("seconds", self.started.elapsed().as_secs_f64());
        numbers.extend(unique::numbers(self.plan, &trainer.loader));
        numbers.extend(self.phenomena.step(report));
        let skipped = report.skipped.as_deref().map(|culprit| ("skipped", culprit));
        self.curves.record(report.step, "train/", &numbers, skipped.as_slice())
    }

    fn record_validation(&mut self, report: &ValidationReport) -> Result<()> {
        let split = if report.is_train { "train_fixed_noise" } else { "held_out" };
        let numbers: Vec<(String, f64)> =
            report.numbers().into_iter().map(|(name, value)| (format!("{split}/{name}"), value)).collect();
        let name = if report.is_train { "training documents, fixed noise" } else { "held out" };
        self.observer.note(&format!("step {}  {name}: {}", report.step, report.line()));
        self.curves.record(report.step, "", &numbers, &[])
    }

    fn preview(&mut self, trainer: &Trainer) -> Result<()> {
        let pretrained = pretrained(self.plan, trainer);
        let images = generate(&pretrained, &self.prompts, &self.plan.settings.sampling, &mut |_| {})?;
        let grid = enlarged_grid(&images, 8)?;
        let path = self.folder.save_preview(trainer.step, &grid)?;
        self.curves.image("preview", trainer.step, &grid)?;
        self.observer.note(&format!("step {}  preview: {}", trainer.step, path.display()));
        Ok(())
    }

    /// Measures as `interfuse evaluate` does. Images are sampled from seeds of their own, so that training goes on as if
    /// nothing had been measured.
    fn measure(&mut self, trainer: &Trainer) -> Result<()> {
        let model = pretrained(self.plan, trainer);
        let report = measure_in_training(self.plan, &model, self.folder, self.observer)?;
        self.observer.measured(&report);
        self.curves.record(trainer.step, "evaluation/", &report.numbers(), &[])
    }

    fn save(&mut self, trainer: &Trainer) -> Result<()> {
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
            self.observer.note(&text);
        }
        if let Some(culprit) = &report.skipped {
            self.observer.note(&format!("step {} skipped: {culprit} is not finite", report.step));
        }
        let losses = report.modalities.iter().map(|modality| (format!("{} loss", modality.name), modality.loss));
        self.observer.stepped(&StepNotice {
            step: report.step,
            steps: trainer.setup.train.steps,
            losses: losses.collect(),
            done: report.rows,
            unit: "rows",
            fill: report.fill(),
            waited: report.waited / report.seconds.max(1e-9),
            seconds: report.seconds,
        });
        self.record_step(trainer, report).map_err(observer_error)
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
