//! Listens to an autoencoder's training: writes metrics, previews and checkpoints into the run folder.

use std::time::Instant;

use interfuse_data::{DataSet, Image, spread};
use interfuse_trainer::autoencoder::{AutoencoderReport, AutoencoderTrainer, checkpoint};
use interfuse_trainer::{Due, Observer, TrainError};

use super::quality::{Quality, compare, reconstruct};
use super::settings::VaeSettings;
use crate::error::Result;
use crate::metrics::Curves;
use crate::observer::{RunObserver, StepNotice};
use crate::run_folder::RunFolder;
use crate::sample_folder::enlarged_grid;
use crate::training::observer_error;

/// Listens to training.
pub(super) struct VaeRecorder<'a> {
    settings: &'a VaeSettings,
    folder: &'a RunFolder,
    curves: Curves,
    observer: &'a mut dyn RunObserver,
    held_out: Vec<Image>,
    /// Whether these are training images, because nothing could be held out.
    held_out_is_train: bool,
    shown: Vec<Image>,
    started: Instant,
    /// What was measured last.
    pub(super) quality: Option<Quality>,
}

impl<'a> VaeRecorder<'a> {
    /// Continues the curves from `step`, 0 for a new run.
    pub(super) fn new(
        settings: &'a VaeSettings,
        data: &DataSet,
        folder: &'a RunFolder,
        step: u64,
        observer: &'a mut dyn RunObserver,
    ) -> Result<Self> {
        let held_out = &data.held_out;
        Ok(Self {
            curves: Curves::new(folder, step, settings)?,
            observer,
            held_out: spread(held_out.as_ref(), settings.validation.images).1,
            held_out_is_train: held_out.held_out_is_train(),
            shown: spread(held_out.as_ref(), settings.validation.shown).1,
            started: Instant::now(),
            quality: None,
            settings,
            folder,
        })
    }

    /// What the images are that quality is measured on.
    pub(super) fn measured_on(&self) -> &'static str {
        if self.held_out_is_train { "training images" } else { "held out" }
    }

    fn record_step(&mut self, report: &AutoencoderReport) -> Result<()> {
        let mut numbers: Vec<(String, f64)> =
            report.losses.iter().map(|(name, loss)| ((*name).to_string(), *loss)).collect();
        let mut put = |name: &str, value: f64| numbers.push((name.to_string(), value));
        put("gradient_norm", report.gradient_norm);
        if let Some(norm) = report.discriminator_gradient_norm {
            put("discriminator_gradient_norm", norm);
        }
        if let Some(codes) = &report.codes {
            put("codes_used", codes.used);
            put("code_perplexity", codes.perplexity);
            put("codes_revived", codes.revived as f64);
        }
        put("learning_rate", report.learning_rate);
        put("images_per_second", report.images as f64 / report.seconds.max(1e-9));
        put("seconds", self.started.elapsed().as_secs_f64());
        let skipped = report.skipped.as_deref().map(|culprit| ("skipped", culprit));
        self.curves.record(report.step, "train/", &numbers, skipped.as_slice())
    }

    fn measure(&mut self, trainer: &AutoencoderTrainer) -> Result<()> {
        let reconstructions = reconstruct(&trainer.ema_model(), &self.held_out, &trainer.setup.device)?;
        let quality = compare(&self.held_out, &reconstructions)?;
        let split = if self.held_out_is_train { "train" } else { "held_out" };
        let mut numbers = vec![(format!("{split}/psnr"), quality.psnr)];
        numbers.extend(quality.ssim.map(|ssim| (format!("{split}/ssim"), ssim)));
        self.observer.note(&format!("step {}  {}: {quality}", trainer.step, self.measured_on()));
        self.quality = Some(quality);
        self.curves.record(trainer.step, "", &numbers, &[])
    }

    /// Pairs of an image and its reconstruction.
    fn preview(&mut self, trainer: &AutoencoderTrainer) -> Result<()> {
        let reconstructions = reconstruct(&trainer.ema_model(), &self.shown, &trainer.setup.device)?;
        let grid = enlarged_grid(&pairs(&self.shown, reconstructions), 8)?;
        let path = self.folder.save_preview(trainer.step, &grid)?;
        self.curves.image("preview", trainer.step, &grid)?;
        self.observer.note(&format!("step {}  preview: {}", trainer.step, path.display()));
        Ok(())
    }

    fn save(&self, trainer: &AutoencoderTrainer) -> Result<()> {
        checkpoint::save(trainer, &self.folder.checkpoint(trainer.step))?;
        checkpoint::export(trainer, &self.folder.vae())?;
        self.folder.keep_checkpoints(self.settings.run.keep_checkpoints)
    }
}

/// Every image with its reconstruction behind it.
pub fn pairs(images: &[Image], reconstructions: Vec<Image>) -> Vec<Image> {
    images.iter().cloned().zip(reconstructions).flat_map(|(image, reconstruction)| [image, reconstruction]).collect()
}

impl Observer<AutoencoderTrainer> for VaeRecorder<'_> {
    fn stepped(&mut self, trainer: &mut AutoencoderTrainer, report: &AutoencoderReport) -> Result<(), TrainError> {
        if let Some(warning) = trainer.take_warning() {
            self.observer.note(&format!("skipped {} bad images; first: {warning}", trainer.cursor().bad));
        }
        if let Some(culprit) = &report.skipped {
            self.observer.note(&format!("step {} skipped: {culprit} is not finite", report.step));
        }
        let losses = report.losses.iter().map(|(name, loss)| ((*name).to_string(), *loss));
        self.observer.stepped(&StepNotice {
            step: report.step,
            steps: trainer.setup.train.steps,
            losses: losses.collect(),
            done: report.images,
            unit: "images",
            fill: 1.0,
            waited: 0.0,
            seconds: report.seconds,
        });
        self.record_step(report).map_err(observer_error)
    }

    fn due(&mut self, trainer: &AutoencoderTrainer, what: Due) -> Result<(), TrainError> {
        let done = match what {
            Due::Validation if self.held_out.is_empty() => Ok(()),
            Due::Validation => self.measure(trainer),
            Due::Preview if self.shown.is_empty() => Ok(()),
            Due::Preview => self.preview(trainer),
            Due::Checkpoint => self.save(trainer),
            // Quality on held-out images is all there is to measure.
            Due::Evaluation => Ok(()),
        };
        done.map_err(observer_error)
    }
}
