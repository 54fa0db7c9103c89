//! Files of named tensors: `safetensors`, and what PyTorch pickles (`.pth`, `.pt`, `.bin`).

use std::collections::{BTreeMap, HashMap};
use std::path::Path;

use half::{bf16, f16};
use pytorch_reader::{DType, PytorchReader};
use safetensors::tensor::{Dtype, SafeTensors, TensorView};
use thiserror::Error;

/// Why weights could not be read or written.
#[derive(Debug, Error)]
pub enum WeightsError {
    /// The file cannot be read or written.
    #[error("{path}: {source}")]
    Io {
        /// The file.
        path: String,
        /// What the system says.
        source: std::io::Error,
    },
    /// The file is of another format, or a torn one.
    #[error("{path}: expected a whole {kind} file, found: {reason}")]
    Format {
        /// The file.
        path: String,
        /// What it should be.
        kind: &'static str,
        /// What the reader says.
        reason: String,
    },
    /// The file is of another model.
    #[error("{path}: these are not the weights of this model{differences}")]
    Mismatch {
        /// The file.
        path: String,
        /// What differs, a line each.
        differences: String,
    },
}

/// A named tensor on the host, in the file's layout.
#[derive(Clone, Debug, PartialEq)]
pub struct HostTensor {
    /// Sizes.
    pub shape: Vec<usize>,
    /// Row by row.
    pub values: Vec<f32>,
}

/// Tensors by name.
pub type HostTensors = BTreeMap<String, HostTensor>;

/// Reads all tensors of a file as `f32`: `safetensors` by its extension, anything else as PyTorch writes it.
///
/// Half, bfloat and double precision are converted. Tensors of whole numbers are left out: they are counters and tables of
/// places, which older programs saved beside the weights.
///
/// # Errors
/// When the file cannot be read, is torn, or holds another kind of number.
pub fn read_tensors(path: &Path) -> Result<HostTensors, WeightsError> {
    match path.extension().is_some_and(|extension| extension == "safetensors") {
        true => read_safetensors(path),
        false => read_pytorch(path),
    }
}

fn read_safetensors(path: &Path) -> Result<HostTensors, WeightsError> {
    let name = || path.display().to_string();
    let bytes = std::fs::read(path).map_err(|source| WeightsError::Io { path: name(), source })?;
    let format = |reason: String| WeightsError::Format { path: name(), kind: "safetensors", reason };
    let file = SafeTensors::deserialize(&bytes).map_err(|error| format(error.to_string()))?;
    let mut tensors = HostTensors::new();
    for (tensor_name, view) in file.tensors() {
        let number = match view.dtype() {
            Dtype::F32 => Number::F32,
            Dtype::F16 => Number::F16,
            Dtype::BF16 => Number::Bf16,
            Dtype::F64 => Number::F64,
            Dtype::I64 | Dtype::I32 | Dtype::U8 | Dtype::BOOL => continue,
            other => return Err(format(format!("tensor {tensor_name} of type {other:?}, expected a float type"))),
        };
        tensors.insert(tensor_name, HostTensor { shape: view.shape().to_vec(), values: number.read(view.data()) });
    }
    Ok(tensors)
}

fn read_pytorch(path: &Path) -> Result<HostTensors, WeightsError> {
    let name = || path.display().to_string();
    // Asked first, because the reader does not tell a missing file from a torn one.
    std::fs::File::open(path).map_err(|source| WeightsError::Io { path: name(), source })?;
    let format = |reason: String| WeightsError::Format { path: name(), kind: "PyTorch checkpoint", reason };
    let file = PytorchReader::new(path).map_err(|error| format(error.to_string()))?;
    let mut tensors = HostTensors::new();
    for (tensor_name, tensor) in file.tensors() {
        let number = match tensor.dtype() {
            DType::F32 => Number::F32,
            DType::F16 => Number::F16,
            DType::BF16 => Number::Bf16,
            DType::F64 => Number::F64,
            _ => continue,
        };
        let bytes = tensor.read().map_err(|error| format(error.to_string()))?;
        let host = HostTensor { shape: tensor.shape().to_vec(), values: number.read(&bytes) };
        tensors.insert(tensor_name.clone(), host);
    }
    Ok(tensors)
}

/// How the numbers of a file are written, little end first.
#[derive(Clone, Copy)]
enum Number {
    F16,
    Bf16,
    F32,
    F64,
}

impl Number {
    fn read(self, bytes: &[u8]) -> Vec<f32> {
        match self {
            Self::F16 => bytes.chunks_exact(2).map(|b| f16::from_le_bytes([b[0], b[1]]).to_f32()).collect(),
            Self::Bf16 => bytes.chunks_exact(2).map(|b| bf16::from_le_bytes([b[0], b[1]]).to_f32()).collect(),
            Self::F32 => bytes.chunks_exact(4).map(|b| f32::from_le_bytes([b[0], b[1], b[2], b[3]])).collect(),
            Self::F64 => {
                let double = |b: &[u8]| f64::from_le_bytes([b[0], b[1], b[2], b[3], b[4], b[5], b[6], b[7]]);
                bytes.chunks_exact(8).map(|b| double(b) as f32).collect()
            }
        }
    }
}

/// Writes tensors and waits until they are on the disk.
///
/// # Errors
/// When the file cannot be written.
pub fn write_tensors(tensors: &HostTensors, path: &Path) -> Result<(), WeightsError> {
    let io = |source| WeightsError::Io { path: path.display().to_string(), source };
    let format = |error: safetensors::SafeTensorError| WeightsError::Format {
        path: path.display().to_string(),
        kind: "safetensors",
        reason: error.to_string(),
    };
    let bytes: Vec<(&String, &HostTensor, Vec<u8>)> = tensors
        .iter()
        .map(|(name, tensor)| (name, tensor, tensor.values.iter().flat_map(|x| x.to_le_bytes()).collect()))
        .collect();
    let mut views = Vec::with_capacity(bytes.len());
    for (name, tensor, bytes) in &bytes {
        let view = TensorView::new(Dtype::F32, tensor.shape.clone(), bytes).map_err(format)?;
        views.push((name.as_str(), view));
    }
    let metadata = HashMap::from([("format".to_string(), "pt".to_string())]);
    let file = safetensors::serialize(views, Some(metadata)).map_err(format)?;
    let mut out = std::fs::File::create(path).map_err(io)?;
    std::io::Write::write_all(&mut out, &file).map_err(io)?;
    out.sync_all().map_err(io)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn half_precision_is_read_and_whole_numbers_are_left_out() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("weights.safetensors");
        let values = [1.5f32, -0.25, 3.0];
        let half: Vec<u8> = values.iter().flat_map(|&x| f16::from_f32(x).to_le_bytes()).collect();
        let brain: Vec<u8> = values.iter().flat_map(|&x| bf16::from_f32(x).to_le_bytes()).collect();
        let double: Vec<u8> = values.iter().flat_map(|&x| f64::from(x).to_le_bytes()).collect();
        let count = 7i64.to_le_bytes();
        let views = [
            ("half", TensorView::new(Dtype::F16, vec![3], &half).unwrap()),
            ("brain", TensorView::new(Dtype::BF16, vec![3, 1], &brain).unwrap()),
            ("double", TensorView::new(Dtype::F64, vec![1, 3], &double).unwrap()),
            ("steps", TensorView::new(Dtype::I64, vec![], &count).unwrap()),
        ];
        std::fs::write(&path, safetensors::serialize(views, None).unwrap()).unwrap();
        let tensors = read_tensors(&path).unwrap();
        assert_eq!(tensors.keys().collect::<Vec<_>>(), ["brain", "double", "half"]);
        assert!(tensors.values().all(|tensor| tensor.values == values));
        assert_eq!(tensors["brain"].shape, [3, 1]);
    }

    #[test]
    fn what_is_no_file_of_tensors_is_refused_by_name() {
        let folder = tempfile::tempdir().unwrap();
        for name in ["weights.safetensors", "weights.pth", "pytorch_model.bin"] {
            let path = folder.path().join(name);
            assert!(matches!(read_tensors(&path), Err(WeightsError::Io { .. })), "{name} is missing");
            std::fs::write(&path, b"not weights").unwrap();
            let message = read_tensors(&path).unwrap_err().to_string();
            assert!(message.contains(name) && message.contains("expected a whole"), "{message}");
        }
    }
}
