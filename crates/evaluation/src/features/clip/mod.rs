//! CLIP (Radford et al., 2103.00020) from a Hugging Face folder: `config.json`, `model.safetensors` or
//! `pytorch_model.bin`, `tokenizer.json`.
//!
//! | what | where |
//! |---|---|
//! | settings | `config` |
//! | the transformer that both towers are | `encoder` |
//! | texts to ids | `texts` |
//! | images to pixels, as Pillow | `pixels` |

mod config;
mod encoder;
mod pixels;
mod texts;

use std::path::{Path, PathBuf};

use burn::tensor::{Device, Int, Tensor, TensorData};
use interfuse_kernels::{ConvSteps, conv2d};
use interfuse_parameters::read_tensors;
use ndarray::{Array2, Array3};

use self::config::ClipConfig;
use self::encoder::{Encoder, LayerNorm, Reach};
use self::pixels::Preparation;
use self::texts::Texts;
use super::convolution::{WeightsReader, transposed};
use super::weights_file::hash;
use super::{FeatureExtractor, WeightsOrigin, to_array};
use crate::error::EvaluationError;

/// Files that weights are looked for in.
const WEIGHTS: [&str; 2] = ["model.safetensors", "pytorch_model.bin"];
/// What a file has besides the towers: counters of older versions, and the temperature of training.
const NOT_NEEDED: [&str; 2] = ["position_ids", "logit_scale"];

/// Both towers with what comes before them.
pub struct Clip {
    name: String,
    text: TextTower,
    vision: VisionTower,
    texts: Texts,
    preparation: Preparation,
    origin: WeightsOrigin,
    device: Device,
}

struct TextTower {
    /// `[V, D]`
    tokens: Tensor<2>,
    /// `[77, D]`
    positions: Tensor<2>,
    encoder: Encoder,
    last_norm: LayerNorm,
    /// `[D, P]`
    projection: Tensor<2>,
}

struct VisionTower {
    /// `[D]`
    class: Tensor<1>,
    /// `[D, 3, p, p]`
    patches: Tensor<4>,
    patch_size: usize,
    /// `[1 + patches, D]`
    positions: Tensor<2>,
    first_norm: LayerNorm,
    encoder: Encoder,
    last_norm: LayerNorm,
    /// `[D, P]`
    projection: Tensor<2>,
}

impl Clip {
    /// Opens a folder.
    ///
    /// # Errors
    /// When a file is missing, torn, or of another network: the message lists the tensors.
    pub fn open(folder: &Path, device: &Device) -> Result<Self, EvaluationError> {
        let config = ClipConfig::read(folder)?;
        let preparation = Preparation::read(folder, config.vision.image_size)?;
        let texts = Texts::read(folder, &config.text)?;
        let path = weights_of(folder)?;
        let tensors = read_tensors(&path)
            .map_err(|error| EvaluationError::Weights { path: path.clone(), reason: error.to_string() })?;
        let mut reader = WeightsReader::new(tensors, device);
        reader.ignore(|name| NOT_NEEDED.iter().any(|end| name.ends_with(end)));
        let text = TextTower::read(&mut reader, &config);
        let vision = VisionTower::read(&mut reader, &config);
        reader.finish(&path)?;
        let name = folder.file_name().map_or_else(|| "clip".into(), |name| name.to_string_lossy().into_owned());
        // There are many checkpoints, each published by somebody; the hash tells them apart.
        let origin = WeightsOrigin { sha256: hash(&path)?, published: true };
        Ok(Self { name, text, vision, texts, preparation, origin, device: device.clone() })
    }

    /// Vectors of texts at unit length, `[count, projection]`. Texts longer than the tower are cut.
    ///
    /// # Errors
    /// When a text cannot be encoded, or the numbers cannot be read from the device.
    pub fn embed_texts(&self, texts: &[String]) -> Result<Array2<f32>, EvaluationError> {
        let (ids, ends) = self.texts.encode(texts)?;
        let (count, length) = ids.dim();
        let ids: Vec<i64> = ids.iter().map(|&id| i64::from(id)).collect();
        let ids = Tensor::<2, Int>::from_data(TensorData::new(ids, [count, length]), &self.device);
        to_array(at_unit_length(self.text.forward(ids, &ends)))
    }

    /// Vectors of images `[3, height, width]` at unit length, `[count, projection]`.
    ///
    /// # Errors
    /// When an image is empty, or the numbers cannot be read from the device.
    pub fn embed_images(&self, images: &[Array3<u8>]) -> Result<Array2<f32>, EvaluationError> {
        use rayon::prelude::*;
        let prepared: Vec<Array3<f32>> =
            images.par_iter().map(|image| self.preparation.apply(image)).collect::<Result<_, _>>()?;
        let side = self.preparation.side;
        let values: Vec<f32> = prepared.into_iter().flatten().collect();
        let pixels = Tensor::from_data(TensorData::new(values, [images.len(), 3, side, side]), &self.device);
        to_array(at_unit_length(self.vision.forward(pixels)))
    }

    /// SHA-256 of the weights.
    pub fn sha256(&self) -> &str {
        &self.origin.sha256
    }
}

impl FeatureExtractor for Clip {
    fn name(&self) -> String {
        self.name.clone()
    }

    fn dim(&self) -> usize {
        self.vision.projection.dims()[1]
    }

    fn weights(&self) -> &WeightsOrigin {
        &self.origin
    }

    fn resize(&self) -> String {
        "clip".into()
    }

    fn features(&self, images: &[Array3<u8>]) -> Result<Array2<f32>, EvaluationError> {
        self.embed_images(images)
    }
}

impl TextTower {
    fn read(reader: &mut WeightsReader<'_>, config: &ClipConfig) -> Self {
        let (text, at) = (&config.text, "text_model");
        let width = text.hidden_size;
        Self {
            tokens: reader.tensor(&format!("{at}.embeddings.token_embedding.weight"), [text.vocab_size, width]),
            positions: reader
                .tensor(&format!("{at}.embeddings.position_embedding.weight"), [text.max_position_embeddings, width]),
            encoder: Encoder::read(reader, &format!("{at}.encoder"), &text.encoder()),
            last_norm: LayerNorm::read(reader, &format!("{at}.final_layer_norm"), width, text.layer_norm_eps),
            projection: transposed(reader, "text_projection.weight", [config.projection_dim, width]),
        }
    }

    /// # Shapes
    /// - `ids`: `[B, S]`, `ends`: the place of each text's end; returns `[B, P]`
    fn forward(&self, ids: Tensor<2, Int>, ends: &[usize]) -> Tensor<2> {
        let [batch, length] = ids.dims();
        let [_, width] = self.tokens.dims();
        let tokens = self.tokens.clone().select(0, ids.reshape([batch * length])).reshape([batch, length, width]);
        let x = tokens + self.positions.clone().narrow(0, 0, length).unsqueeze::<3>();
        let x = self.last_norm.forward(self.encoder.forward(x, Reach::Back)).reshape([batch * length, width]);
        let places: Vec<i64> = ends.iter().enumerate().map(|(row, &end)| (row * length + end) as i64).collect();
        let places = Tensor::<1, Int>::from_data(TensorData::new(places, [batch]), &x.device());
        x.select(0, places).matmul(self.projection.clone())
    }
}

impl VisionTower {
    fn read(reader: &mut WeightsReader<'_>, config: &ClipConfig) -> Self {
        let (vision, at) = (&config.vision, "vision_model");
        let (width, patch) = (vision.hidden_size, vision.patch_size);
        let places = 1 + (vision.image_size / patch).pow(2);
        let norm =
            |reader: &mut WeightsReader<'_>, name: &str| LayerNorm::read(reader, name, width, vision.layer_norm_eps);
        Self {
            class: reader.tensor(&format!("{at}.embeddings.class_embedding"), [width]),
            patches: reader.tensor(&format!("{at}.embeddings.patch_embedding.weight"), [width, 3, patch, patch]),
            patch_size: patch,
            positions: reader.tensor(&format!("{at}.embeddings.position_embedding.weight"), [places, width]),
            // The misspelling is the files'.
            first_norm: norm(reader, &format!("{at}.pre_layrnorm")),
            encoder: Encoder::read(reader, &format!("{at}.encoder"), &vision.encoder()),
            last_norm: norm(reader, &format!("{at}.post_layernorm")),
            projection: transposed(reader, "visual_projection.weight", [config.projection_dim, width]),
        }
    }

    /// # Shapes
    /// - `pixels`: `[B, 3, side, side]`; returns `[B, P]`
    fn forward(&self, pixels: Tensor<4>) -> Tensor<2> {
        let patches = conv2d(pixels, self.patches.clone(), None, ConvSteps::new(self.patch_size, 0));
        let [batch, width, rows, columns] = patches.dims();
        let patches = patches.reshape([batch, width, rows * columns]).swap_dims(1, 2);
        let class = self.class.clone().reshape([1, 1, width]).expand([batch, 1, width]);
        let x = Tensor::cat(vec![class, patches], 1) + self.positions.clone().unsqueeze::<3>();
        let x = self.encoder.forward(self.first_norm.forward(x), Reach::All);
        let class = self.last_norm.forward(x.narrow(1, 0, 1)).reshape([batch, width]);
        class.matmul(self.projection.clone())
    }
}

fn weights_of(folder: &Path) -> Result<PathBuf, EvaluationError> {
    let found = WEIGHTS.iter().map(|name| folder.join(name)).find(|path| path.is_file());
    found.ok_or_else(|| EvaluationError::Weights {
        path: folder.to_path_buf(),
        reason: format!("expected {}, found neither", WEIGHTS.join(" or ")),
    })
}

fn at_unit_length(x: Tensor<2>) -> Tensor<2> {
    let length = x.clone().square().sum_dim(1).sqrt();
    x / length
}

#[cfg(test)]
#[path = "tests.rs"]
mod tests;
