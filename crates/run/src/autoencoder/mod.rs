//! An autoencoder's run: begun or gone on with, and trained.

pub mod quality;
mod recorder;
mod settings;

use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use interfuse_checkpoint::folder::write_json;
use interfuse_data::{DataSet, ImageCursor, ImageStream};
use interfuse_trainer::Outcome;
use interfuse_trainer::autoencoder::{AutoencoderSetup, AutoencoderTrainer, checkpoint};
use serde_json::json;

use self::quality::Quality;
use self::recorder::VaeRecorder;
pub use self::recorder::pairs;
pub use self::settings::{VaeSettings, ValidationImages};
use crate::configuration;
use crate::error::Result;
use crate::fingerprint::DataFingerprint;
use crate::observer::RunObserver;
use crate::run_folder::RunFolder;
use crate::training::{Resumed, with_last_checkpoint};

/// An autoencoder that is being trained. Its run's folder is locked until this is dropped.
pub struct AutoencoderRun {
    /// The configuration.
    pub settings: VaeSettings,
    /// The images, opened.
    pub data: DataSet,
    /// Where its files lie.
    pub folder: RunFolder,
    /// The networks, and everything that survives a resume.
    pub trainer: AutoencoderTrainer,
    /// Where it goes on from, if it does.
    pub resumed: Option<Resumed>,
}

/// How an autoencoder's training ended.
#[derive(Debug, Clone, Copy)]
pub struct Trained {
    /// Whether all steps were taken.
    pub outcome: Outcome,
    /// How well held-out images came back in the end, if that was measured.
    pub quality: Option<Quality>,
    /// What the images were: `held out` or `training images`.
    pub measured_on: &'static str,
}

impl AutoencoderRun {
    /// Makes the folder of a new run.
    ///
    /// # Errors
    /// When the data is not there, or the folder already holds a run or is in use.
    pub fn begin(settings: VaeSettings) -> Result<Self> {
        let data = interfuse_data::open(&settings.data)?;
        let trainer = trainer(&settings, &data, ImageCursor::default())?;
        let folder = RunFolder::begin(&settings.run.dir)?;
        configuration::save(&settings, &folder.config())?;
        DataFingerprint::of_images(data.train.as_ref()).save(&folder.data())?;
        Ok(Self { settings, data, folder, trainer, resumed: None })
    }

    /// Goes on from the latest checkpoint in the run's folder.
    ///
    /// # Errors
    /// When there is none, it is of another autoencoder or seed, or the folder is in use.
    pub fn resume(settings: VaeSettings) -> Result<Self> {
        let (folder, latest) = RunFolder::resume(&settings.run.dir)?;
        let resumed = checkpoint::open(&latest, &settings.networks()?, settings.run.seed)?;
        let data = interfuse_data::open(&settings.data)?;
        let fingerprint = DataFingerprint::of_images(data.train.as_ref());
        let mut changes = vec![];
        if let Ok(before) = configuration::load::<VaeSettings>(&folder.config(), &[]) {
            changes.extend(configuration::changes(&before, &settings)?);
        }
        let before = DataFingerprint::load(&folder.data());
        changes.extend(before.into_iter().flat_map(|before| fingerprint.changes_since(&before)));
        let mut trainer = trainer(&settings, &data, resumed.state.cursor)?;
        resumed.restore(&mut trainer)?;
        // Whoever was killed between a checkpoint and `vae/` has left there what an earlier checkpoint had.
        checkpoint::export(&trainer, &folder.vae())?;
        configuration::save(&settings, &folder.config())?;
        fingerprint.save(&folder.data())?;
        Ok(Self { settings, data, folder, trainer, resumed: Some(Resumed { checkpoint: latest, changes }) })
    }

    /// Trains until the last step, or until `stop` is set, and leaves a checkpoint and the autoencoder in `vae/`.
    ///
    /// # Errors
    /// When a step fails or a file cannot be written; says which checkpoint is left.
    pub fn train(&mut self, observer: &mut dyn RunObserver, stop: &AtomicBool) -> Result<Trained> {
        let Self { settings, data, folder, trainer, .. } = self;
        let mut recorder = VaeRecorder::new(settings, data, folder, trainer.step, observer)?;
        let outcome = interfuse_trainer::run(trainer, &settings.intervals, &mut recorder, stop);
        let (quality, measured_on) = (recorder.quality, recorder.measured_on());
        let outcome = outcome.map_err(|error| with_last_checkpoint(error, folder))?;
        if let Some(quality) = quality.filter(|_| outcome == Outcome::Finished) {
            let numbers = json!({
                "step": trainer.step, "seed": settings.run.seed, "measured_on": measured_on,
                "images": quality.images, "psnr": quality.psnr, "ssim": quality.ssim,
            });
            write_json(&folder.evaluation(), &numbers)?;
        }
        Ok(Trained { outcome, quality, measured_on })
    }
}

fn trainer(settings: &VaeSettings, data: &DataSet, cursor: ImageCursor) -> Result<AutoencoderTrainer> {
    let setup = AutoencoderSetup {
        vae: settings.networks()?,
        codebook: settings.vae.codebook.clone(),
        loss: settings.loss.clone(),
        optimizer: settings.optimizer.clone(),
        train: settings.train.clone(),
        seed: settings.run.seed,
        device: crate::device::open(&settings.run.device)?,
    };
    let source = Arc::clone(&data.train);
    let stream = ImageStream::new(source, settings.data.horizontal_flip, settings.run.seed, cursor);
    Ok(AutoencoderTrainer::new(setup, stream)?)
}
