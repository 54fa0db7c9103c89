//! A hybrid model's run: begun or gone on with, trained, and measured.

mod previews;
mod recorder;

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use interfuse_checkpoint::folder::TOKENIZER;
use interfuse_checkpoint::{ModelCard, Pretrained, read_card};
use interfuse_data::LoaderCursor;
use interfuse_trainer::{Outcome, TrainError, Trainer, checkpoint};

use self::previews::preview_prompts;
use self::recorder::Recorder;
use crate::configuration;
use crate::error::{Result, RunError, sentence};
use crate::fingerprint::DataFingerprint;
use crate::measuring::{Report, measure_in_training};
use crate::observer::RunObserver;
use crate::plan::{Plan, load_tokenizer};
use crate::run_folder::RunFolder;
use crate::settings::Settings;

/// A run that is being trained. Its folder is locked until this is dropped.
pub struct Run {
    /// What follows from the settings and the data.
    pub plan: Plan,
    /// Where its files lie.
    pub folder: RunFolder,
    /// The model, and everything that survives a resume.
    pub trainer: Trainer,
    /// Where it goes on from, if it does.
    pub resumed: Option<Resumed>,
}

/// Where a run goes on from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Resumed {
    /// The checkpoint.
    pub checkpoint: PathBuf,
    /// What is other than when the run was started, a sentence each: settings, and the data itself.
    pub changes: Vec<String>,
}

impl Run {
    /// Makes the folder of a new run.
    ///
    /// # Errors
    /// When the settings do not fit together or the data is not there; when the folder already holds a run or is in use.
    pub fn begin(settings: Settings) -> Result<Self> {
        let mut plan = Plan::new(settings)?;
        plan.measure_latents(None)?;
        let trainer = plan.trainer(LoaderCursor::default())?;
        // Better found now than at the first preview, with a run folder half made.
        preview_prompts(&plan)?;
        let folder = RunFolder::begin(&plan.settings.run.dir)?;
        configuration::save(&plan.settings, &folder.config())?;
        DataFingerprint::of(plan.data.train.as_ref()).save(&folder.data())?;
        Ok(Self { plan, folder, trainer, resumed: None })
    }

    /// Goes on from the latest checkpoint in the run's folder.
    ///
    /// # Errors
    /// When there is none, it is of another model or seed, or the folder is in use.
    pub fn resume(settings: Settings) -> Result<Self> {
        let (folder, latest) = RunFolder::resume(&settings.run.dir)?;
        let mut plan = Plan::with_tokenizer(settings, load_tokenizer(&latest.join(TOKENIZER))?)?;
        let resumed = checkpoint::open(&latest, &plan.card, plan.settings.run.seed)?;
        plan.measure_latents(read_card(&latest)?.latent_range)?;
        let data = DataFingerprint::of(plan.data.train.as_ref());
        // More steps or other data may be just what is wanted; nobody should get them unawares.
        let mut changes = vec![];
        if let Ok(before) = configuration::load::<Settings>(&folder.config(), &[]) {
            changes.extend(configuration::changes(&before, &plan.settings)?);
        }
        changes
            .extend(DataFingerprint::load(&folder.data()).into_iter().flat_map(|before| data.changes_since(&before)));
        let mut trainer = plan.trainer(resumed.state.cursor.clone())?;
        resumed.restore(&mut trainer)?;
        configuration::save(&plan.settings, &folder.config())?;
        data.save(&folder.data())?;
        Ok(Self { plan, folder, trainer, resumed: Some(Resumed { checkpoint: latest, changes }) })
    }

    /// Trains until the last step, or until `stop` is set, and leaves a checkpoint.
    ///
    /// # Errors
    /// When a step fails or a file cannot be written; says which checkpoint is left.
    pub fn train(&mut self, observer: &mut dyn RunObserver, stop: &AtomicBool) -> Result<Outcome> {
        let Self { plan, folder, trainer, .. } = self;
        let mut recorder = Recorder::new(plan, folder, trainer.step, observer)?;
        let outcome = interfuse_trainer::run(trainer, &plan.settings.intervals, &mut recorder, stop);
        outcome.map_err(|error| with_last_checkpoint(error, folder))
    }

    /// Whether the settings ask for an evaluation at the end that training has not made already.
    pub fn wants_evaluation(&self) -> bool {
        // Where evaluations are due in between, the last step had one.
        self.plan.settings.run.evaluate && self.plan.settings.intervals.evaluation == 0
    }

    /// Measures the moving average as it is now, and leaves the report in the run folder.
    ///
    /// # Errors
    /// When sampling fails, or a file cannot be written.
    pub fn evaluate(&self, observer: &mut dyn RunObserver) -> Result<Report> {
        measure_in_training(&self.plan, &pretrained(&self.plan, &self.trainer), &self.folder, observer)
    }
}

/// The moving average of a run in progress, as sampling wants it.
pub fn pretrained(plan: &Plan, trainer: &Trainer) -> Pretrained {
    Pretrained {
        card: ModelCard { step: trainer.step, ..plan.card.clone() },
        model: trainer.ema_model(),
        tokenizer: plan.tokenizer.clone(),
        codec: Arc::clone(&plan.codec),
        device: trainer.setup.device.clone(),
    }
}

/// Says which checkpoint is left after an error.
pub(crate) fn with_last_checkpoint(error: TrainError, folder: &RunFolder) -> RunError {
    let good = match folder.latest_checkpoint() {
        Ok(Some(path)) => format!("the last good checkpoint is {}", path.display()),
        _ => "there is no checkpoint yet".to_string(),
    };
    RunError::Within { context: format!("training ended early; {good}"), source: error.into() }
}

/// An error of whoever listens to the trainer.
pub(crate) fn observer_error(error: RunError) -> TrainError {
    TrainError::Observer(sentence(&error))
}
