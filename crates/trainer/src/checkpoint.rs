//! Checkpoints: everything that sampling needs, and apart from it everything that a resume needs.
//!
//! ```text
//! step-000500/
//!   config.json  tokenizer.json  model.safetensors  ema.safetensors          (see `interfuse_sampling::pretrained`)
//!   training_state/optimizer.safetensors  training_state/state.json
//! ```
//!
//! A checkpoint is written beside its place under another name, put on the disk file by file, and renamed when it is whole:
//! whatever happens, what has the right name is complete.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::Write;
use std::path::{Path, PathBuf};

use burn::tensor::{Device, Tensor, TensorData};
use interfuse_data::LoaderCursor;
use interfuse_sampling::ModelCard;
use interfuse_transfusion::parameters::parameters;
use interfuse_transfusion::weights::{HostTensor, HostTensors, export_weights, read_tensors, write_tensors};
use interfuse_transfusion::{Transfusion, load_weights, save_weights};
use serde::{Deserialize, Serialize};

use crate::adamw::Moments;
use crate::ema::Ema;
use crate::error::TrainError;
use crate::trainer::Trainer;

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
    let aside = aside_of(folder);
    remove(&aside)?;
    let written = write_all(trainer, card, tokenizer, &aside).and_then(|()| {
        remove(folder)?;
        std::fs::rename(&aside, folder).map_err(io("rename", &aside))?;
        sync_folder(folder.parent().unwrap_or(Path::new(".")))
    });
    if written.is_err() {
        // What is half written helps nobody, and on a full disk its room is needed; the first error is the one to report.
        let _ = std::fs::remove_dir_all(&aside);
    }
    written
}

/// `step-000500` → `step-000500.partial`, which nobody takes for a checkpoint.
fn aside_of(folder: &Path) -> PathBuf {
    let mut name = folder.as_os_str().to_owned();
    name.push(".partial");
    PathBuf::from(name)
}

fn write_all(trainer: &Trainer, card: &ModelCard, tokenizer: &[u8], folder: &Path) -> Result<(), TrainError> {
    let state_folder = folder.join("training_state");
    std::fs::create_dir_all(&state_folder).map_err(io("create", &state_folder))?;
    save_weights(&trainer.model, &folder.join("model.safetensors"))?;
    save_weights(&trainer.ema_model(), &folder.join("ema.safetensors"))?;
    write_json(&folder.join("config.json"), card)?;
    write_synced(&folder.join("tokenizer.json"), tokenizer)?;
    write_tensors(&moments_to_host(trainer), &state_folder.join("optimizer.safetensors"))?;
    let state = StateFile {
        step: trainer.step,
        seed: trainer.setup.seed,
        cursor: trainer.loader.cursor().clone(),
        skipped: trainer.skipped,
        skipped_in_a_row: trainer.skipped_in_a_row,
        weight_steps: trainer.optimizer.moments.iter().map(|(name, m)| (name.clone(), m.steps)).collect(),
    };
    write_json(&state_folder.join("state.json"), &state)?;
    sync_folder(&state_folder)?;
    sync_folder(folder)
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
    let found = interfuse_sampling::pretrained::read_card(folder)?;
    let foreign = |file: &str, expected: String, found: String| TrainError::Foreign {
        path: folder.join(file).display().to_string(),
        expected,
        found,
    };
    if found.model != card.model || found.codec != card.codec || found.picture_shape != card.picture_shape {
        let expected = "the model of this configuration; a resume cannot change it";
        return Err(foreign("config.json", expected.into(), "another model".into()));
    }
    let path = folder.join("training_state/state.json");
    let text = std::fs::read_to_string(&path).map_err(io("read", &path))?;
    let state: StateFile = serde_json::from_str(&text)
        .map_err(|error| foreign("training_state/state.json", "a training state".into(), error.to_string()))?;
    if state.seed != seed {
        return Err(foreign("training_state/state.json", format!("seed {seed}"), format!("seed {}", state.seed)));
    }
    Ok(Resumed { state, folder: folder.to_path_buf() })
}

impl Resumed {
    /// Puts weights, averages and the optimiser's memory into a trainer whose loader already stands at the state's cursor.
    ///
    /// # Errors
    /// When a file is missing, torn or of another model.
    pub fn restore(self, trainer: &mut Trainer) -> Result<(), TrainError> {
        let device = trainer.setup.device.clone();
        trainer.model = load_weights(trainer.model.clone(), &self.folder.join("model.safetensors"))?;
        trainer.ema = self.read_ema(trainer.plain_model())?;
        trainer.optimizer.moments = self.read_moments(&trainer.model, &device)?;
        trainer.step = self.state.step;
        trainer.skipped = self.state.skipped;
        trainer.skipped_in_a_row = self.state.skipped_in_a_row;
        Ok(())
    }

    fn read_ema(&self, plain: Transfusion) -> Result<Ema, TrainError> {
        Ok(Ema::new(&load_weights(plain, &self.folder.join("ema.safetensors"))?))
    }

    fn read_moments(&self, model: &Transfusion, device: &Device) -> Result<BTreeMap<String, Moments>, TrainError> {
        let path = self.folder.join("training_state/optimizer.safetensors");
        let foreign =
            |expected: String, found: String| TrainError::Foreign { path: path.display().to_string(), expected, found };
        let sizes: BTreeMap<String, usize> =
            parameters(model).into_iter().map(|info| (info.name.clone(), info.count())).collect();
        let mut tensors = read_tensors(&path)?;
        let mut moments = BTreeMap::new();
        for (name, &steps) in &self.state.weight_steps {
            let size = sizes.get(name).copied().unwrap_or_default();
            let mut take = |kind: &str| -> Result<Tensor<1>, TrainError> {
                let name = format!("{name}.{kind}");
                match tensors.remove(&name) {
                    Some(tensor) if tensor.shape == [size] => {
                        Ok(Tensor::from_data(TensorData::new(tensor.values, tensor.shape), device))
                    }
                    other => {
                        let found = other.map_or("none".into(), |tensor| format!("shape {:?}", tensor.shape));
                        Err(foreign(format!("tensor {name} of shape [{size}]"), found))
                    }
                }
            };
            let (first, second) = (take("exp_avg")?, take("exp_avg_sq")?);
            moments.insert(name.clone(), Moments { first, second, steps });
        }
        match tensors.keys().next() {
            Some(spare) => {
                Err(foreign("moments of the weights in state.json alone".into(), format!("{spare} as well")))
            }
            None => Ok(moments),
        }
    }
}

fn moments_to_host(trainer: &Trainer) -> HostTensors {
    let host = |tensor: &Tensor<1>| HostTensor {
        shape: tensor.dims().to_vec(),
        values: tensor.to_data().convert::<f32>().try_to_vec::<f32>().unwrap_or_default(),
    };
    let moments = trainer.optimizer.moments.iter();
    moments
        .flat_map(|(name, m)| {
            [(format!("{name}.exp_avg"), host(&m.first)), (format!("{name}.exp_avg_sq"), host(&m.second))]
        })
        .collect()
}

/// Weights of a trainer as plain numbers: what two runs are compared by.
pub fn fingerprint(trainer: &Trainer) -> HostTensors {
    export_weights(&trainer.model)
}

fn write_json(path: &Path, value: &impl Serialize) -> Result<(), TrainError> {
    let text = serde_json::to_vec_pretty(value).map_err(|error| TrainError::Foreign {
        path: path.display().to_string(),
        expected: "numbers that JSON can hold".into(),
        found: error.to_string(),
    })?;
    write_synced(path, &text)
}

fn write_synced(path: &Path, bytes: &[u8]) -> Result<(), TrainError> {
    let mut file = File::create(path).map_err(io("create", path))?;
    file.write_all(bytes).map_err(io("write", path))?;
    file.sync_all().map_err(io("write", path))
}

fn sync_folder(folder: &Path) -> Result<(), TrainError> {
    // Only Unix lets a folder be opened and synced; elsewhere the rename is as safe as the system makes it.
    if cfg!(unix) {
        File::open(folder).and_then(|folder| folder.sync_all()).map_err(io("sync", folder))?;
    }
    Ok(())
}

fn remove(folder: &Path) -> Result<(), TrainError> {
    match std::fs::remove_dir_all(folder) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => Err(io("remove", folder)(error)),
        _ => Ok(()),
    }
}

fn io(action: &'static str, path: &Path) -> impl FnOnce(std::io::Error) -> TrainError {
    let path = path.display().to_string();
    move |source| TrainError::Io { action, path, source }
}
