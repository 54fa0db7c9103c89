//! Files of named tensors: `safetensors`, and what PyTorch pickles (`.pth`, `.pt`, `.bin`).

use std::collections::{BTreeMap, HashMap};
use std::fs::File;
use std::io::{Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use half::{bf16, f16};
use pytorch_reader::{DType, PytorchReader};
use safetensors::tensor::{Dtype, Metadata, SafeTensors, TensorView};
use serde::{Deserialize, Serialize};
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
    /// The file is not what was written.
    #[error(
        "{path} has changed since it was written: expected SHA-256 {expected}, as SHA256SUMS has it, found {found}; \
         to use it all the same, remove SHA256SUMS"
    )]
    Changed {
        /// The file.
        path: String,
        /// Its hash when it was written.
        expected: String,
        /// Its hash.
        found: String,
    },
    /// Weights that are no numbers.
    #[error("{path}: expected finite numbers, found NaN or infinity in {tensors}")]
    NonFinite {
        /// The file.
        path: String,
        /// The tensors at fault.
        tensors: String,
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
    let format = |reason: String| torn(path, reason);
    let file = SafeTensors::deserialize(&bytes).map_err(|error| format(error.to_string()))?;
    let mut tensors = HostTensors::new();
    for (tensor_name, view) in file.tensors() {
        let number = match (Number::of(view.dtype()), view.dtype()) {
            (Some(number), _) => number,
            (None, Dtype::I64 | Dtype::I32 | Dtype::U8 | Dtype::BOOL) => continue,
            (None, other) => {
                return Err(format(format!("tensor {tensor_name} of type {other:?}, expected a float type")));
            }
        };
        tensors.insert(tensor_name, HostTensor { shape: view.shape().to_vec(), values: number.read(view.data()) });
    }
    Ok(tensors)
}

fn read_pytorch(path: &Path) -> Result<HostTensors, WeightsError> {
    let name = || path.display().to_string();
    // Asked first, because the reader does not tell a missing file from a torn one.
    File::open(path).map_err(|source| WeightsError::Io { path: name(), source })?;
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

/// How numbers are written to a file.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Precision {
    /// 32 bits, as they are computed.
    #[default]
    F32,
    /// The upper 16 bits, rounded: 8 bits of a number instead of 24.
    Bf16,
}

impl Precision {
    fn dtype(self) -> Dtype {
        match self {
            Self::F32 => Dtype::F32,
            Self::Bf16 => Dtype::BF16,
        }
    }

    fn write(self, values: &[f32]) -> Vec<u8> {
        match self {
            Self::F32 => values.iter().flat_map(|x| x.to_le_bytes()).collect(),
            Self::Bf16 => values.iter().flat_map(|&x| bf16::from_f32(x).to_le_bytes()).collect(),
        }
    }
}

/// A `safetensors` file of which single rows are read, while the rest stays on the disk.
#[derive(Debug)]
pub struct TensorFile {
    path: PathBuf,
    file: Mutex<File>,
    tensors: BTreeMap<String, (Number, Vec<usize>, u64)>,
}

impl TensorFile {
    /// Reads the header and checks that the file is as long as it says.
    ///
    /// # Errors
    /// When the file cannot be read or is torn.
    pub fn open(path: &Path) -> Result<Self, WeightsError> {
        let io = |source| WeightsError::Io { path: path.display().to_string(), source };
        let format = |reason: String| torn(path, reason);
        let mut file = File::open(path).map_err(io)?;
        let length = file.metadata().map_err(io)?.len();
        let mut size = [0; 8];
        file.read_exact(&mut size).map_err(|_| format("no header".into()))?;
        let header = u64::from_le_bytes(size);
        if header > length.saturating_sub(8) {
            return Err(format("a header that is longer than the file".into()));
        }
        let mut bytes = Vec::new();
        file.by_ref().take(header).read_to_end(&mut bytes).map_err(io)?;
        let metadata: Metadata = serde_json::from_slice(&bytes).map_err(|error| format(error.to_string()))?;
        let begin = 8 + header;
        let expected = begin + metadata.data_len() as u64;
        if length != expected {
            return Err(format(format!("{length} bytes where the header speaks of {expected}")));
        }
        let mut tensors = BTreeMap::new();
        for (name, info) in metadata.tensors() {
            let number = Number::of(info.dtype).ok_or_else(|| format(format!("{name} of type {:?}", info.dtype)))?;
            tensors.insert(name, (number, info.shape.clone(), begin + info.data_offsets.0 as u64));
        }
        Ok(Self { path: path.to_path_buf(), file: Mutex::new(file), tensors })
    }

    /// Sizes of a tensor, if it is there.
    pub fn shape(&self, name: &str) -> Option<&[usize]> {
        self.tensors.get(name).map(|(_, shape, _)| shape.as_slice())
    }

    /// Element `index` along the first axis of a tensor.
    ///
    /// # Errors
    /// When there is no such tensor or element, or the file cannot be read.
    pub fn row(&self, name: &str, index: usize) -> Result<HostTensor, WeightsError> {
        let absent = || torn(&self.path, format!("no element {index} of a tensor {name}"));
        let (number, shape, begin) = self.tensors.get(name).ok_or_else(absent)?;
        let (&rows, shape) = shape.split_first().ok_or_else(absent)?;
        if index >= rows {
            return Err(absent());
        }
        let mut bytes = vec![0; shape.iter().product::<usize>() * number.bytes()];
        let place = begin + (index * bytes.len()) as u64;
        let io = |source| WeightsError::Io { path: self.path.display().to_string(), source };
        let mut file = self.file.lock().unwrap_or_else(PoisonError::into_inner);
        file.seek(SeekFrom::Start(place)).and_then(|_| file.read_exact(&mut bytes)).map_err(io)?;
        Ok(HostTensor { shape: shape.to_vec(), values: number.read(&bytes) })
    }
}

fn torn(path: &Path, reason: String) -> WeightsError {
    WeightsError::Format { path: path.display().to_string(), kind: "safetensors", reason }
}

/// How the numbers of a file are written, little end first.
#[derive(Clone, Copy, Debug)]
enum Number {
    F16,
    Bf16,
    F32,
    F64,
}

impl Number {
    /// `None` for what is no floating-point number.
    fn of(dtype: Dtype) -> Option<Self> {
        Some(match dtype {
            Dtype::F16 => Self::F16,
            Dtype::BF16 => Self::Bf16,
            Dtype::F32 => Self::F32,
            Dtype::F64 => Self::F64,
            _ => return None,
        })
    }

    fn bytes(self) -> usize {
        match self {
            Self::F16 | Self::Bf16 => 2,
            Self::F32 => 4,
            Self::F64 => 8,
        }
    }

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

/// Writes tensors in full precision and waits until they are on the disk.
///
/// # Errors
/// When the file cannot be written.
pub fn write_tensors(tensors: &HostTensors, path: &Path) -> Result<(), WeightsError> {
    write_tensors_as(tensors, Precision::F32, path)
}

/// As [`write_tensors`], in a precision of choice.
///
/// # Errors
/// When the file cannot be written.
pub fn write_tensors_as(tensors: &HostTensors, precision: Precision, path: &Path) -> Result<(), WeightsError> {
    let io = |source| WeightsError::Io { path: path.display().to_string(), source };
    let format = |error: safetensors::SafeTensorError| torn(path, error.to_string());
    let bytes: Vec<(&String, &HostTensor, Vec<u8>)> =
        tensors.iter().map(|(name, tensor)| (name, tensor, precision.write(&tensor.values))).collect();
    let mut views = Vec::with_capacity(bytes.len());
    for (name, tensor, bytes) in &bytes {
        let view = TensorView::new(precision.dtype(), tensor.shape.clone(), bytes).map_err(format)?;
        views.push((name.as_str(), view));
    }
    let metadata = HashMap::from([("format".to_string(), "pt".to_string())]);
    let file = safetensors::serialize(views, Some(metadata)).map_err(format)?;
    let mut out = File::create(path).map_err(io)?;
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
    fn single_rows_are_read_and_a_torn_file_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("rows.safetensors");
        let values: Vec<f32> = (0..12).map(|x| x as f32 * 0.5).collect();
        let tensors = HostTensors::from([("mean".into(), HostTensor { shape: vec![3, 2, 2], values })]);
        for precision in [Precision::F32, Precision::Bf16] {
            write_tensors_as(&tensors, precision, &path).unwrap();
            let file = TensorFile::open(&path).unwrap();
            assert_eq!(file.shape("mean"), Some([3, 2, 2].as_slice()));
            let row = file.row("mean", 2).unwrap();
            assert_eq!((row.shape, row.values), (vec![2, 2], vec![4.0, 4.5, 5.0, 5.5]));
            assert!(file.row("mean", 3).is_err() && file.row("logvar", 0).is_err());
        }
        let bytes = std::fs::read(&path).unwrap();
        for length in [0, 4, 20, bytes.len() - 1] {
            std::fs::write(&path, &bytes[..length]).unwrap();
            assert!(TensorFile::open(&path).is_err(), "{length} of {} bytes", bytes.len());
        }
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
