//! The folder that an autoencoder is kept in, in the layout of diffusers:
//!
//! ```text
//! config.json                              _class_name, block_out_channels, latent_channels, scaling_factor, …
//! diffusion_pytorch_model.safetensors      the weights
//! SHA256SUMS                               their hashes, where a training wrote them
//! ```
//!
//! Weights are also found as `diffusion_pytorch_model.bin` and as `ae.safetensors`, under the older names of [`names`], and in
//! checkpoints that hold more than an autoencoder.
//!
//! [`names`]: crate::names

use std::path::{Path, PathBuf};

use burn::module::Module;
use burn::tensor::{Device, Tensor};
use interfuse_kernels::{Conv2d, WeightInit};
use interfuse_parameters::{Checksums, check_finite, import_weights, read_tensors, save_weights, sha256};

use crate::autoencoder::AutoencoderKl;
use crate::config::VaeConfig;
use crate::error::VaeError;
use crate::names::modern_names;
use crate::vq_model::VqModel;

/// Where weights are written.
pub const WEIGHTS: &str = "diffusion_pytorch_model.safetensors";
/// Where weights are looked for, in this order.
const KNOWN_WEIGHTS: [&str; 3] = [WEIGHTS, "diffusion_pytorch_model.bin", "ae.safetensors"];
/// The settings.
pub const CONFIG: &str = "config.json";

/// Either kind of autoencoder.
#[derive(Module, Debug)]
pub enum Vae {
    /// Continuous latents.
    Kl(AutoencoderKl),
    /// Codes.
    Vq(VqModel),
}

impl Vae {
    /// Fresh weights of a valid configuration.
    pub fn new(config: &VaeConfig, init: &mut WeightInit) -> Self {
        match config {
            VaeConfig::AutoencoderKL(config) => Self::Kl(AutoencoderKl::new(config, init)),
            VaeConfig::VQModel(config) => Self::Vq(VqModel::new(config, init)),
        }
    }

    /// The images as they come back, without a random draw: through the mean of the posterior, or through codes.
    ///
    /// # Shapes
    /// - `pixels`: `[B, in_channels, H, W]`; returns `[B, out_channels, H, W]`
    pub fn reconstruct(&self, pixels: Tensor<4>) -> Tensor<4> {
        match self {
            Self::Kl(vae) => vae.decode(vae.encode(pixels).mean),
            Self::Vq(vae) => vae.decode(vae.quantize.ids(vae.vectors(pixels))),
        }
    }

    /// The decoder's last convolution.
    pub fn last_layer(&self) -> &Conv2d {
        match self {
            Self::Kl(vae) => vae.last_layer(),
            Self::Vq(vae) => vae.last_layer(),
        }
    }
}

/// An autoencoder with what its folder says of it.
#[derive(Clone, Debug)]
pub struct OpenedVae {
    /// The settings.
    pub config: VaeConfig,
    /// The networks.
    pub vae: Vae,
    /// SHA-256 of the weights' file, in hexadecimal.
    pub hash: String,
}

/// Opens a folder.
///
/// # Errors
/// When a file is missing, torn, changed since its hash was written, or of another network: the message lists the tensors that are missing, unexpected or misshapen;
/// or when a weight is not finite: the message names its tensor.
pub fn open(folder: &Path, device: &Device) -> Result<OpenedVae, VaeError> {
    let config = read_config(folder)?;
    let path = weights_of(folder)?;
    let vae = load(&config, &path, device)?;
    // Last, because what a reader has to say of its own file is more exact.
    let sums = Checksums::of(folder)?;
    sums.check_all([CONFIG, &path.file_name().unwrap_or_default().to_string_lossy()])?;
    Ok(OpenedVae { config, vae, hash: hash_file(&path)? })
}

/// Reads the weights of one file into networks of a configuration.
///
/// # Errors
/// As [`open`].
pub fn load(config: &VaeConfig, path: &Path, device: &Device) -> Result<Vae, VaeError> {
    let tensors = modern_names(read_tensors(path)?, config.network().block_out_channels.len());
    check_finite(&tensors, path)?;
    Ok(import_weights(Vae::new(config, &mut WeightInit::new(0, device)), tensors, path)?)
}

/// What a folder is expected to hold, for who has none yet.
const EXPECTED: &str =
    "the config.json of an autoencoder, such as `interfuse vae train` or `interfuse vae import` leaves";

/// Reads and checks `config.json`.
///
/// # Errors
/// When it is missing, no JSON, or of another kind of network.
pub fn read_config(folder: &Path) -> Result<VaeConfig, VaeError> {
    let path = folder.join(CONFIG);
    let text = std::fs::read_to_string(&path).map_err(|error| VaeError::file(&path, EXPECTED, error))?;
    let value: serde_json::Value =
        serde_json::from_str(&text).map_err(|error| VaeError::file(&path, "valid JSON", error))?;
    let class = value.get("_class_name").and_then(|class| class.as_str()).unwrap_or("nothing");
    if class != "AutoencoderKL" && class != "VQModel" {
        let expected = "\"_class_name\": \"AutoencoderKL\" or \"VQModel\"";
        return Err(VaeError::file(&path, expected, format!("{class:?}")));
    }
    refuse_other_parts(&path, &value)?;
    let config: VaeConfig =
        serde_json::from_value(value).map_err(|error| VaeError::file(&path, "settings of an autoencoder", error))?;
    config.validate().map_err(|error| VaeError::file(&path, "settings that fit together", error))?;
    Ok(config)
}

/// Parts that diffusers has for other networks and that these networks do not have.
fn refuse_other_parts(path: &Path, value: &serde_json::Value) -> Result<(), VaeError> {
    let only = |key: &str, known: &str| match value.get(key) {
        Some(serde_json::Value::String(found)) if found != known => {
            Err((key.to_string(), known.to_string(), found.clone()))
        }
        Some(serde_json::Value::Array(parts)) => match parts.iter().find(|part| part.as_str() != Some(known)) {
            Some(part) => Err((key.to_string(), known.to_string(), part.to_string())),
            None => Ok(()),
        },
        _ => Ok(()),
    };
    for (key, known) in
        [("act_fn", "silu"), ("down_block_types", "DownEncoderBlock2D"), ("up_block_types", "UpDecoderBlock2D")]
    {
        only(key, known).map_err(|(key, known, found)| VaeError::file(path, format!("{key}: {known}"), found))?;
    }
    Ok(())
}

/// The file of weights in a folder.
///
/// # Errors
/// When there is none.
pub fn weights_of(folder: &Path) -> Result<PathBuf, VaeError> {
    let found = KNOWN_WEIGHTS.iter().map(|name| folder.join(name)).find(|path| path.is_file());
    found.ok_or_else(|| VaeError::file(folder, format!("one of {}", KNOWN_WEIGHTS.join(", ")), "none of them"))
}

/// Writes weights and settings into a folder that exists.
///
/// # Errors
/// When a file cannot be written.
pub fn write(folder: &Path, config: &VaeConfig, weights: &impl Module) -> Result<(), VaeError> {
    save_weights(weights, &folder.join(WEIGHTS))?;
    write_config(folder, config)
}

/// Writes `config.json` with every key that diffusers knows.
///
/// # Errors
/// When it cannot be written.
pub fn write_config(folder: &Path, config: &VaeConfig) -> Result<(), VaeError> {
    let path = folder.join(CONFIG);
    let fail = |error: String| VaeError::file(&path, "a file that can be written", error);
    let mut value = serde_json::to_value(config).map_err(|error| fail(error.to_string()))?;
    let levels = config.network().block_out_channels.len();
    if let Some(keys) = value.as_object_mut() {
        keys.insert("act_fn".into(), "silu".into());
        keys.insert("down_block_types".into(), vec!["DownEncoderBlock2D"; levels].into());
        keys.insert("up_block_types".into(), vec!["UpDecoderBlock2D"; levels].into());
        // A program that does not know a key should not have to guess what an absent one means.
        keys.retain(|_, value| !value.is_null());
    }
    let text = serde_json::to_vec_pretty(&value).map_err(|error| fail(error.to_string()))?;
    std::fs::write(&path, text).map_err(|error| fail(error.to_string()))
}

/// Copies an autoencoder's settings and weights into a folder that exists.
///
/// # Errors
/// When a file cannot be read or written.
pub fn copy(from: &Path, to: &Path) -> Result<(), VaeError> {
    for file in [from.join(CONFIG), weights_of(from)?] {
        let copied = to.join(file.file_name().unwrap_or_default());
        std::fs::copy(&file, &copied)
            .map_err(|error| VaeError::file(&copied, format!("a copy of {}", file.display()), error))?;
    }
    Ok(())
}

/// SHA-256 of a file, in hexadecimal.
///
/// # Errors
/// When it cannot be read.
pub fn hash_file(path: &Path) -> Result<String, VaeError> {
    sha256::of_file(path).map_err(|error| VaeError::file(path, "a file that can be read", error))
}
