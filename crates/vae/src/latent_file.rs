//! The latents of one image as a `safetensors` file:
//!
//! ```text
//! mean, logvar     [latent_channels, h, w], f32, as the encoder gives them, unscaled
//! ids              [h, w], i64, of an autoencoder with codes
//! ```

use std::path::Path;

use interfuse_parameters::{HostTensor, HostTensors, read_tensors, write_tensors};
use ndarray::{Array2, Array3};
use safetensors::tensor::{Dtype, SafeTensors, TensorView};

use crate::codec::LatentPosterior;
use crate::error::VaeError;

/// What such a file holds.
#[derive(Clone, Debug, PartialEq)]
pub enum LatentFile {
    /// Continuous latents.
    Posterior(LatentPosterior),
    /// Ids of codes.
    Codes(Array2<u32>),
}

const MEAN: &str = "mean";
const LOG_VARIANCE: &str = "logvar";
const IDS: &str = "ids";

impl LatentFile {
    /// Writes the file.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn write(&self, path: &Path) -> Result<(), VaeError> {
        match self {
            Self::Posterior(LatentPosterior { mean, log_variance }) => {
                let host =
                    |x: &Array3<f32>| HostTensor { shape: x.shape().to_vec(), values: x.iter().copied().collect() };
                let mut tensors = HostTensors::from([(MEAN.to_string(), host(mean))]);
                tensors.extend(log_variance.as_ref().map(|x| (LOG_VARIANCE.to_string(), host(x))));
                Ok(write_tensors(&tensors, path)?)
            }
            Self::Codes(ids) => {
                let fail = |error: String| VaeError::file(path, "a file that can be written", error);
                let bytes: Vec<u8> = ids.iter().flat_map(|&id| i64::from(id).to_le_bytes()).collect();
                let view = TensorView::new(Dtype::I64, ids.shape().to_vec(), &bytes);
                let view = view.map_err(|error| fail(error.to_string()))?;
                let file = safetensors::serialize([(IDS, view)], None).map_err(|error| fail(error.to_string()))?;
                std::fs::write(path, file).map_err(|error| fail(error.to_string()))
            }
        }
    }

    /// Reads a file of either kind.
    ///
    /// # Errors
    /// When it cannot be read, is torn, or holds neither.
    pub fn read(path: &Path) -> Result<Self, VaeError> {
        if let Some(ids) = read_ids(path)? {
            return Ok(Self::Codes(ids));
        }
        let mut tensors = read_tensors(path)?;
        let names: Vec<String> = tensors.keys().cloned().collect();
        let mut take = |name: &str| -> Result<Option<Array3<f32>>, VaeError> {
            let Some(HostTensor { shape, values }) = tensors.remove(name) else { return Ok(None) };
            let wrong = || VaeError::file(path, format!("{name} of shape [channels, h, w]"), format!("{shape:?}"));
            let &[channels, height, width] = shape.as_slice() else { return Err(wrong()) };
            Array3::from_shape_vec((channels, height, width), values).map(Some).map_err(|_| wrong())
        };
        let (mean, log_variance) = (take(MEAN)?, take(LOG_VARIANCE)?);
        let expected = format!("a tensor {MEAN}, and {LOG_VARIANCE} if there is one, or {IDS}");
        match mean {
            Some(mean) => Ok(Self::Posterior(LatentPosterior { mean, log_variance })),
            None => Err(VaeError::file(path, expected, format!("tensors {names:?}"))),
        }
    }
}

/// The ids of a file that holds any.
fn read_ids(path: &Path) -> Result<Option<Array2<u32>>, VaeError> {
    let bytes = std::fs::read(path).map_err(|error| VaeError::file(path, "a file that can be read", error))?;
    let file = SafeTensors::deserialize(&bytes).map_err(|error| VaeError::file(path, "a safetensors file", error))?;
    let Ok(view) = file.tensor(IDS) else { return Ok(None) };
    let wrong = |found: String| VaeError::file(path, format!("{IDS} of shape [h, w], i64, from 0"), found);
    let (&[height, width], Dtype::I64) = (view.shape(), view.dtype()) else {
        return Err(wrong(format!("{:?} of shape {:?}", view.dtype(), view.shape())));
    };
    let numbers =
        view.data().chunks_exact(8).map(|b| i64::from_le_bytes([b[0], b[1], b[2], b[3], b[4], b[5], b[6], b[7]]));
    let ids: Result<Vec<u32>, i64> = numbers.map(|id| u32::try_from(id).map_err(|_| id)).collect();
    let ids = ids.map_err(|id| wrong(format!("id {id}")))?;
    Array2::from_shape_vec((height, width), ids).map(Some).map_err(|error| wrong(error.to_string()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_read_again_and_anything_else_is_refused_by_name() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.safetensors");
        let mean = Array3::from_shape_fn((4, 2, 3), |(c, y, x)| (c * 6 + y * 3 + x) as f32);
        let posterior =
            LatentFile::Posterior(LatentPosterior { log_variance: Some(mean.mapv(|x| -x)), mean: mean.clone() });
        let codes = LatentFile::Codes(Array2::from_shape_fn((2, 3), |(y, x)| (y * 3 + x) as u32));
        for file in [posterior, codes] {
            file.write(&path).unwrap();
            assert_eq!(LatentFile::read(&path).unwrap(), file);
        }
        let bytes = std::fs::read(&path).unwrap();
        std::fs::write(&path, &bytes[..bytes.len() - 1]).unwrap();
        let message = LatentFile::read(&path).unwrap_err().to_string();
        assert!(message.contains("a.safetensors"), "{message}");
        let foreign = HostTensors::from([("weight".into(), HostTensor { shape: vec![1], values: vec![0.0] })]);
        write_tensors(&foreign, &path).unwrap();
        let message = LatentFile::read(&path).unwrap_err().to_string();
        assert!(message.contains("expected a tensor mean") && message.contains("weight"), "{message}");
    }
}
