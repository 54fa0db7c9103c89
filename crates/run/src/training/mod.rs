//! A hybrid model's run: begun or gone on with, trained, and measured.

mod follower;
mod phenomena;
mod previews;
mod recorder;
mod unique;

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use interfuse_checkpoint::folder::TOKENIZER;
use interfuse_checkpoint::{ModelCard, Pretrained, read_card};
use interfuse_data::LoaderCursor;
use interfuse_parameters::sha256::hexadecimal;
use interfuse_trainer::{Outcome, Ranks, TrainError, Trainer, checkpoint};
use sha2::{Digest, Sha256};

pub use self::follower::Follower;
pub(crate) use self::previews::preview_prompts;
use self::recorder::Recorder;
use crate::configuration;
use crate::error::{Context as _, Result, RunError, sentence};
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

/// A run before it has a place to write to.
struct Begun {
    plan: Plan,
    trainer: Trainer,
    data: DataFingerprint,
}

impl Begun {
    /// What all ranks must have the same of.
    fn agreed(self, ranks: &Ranks) -> Result<Self> {
        if ranks.size() == 1 {
            return Ok(self);
        }
        let settings = toml::to_string(&self.plan.settings).context("cannot express the configuration as TOML")?;
        ranks.agree("configuration", settings.as_bytes()).map_err(TrainError::from)?;
        let data = serde_json::to_vec(&self.data).context("cannot express a fingerprint as JSON")?;
        ranks.agree("training data", &data).map_err(TrainError::from)?;
        let mut weights = Sha256::new();
        for tensor in checkpoint::fingerprint(&self.trainer).values() {
            tensor.values.iter().for_each(|value| weights.update(value.to_le_bytes()));
        }
        let weights = format!("step {}, weights {}", self.trainer.step, hexadecimal(weights));
        ranks.agree("checkpoint", weights.as_bytes()).map_err(TrainError::from)?;
        Ok(self)
    }
}

/// What a new run begins with, the same on every rank.
fn begin(settings: Settings, ranks: &Ranks) -> Result<Begun> {
    let mut plan = Plan::new(settings)?;
    plan.measure_latents(None)?;
    let trainer = plan.trainer(LoaderCursor::default())?.among(ranks.clone())?;
    let data = DataFingerprint::of(&plan.data);
    Begun { plan, trainer, data }.agreed(ranks)
}

/// What a run goes on with, the same on every rank.
fn resume(settings: Settings, latest: &Path, ranks: &Ranks) -> Result<Begun> {
    let mut plan = Plan::with_tokenizer(settings, load_tokenizer(&latest.join(TOKENIZER))?)?;
    let resumed = checkpoint::open(latest, &plan.card, plan.settings.run.seed)?;
    plan.measure_latents(read_card(latest)?.latent_range)?;
    let data = DataFingerprint::of(&plan.data);
    let mut trainer = plan.trainer(resumed.state.cursor.clone())?.among(ranks.clone())?;
    resumed.restore(&mut trainer)?;
    Begun { plan, trainer, data }.agreed(ranks)
}

impl Run {
    /// Makes the folder of a new run.
    ///
    /// # Errors
    /// When the settings do not fit together or the data is not there; when the folder already holds a run or is in use.
    pub fn begin(settings: Settings) -> Result<Self> {
        Self::begin_among(settings, &Ranks::alone())
    }

    /// As [`Self::begin`], on rank 0 of several; the others are [`Follower`]s.
    ///
    /// # Errors
    /// As [`Self::begin`]; when another rank has other settings or data.
    pub fn begin_among(settings: Settings, ranks: &Ranks) -> Result<Self> {
        let Begun { plan, trainer, data } = begin(settings, ranks)?;
        // Better found now than at the first preview, with a run folder half made.
        preview_prompts(&plan)?;
        let folder = RunFolder::begin(&plan.settings.run.dir)?;
        configuration::save(&plan.settings, &folder.config())?;
        data.save(&folder.data())?;
        Ok(Self { plan, folder, trainer, resumed: None })
    }

    /// Goes on from the latest checkpoint in the run's folder.
    ///
    /// # Errors
    /// When there is none, it is of another model or seed, or the folder is in use.
    pub fn resume(settings: Settings) -> Result<Self> {
        Self::resume_among(settings, &Ranks::alone())
    }

    /// As [`Self::resume`], on rank 0 of several; the others are [`Follower`]s.
    ///
    /// # Errors
    /// As [`Self::resume`]; when another rank has other settings or data, or sees another checkpoint.
    pub fn resume_among(settings: Settings, ranks: &Ranks) -> Result<Self> {
        let (folder, latest) = RunFolder::resume(&settings.run.dir)?;
        let Begun { plan, trainer, data } = resume(settings, &latest, ranks)?;
        // More steps or other data may be just what is wanted; nobody should get them unawares.
        let mut changes = vec![];
        if let Ok(before) = configuration::load::<Settings>(&folder.config(), &[]) {
            changes.extend(configuration::changes(&before, &plan.settings)?);
        }
        changes
            .extend(DataFingerprint::load(&folder.data()).into_iter().flat_map(|before| data.changes_since(&before)));
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
        units: plan.data.speech().find_map(|(_, set)| set.codec.clone()),
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
