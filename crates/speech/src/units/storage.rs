//! The file of a codec: one safetensors file, so that it is whole or absent and its hash covers all of it.
//!
//! ```text
//! __metadata__.interfuse_units    {"version": 1, "config": {"units": 100, "sample_rate": 16000, …}}
//! centroids                       [K, 39]
//! spectra                         [K, B]
//! durations                       [K]
//! ```

use std::collections::HashMap;
use std::path::Path;

use interfuse_parameters::durable::write_file;
use interfuse_parameters::{FileError, sha256};
use ndarray::Array2;
use safetensors::tensor::{Dtype, TensorView};
use safetensors::{SafeTensors, serialize};
use serde::{Deserialize, Serialize};

use super::codec::{Analysis, Inventory, UnitCodec, UnitConfig};
use crate::error::SpeechError;
use crate::features::FEATURES;
use crate::kmeans::Centroids;

/// What the file of a codec is called where there is no reason for another name.
pub const CODEC_FILE: &str = "units.safetensors";

/// The key of the settings among the metadata. There is no other, because several would lie in no certain order.
const METADATA: &str = "interfuse_units";
const VERSION: u32 = 1;

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Metadata {
    version: u32,
    config: UnitConfig,
}

impl UnitCodec {
    /// A codec of what was learned.
    ///
    /// # Errors
    /// When the parts are not of one number of units, or a number is not finite.
    pub(super) fn learned(analysis: Analysis, config: &UnitConfig, inventory: Inventory) -> Result<Self, SpeechError> {
        let bytes = bytes_of(config, &inventory)?;
        Ok(Self::of(analysis, inventory, sha256::of_bytes(&bytes)))
    }

    /// Writes the codec's file, which is whole or absent.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn save(&self, path: &Path) -> Result<(), SpeechError> {
        Ok(write_file(path, &bytes_of(self.config(), &self.inventory)?)?)
    }

    /// Opens a codec's file.
    ///
    /// # Errors
    /// When it cannot be read, is no codec's, or its tensors are missing, misshapen or not finite.
    pub fn open(path: &Path) -> Result<Self, SpeechError> {
        let bytes = std::fs::read(path).map_err(FileError::of("read", path))?;
        let name = path.display().to_string();
        let refused = |found: String| SpeechError::malformed(&name, "a file that `UnitCodec::save` wrote", found);
        let (_, header) = SafeTensors::read_metadata(&bytes).map_err(|error| refused(error.to_string()))?;
        let metadata = header.metadata().as_ref().and_then(|metadata| metadata.get(METADATA));
        let metadata = metadata.ok_or_else(|| refused(format!("no `{METADATA}` among its metadata")))?;
        let Metadata { version, config } =
            serde_json::from_str(metadata).map_err(|error| refused(error.to_string()))?;
        if version != VERSION {
            return Err(refused(format!("version {version}, where this program reads {VERSION}")));
        }
        let analysis = Analysis::new(&config)?;
        let tensors = SafeTensors::deserialize(&bytes).map_err(|error| refused(error.to_string()))?;
        let read = |key: &str, columns: usize| matrix(&tensors, key, [config.units, columns]).map_err(refused);
        let inventory = Inventory {
            centroids: Centroids::new(read("centroids", FEATURES)?),
            spectra: read("spectra", analysis.stft.bins())?,
            durations: read("durations", 1)?.into_raw_vec_and_offset().0,
        };
        Ok(Self::of(analysis, inventory, sha256::of_bytes(&bytes)))
    }
}

fn bytes_of(config: &UnitConfig, inventory: &Inventory) -> Result<Vec<u8>, SpeechError> {
    let Inventory { centroids, spectra, durations } = inventory;
    let refused = |reason: String| SpeechError::malformed("unit codec", "tensors that can be written", reason);
    let metadata = serde_json::to_string(&Metadata { version: VERSION, config: config.clone() })
        .map_err(|error| refused(error.to_string()))?;
    let tensors = [
        ("centroids", vec![config.units, FEATURES], bytes(centroids.vectors().iter())),
        ("spectra", spectra.shape().to_vec(), bytes(spectra.iter())),
        ("durations", vec![config.units], bytes(durations.iter())),
    ];
    let views = tensors.iter().map(|(name, shape, bytes)| {
        Ok((*name, TensorView::new(Dtype::F32, shape.clone(), bytes).map_err(|error| refused(error.to_string()))?))
    });
    let views = views.collect::<Result<Vec<_>, SpeechError>>()?;
    serialize(views, Some(HashMap::from([(METADATA.to_string(), metadata)])))
        .map_err(|error| refused(error.to_string()))
}

fn bytes<'a>(values: impl Iterator<Item = &'a f32>) -> Vec<u8> {
    values.flat_map(|value| value.to_le_bytes()).collect()
}

/// One tensor of finite f32 of `[rows, columns]`, or of `[rows]` where there is one column; else what is wrong with it.
fn matrix(tensors: &SafeTensors<'_>, key: &str, [rows, columns]: [usize; 2]) -> Result<Array2<f32>, String> {
    let tensor = tensors.tensor(key).map_err(|error| error.to_string())?;
    let shape = if columns == 1 { vec![rows] } else { vec![rows, columns] };
    if tensor.dtype() != Dtype::F32 || tensor.shape() != shape {
        return Err(format!("`{key}` of {:?} {:?} instead of F32 {shape:?}", tensor.dtype(), tensor.shape()));
    }
    let values: Vec<f32> = tensor.data().as_chunks::<4>().0.iter().map(|bytes| f32::from_le_bytes(*bytes)).collect();
    if values.iter().any(|value| !value.is_finite()) {
        return Err(format!("numbers in `{key}` that are NaN or infinite"));
    }
    Array2::from_shape_vec((rows, columns), values).map_err(|error| error.to_string())
}
