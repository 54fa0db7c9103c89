//! Checkpoints of an autoencoder: a folder that diffusers reads, and apart from it everything that a resume needs.
//!
//! ```text
//! step-000500/
//!   vae/config.json  vae/diffusion_pytorch_model.safetensors                 (see `interfuse_vae::folder`)
//!   model.safetensors
//!   training_state/optimizer.safetensors  training_state/state.json
//!   training_state/discriminator.safetensors  training_state/discriminator_optimizer.safetensors
//! ```
//!
//! `vae` holds the moving average, `model.safetensors` the weights as they are.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use interfuse_checkpoint::folder::write_json;
use interfuse_data::ImageCursor;
use interfuse_parameters::durable::{create_folder, write_folder};
use interfuse_parameters::{Checksums, FileError, load_weights, save_weights, write_checksums};
use interfuse_vae::{Vae, VaeConfig, folder};
use serde::{Deserialize, Serialize};

use super::latent_scale;
use super::learner::AutoencoderTrainer;
use crate::error::TrainError;
use crate::optimization::ema::Ema;
use crate::optimization::optimizer::Optimizer;
use crate::optimization::skipped_steps::SkippedSteps;

/// The autoencoder in a checkpoint, and in a run folder.
pub const VAE: &str = "vae";
const MODEL: &str = "model.safetensors";
const OPTIMIZER: &str = "training_state/optimizer.safetensors";
const DISCRIMINATOR: &str = "training_state/discriminator.safetensors";
const DISCRIMINATOR_OPTIMIZER: &str = "training_state/discriminator_optimizer.safetensors";
const STATE: &str = "training_state/state.json";

/// `training_state/state.json`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AutoencoderState {
    /// Steps taken.
    pub step: u64,
    /// Seed of the run.
    pub seed: u64,
    /// Where the data stands.
    pub cursor: ImageCursor,
    /// Steps skipped so far.
    pub skipped: u64,
    /// Of these, the latest in a row.
    pub skipped_in_a_row: u64,
    /// For each weight, in how many steps it took part.
    pub weight_steps: BTreeMap<String, u64>,
    /// The same of the discriminator.
    pub discriminator_weight_steps: BTreeMap<String, u64>,
    /// How often each code was used lately.
    pub code_counts: Vec<f64>,
}

/// Writes a checkpoint to `folder`, which must not exist yet, or is replaced when it does.
///
/// # Errors
/// When something cannot be written, or the latents cannot be measured; `folder` is then as it was.
pub fn save(trainer: &AutoencoderTrainer, folder: &Path) -> Result<(), TrainError> {
    let config = measured_config(trainer)?;
    write_folder(folder, |temporary| write_all(trainer, &config, temporary))
}

/// Writes the moving average alone, as `interfuse train` and diffusers read it.
///
/// # Errors
/// As [`save`].
pub fn export(trainer: &AutoencoderTrainer, folder: &Path) -> Result<(), TrainError> {
    let config = measured_config(trainer)?;
    write_folder(folder, |temporary| {
        folder::write(temporary, &config, &trainer.ema_model())?;
        Ok(write_checksums(temporary)?)
    })
}

/// The settings with the scale of the latents as it is now.
fn measured_config(trainer: &AutoencoderTrainer) -> Result<VaeConfig, TrainError> {
    let mut config = trainer.setup.vae.clone();
    if let (VaeConfig::AutoencoderKL(config), Vae::Kl(vae)) = (&mut config, trainer.ema_model()) {
        config.scale = latent_scale::measure(&vae, trainer.source(), &trainer.setup.device)?;
    }
    Ok(config)
}

fn write_all(trainer: &AutoencoderTrainer, config: &VaeConfig, temporary: &Path) -> Result<(), TrainError> {
    let (vae, state_folder) = (temporary.join(VAE), temporary.join("training_state"));
    create_folder(&vae)?;
    create_folder(&state_folder)?;
    folder::write(&vae, config, &trainer.ema_model())?;
    save_weights(&trainer.vae, &temporary.join(MODEL))?;
    trainer.optimizer.save(&temporary.join(OPTIMIZER))?;
    if let Some(discriminator) = &trainer.discriminator {
        save_weights(&discriminator.model, &temporary.join(DISCRIMINATOR))?;
        discriminator.optimizer.save(&temporary.join(DISCRIMINATOR_OPTIMIZER))?;
    }
    let state = AutoencoderState {
        step: trainer.step,
        seed: trainer.setup.seed,
        cursor: trainer.cursor(),
        skipped: trainer.skipped.total,
        skipped_in_a_row: trainer.skipped.in_a_row,
        weight_steps: trainer.optimizer.steps(),
        discriminator_weight_steps: trainer
            .discriminator
            .as_ref()
            .map(|discriminator| discriminator.optimizer.steps())
            .unwrap_or_default(),
        code_counts: trainer.codes.as_ref().map(|codes| codes.counts().to_vec()).unwrap_or_default(),
    };
    write_json(&temporary.join(STATE), &state)?;
    Ok(write_checksums(temporary)?)
}

/// What a resume starts from.
pub struct Resumed {
    /// The state.
    pub state: AutoencoderState,
    folder: PathBuf,
}

/// Reads the state of a checkpoint of the autoencoder that `config` describes.
///
/// # Errors
/// When it is missing or malformed, or of another autoencoder or seed.
pub fn open(checkpoint: &Path, config: &VaeConfig, seed: u64) -> Result<Resumed, TrainError> {
    let foreign = |file: &Path, expected: String, found: String| TrainError::Foreign {
        path: file.display().to_string(),
        expected,
        found,
    };
    let vae = checkpoint.join(VAE);
    if !is_same(&folder::read_config(&vae)?, config) {
        let expected = "the autoencoder of this configuration; a resume cannot change it";
        return Err(foreign(&vae.join(folder::CONFIG), expected.into(), "another one".into()));
    }
    let path = checkpoint.join(STATE);
    let text = std::fs::read_to_string(&path).map_err(FileError::of("read", &path))?;
    let state: AutoencoderState =
        serde_json::from_str(&text).map_err(|error| foreign(&path, "a training state".into(), error.to_string()))?;
    if state.seed != seed {
        return Err(foreign(&path, format!("seed {seed}"), format!("seed {}", state.seed)));
    }
    Ok(Resumed { state, folder: checkpoint.to_path_buf() })
}

/// Whether two configurations are of the same networks, whatever their latents' scale.
fn is_same(a: &VaeConfig, b: &VaeConfig) -> bool {
    match (a, b) {
        (VaeConfig::AutoencoderKL(a), VaeConfig::AutoencoderKL(b)) => {
            a.network == b.network
                && (a.use_quant_conv, a.use_post_quant_conv) == (b.use_quant_conv, b.use_post_quant_conv)
        }
        (a, b) => a == b,
    }
}

impl Resumed {
    /// Puts weights, averages and the optimizers' memories into a trainer whose images already stand at the state's cursor.
    ///
    /// # Errors
    /// When a file is missing, torn or of another model.
    pub fn restore(self, trainer: &mut AutoencoderTrainer) -> Result<(), TrainError> {
        let Self { state, folder: checkpoint } = self;
        let device = trainer.setup.device.clone();
        let at = |file: &str| checkpoint.join(file);
        trainer.vae = load_weights(trainer.vae.clone(), &at(MODEL))?;
        let average = folder::open(&at(VAE), &device)?.vae;
        trainer.ema = Ema::new(&average);
        trainer.optimizer =
            Optimizer::load(&trainer.vae, &at(OPTIMIZER), &state.weight_steps, &trainer.setup.optimizer, |_| true)?;
        if let Some(discriminator) = &mut trainer.discriminator
            && at(DISCRIMINATOR).is_file()
        {
            discriminator.model = load_weights(discriminator.model.clone(), &at(DISCRIMINATOR))?;
            let steps = &state.discriminator_weight_steps;
            discriminator.optimizer = Optimizer::load(
                &discriminator.model,
                &at(DISCRIMINATOR_OPTIMIZER),
                steps,
                &trainer.setup.optimizer,
                |_| true,
            )?;
        }
        if let Some(codes) = &mut trainer.codes {
            codes.restore(state.code_counts);
        }
        trainer.step = state.step;
        trainer.skipped = SkippedSteps { total: state.skipped, in_a_row: state.skipped_in_a_row };
        let vae = [folder::CONFIG, folder::WEIGHTS].map(|file| format!("{VAE}/{file}"));
        let files = [MODEL, OPTIMIZER, DISCRIMINATOR, DISCRIMINATOR_OPTIMIZER, STATE];
        Checksums::of(&checkpoint)?.check_all(files.into_iter().chain(vae.iter().map(String::as_str)))?;
        Ok(())
    }
}
