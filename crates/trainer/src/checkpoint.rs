//! Checkpoints: everything that sampling needs, and apart from it everything that a resume needs.
//!
//! ```text
//! step-000500/
//!   config.json  tokenizer.json  model.safetensors  ema.safetensors          (see `interfuse_checkpoint`)
//!   vae/                                      a copy of the autoencoder, where `codec.bundle` asks for it
//!   training_state/optimizer.safetensors  training_state/state.json
//!   SHA256SUMS                                the hashes of all of them
//! ```

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use interfuse_checkpoint::card::{CARD, ModelCard, read_card};
use interfuse_checkpoint::folder::{self, AVERAGE, WEIGHTS, write_json};
use interfuse_data::LoaderCursor;
use interfuse_parameters::durable::{create_folder, write_folder};
use interfuse_parameters::{FileError, HostTensors, export_weights, load_weights, write_checksums};
use interfuse_transfusion::Transfusion;
use serde::{Deserialize, Serialize};

use crate::error::TrainError;
use crate::optimization::ema::Ema;
use crate::optimization::optimizer::Optimizer;
use crate::optimization::skipped_steps::SkippedSteps;
use crate::trainer::Trainer;

/// Where the optimizer's memory lies in a checkpoint.
const OPTIMIZER: &str = "training_state/optimizer.safetensors";
/// Where everything else lies that a resume needs.
const STATE: &str = "training_state/state.json";

/// `training_state/state.json`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct StateFile {
    /// Steps taken.
    pub step: u64,
    /// Seed of the run.
    pub seed: u64,
    /// Where the data stands.
    pub cursor: LoaderCursor,
    /// Steps skipped so far.
    pub skipped: u64,
    /// Of these, the latest in a row.
    pub skipped_in_a_row: u64,
    /// For each weight, in how many steps it took part.
    pub weight_steps: BTreeMap<String, u64>,
}

/// Writes a checkpoint to `folder`, which must not exist yet, or is replaced when it does.
///
/// # Errors
/// When something cannot be written; `folder` is then as it was.
pub fn save(trainer: &Trainer, card: &ModelCard, tokenizer: &[u8], folder: &Path) -> Result<(), TrainError> {
    write_folder(folder, |temporary| write_all(trainer, card, tokenizer, temporary))
}

fn write_all(trainer: &Trainer, card: &ModelCard, tokenizer: &[u8], folder: &Path) -> Result<(), TrainError> {
    let average = trainer.ema_model();
    folder::write(folder, &folder::Contents { card, model: &trainer.plain_model(), average: &average, tokenizer })?;
    create_folder(&folder.join("training_state"))?;
    trainer.optimizer.save(&folder.join(OPTIMIZER))?;
    let state = StateFile {
        step: trainer.step,
        seed: trainer.setup.seed,
        cursor: trainer.loader.cursor().clone(),
        skipped: trainer.skipped.total,
        skipped_in_a_row: trainer.skipped.in_a_row,
        weight_steps: trainer.optimizer.steps(),
    };
    write_json(&folder.join(STATE), &state)?;
    Ok(write_checksums(folder)?)
}

/// What a resume starts from: the state and the weights of a checkpoint.
pub struct Resumed {
    /// The state.
    pub state: StateFile,
    folder: PathBuf,
}

/// Reads the state of a checkpoint.
///
/// # Errors
/// When it is missing or malformed, or its model is not `card`'s.
pub fn open(folder: &Path, card: &ModelCard, seed: u64) -> Result<Resumed, TrainError> {
    let found = read_card(folder)?;
    let foreign = |file: &str, expected: String, found: String| TrainError::Foreign {
        path: folder.join(file).display().to_string(),
        expected,
        found,
    };
    if let Some(first) = card.differences(&found).first() {
        let expected = format!("{} = {}, as this configuration has it", first.key, first.ours);
        return Err(foreign(CARD, expected, format!("{}; a resume cannot change the model", first.theirs)));
    }
    let path = folder.join(STATE);
    let text = std::fs::read_to_string(&path).map_err(FileError::of("read", &path))?;
    let state: StateFile =
        serde_json::from_str(&text).map_err(|error| foreign(STATE, "a training state".into(), error.to_string()))?;
    if state.seed != seed {
        return Err(foreign(STATE, format!("seed {seed}"), format!("seed {}", state.seed)));
    }
    Ok(Resumed { state, folder: folder.to_path_buf() })
}

impl Resumed {
    /// Puts weights, averages and the optimizer's memory into a trainer whose loader already stands at the state's cursor.
    ///
    /// # Errors
    /// When a file is missing, torn or of another model.
    pub fn restore(self, trainer: &mut Trainer) -> Result<(), TrainError> {
        trainer.model = load_weights(trainer.model.clone(), &self.folder.join(WEIGHTS))?;
        trainer.ema = self.read_ema(trainer.plain_model())?;
        trainer.optimizer = Optimizer::load(
            &trainer.model,
            &self.folder.join(OPTIMIZER),
            &self.state.weight_steps,
            &trainer.setup.optimizer,
            |name| trainer.sharding.as_ref().is_none_or(|sharding| sharding.is_own(name)),
        )?;
        trainer.step = self.state.step;
        trainer.skipped = SkippedSteps { total: self.state.skipped, in_a_row: self.state.skipped_in_a_row };
        folder::check(&self.folder, &[WEIGHTS, AVERAGE, OPTIMIZER, STATE])?;
        Ok(())
    }

    fn read_ema(&self, plain: Transfusion) -> Result<Ema, TrainError> {
        Ok(Ema::new(&load_weights(plain, &self.folder.join(AVERAGE))?))
    }
}

/// Weights of a trainer as plain numbers: what two runs are compared by.
pub fn fingerprint(trainer: &Trainer) -> HostTensors {
    export_weights(&trainer.model)
}
