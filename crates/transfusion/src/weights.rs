//! Weights in a `safetensors` file, in PyTorch's layout: the matrix of a linear map is `[d_out, d_in]`.
//!
//! A load is all or nothing: a missing, spare or misshapen tensor is an error that lists them.

use std::collections::BTreeMap;
use std::path::Path;

use burn::module::{Param, ParamId};
use burn::tensor::{Tensor, TensorData};
use safetensors::tensor::{Dtype, SafeTensors, TensorView};
use thiserror::Error;

use crate::model::Transfusion;
use crate::parameters::{ParameterInfo, ParameterMapper, ParameterVisitor, map_parameters, visit_parameters};

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
    /// The file is no safetensors file, or a torn one.
    #[error("{path}: expected a whole safetensors file, found: {reason}")]
    Format {
        /// The file.
        path: String,
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

/// Writes all weights.
///
/// # Errors
/// When the file cannot be written.
pub fn save_weights(model: &Transfusion, path: &Path) -> Result<(), WeightsError> {
    write_tensors(&export_weights(model), path)
}

/// Reads all weights into a model of the same configuration.
///
/// # Errors
/// When the file cannot be read or is not of this model.
pub fn load_weights(model: Transfusion, path: &Path) -> Result<Transfusion, WeightsError> {
    import_weights(model, read_tensors(path)?, path)
}

/// All weights on the host, in the file's layout.
pub fn export_weights(model: &Transfusion) -> HostTensors {
    struct Export(HostTensors);
    impl ParameterVisitor for Export {
        fn visit<const R: usize>(&mut self, info: &ParameterInfo, param: &Param<Tensor<R>>) {
            self.0.insert(info.name.clone(), to_host(info, param.val()));
        }
    }
    let mut export = Export(HostTensors::new());
    visit_parameters(model, &mut export);
    export.0
}

/// A tensor of a weight's shape, in the file's layout.
pub fn to_host<const R: usize>(info: &ParameterInfo, tensor: Tensor<R>) -> HostTensor {
    let tensor = if info.is_linear { tensor.swap_dims(0, 1) } else { tensor };
    let shape = tensor.dims().to_vec();
    HostTensor { shape, values: tensor.into_data().convert::<f32>().try_to_vec::<f32>().unwrap_or_default() }
}

/// The inverse of [`to_host`]; the shape must fit.
pub fn from_host<const R: usize>(info: &ParameterInfo, host: HostTensor, device: &burn::tensor::Device) -> Tensor<R> {
    // Transposed here rather than on the device: a transposed view goes another way through a matrix product than the same
    // matrix in its own order, the sums differ in the last bit, and a resume would not be bitwise.
    let host = if info.is_linear { transposed(host) } else { host };
    Tensor::from_data(TensorData::new(host.values, host.shape), device)
}

/// A matrix with rows and columns exchanged.
fn transposed(host: HostTensor) -> HostTensor {
    let &[rows, columns] = host.shape.as_slice() else { return host };
    let of_column = |column: usize| host.values.iter().skip(column).step_by(columns).copied();
    HostTensor { shape: vec![columns, rows], values: (0..columns).flat_map(of_column).collect() }
}

/// The sizes of a weight in the file's layout.
pub fn file_shape(info: &ParameterInfo) -> Vec<usize> {
    match info.shape.as_slice() {
        [d_in, d_out] if info.is_linear => vec![*d_out, *d_in],
        shape => shape.to_vec(),
    }
}

/// Puts tensors into the model's weights.
///
/// # Errors
/// When names or shapes differ; `path` is for the message.
pub fn import_weights(model: Transfusion, tensors: HostTensors, path: &Path) -> Result<Transfusion, WeightsError> {
    check_names(&crate::parameters::parameters(&model), &tensors, path)?;
    struct Import(HostTensors);
    impl ParameterMapper for Import {
        fn map<const R: usize>(&mut self, info: &ParameterInfo, param: Param<Tensor<R>>) -> Param<Tensor<R>> {
            match self.0.remove(&info.name) {
                Some(host) => replaced(param, |old| from_host(info, host, &old.device())),
                None => param,
            }
        }
    }
    Ok(map_parameters(model, &mut Import(tensors)))
}

/// A parameter of the same identity with another value, which is a leaf of the gradient tape as before.
pub fn replaced<const R: usize>(
    param: Param<Tensor<R>>,
    value: impl FnOnce(Tensor<R>) -> Tensor<R>,
) -> Param<Tensor<R>> {
    let tracked = param.is_require_grad();
    let id: ParamId = param.id;
    let value = value(param.into_value());
    Param::initialized(id, value.detach().set_require_grad(tracked))
}

/// Checks that the tensors are exactly those that are expected.
///
/// # Errors
/// Lists what is missing, spare or misshapen; `path` is for the message.
pub fn check_names(expected: &[ParameterInfo], found: &HostTensors, path: &Path) -> Result<(), WeightsError> {
    let mut lines = Vec::new();
    for info in expected {
        let shape = file_shape(info);
        match found.get(&info.name) {
            None => lines.push(format!("missing {} {shape:?}", info.name)),
            Some(tensor) if tensor.shape != shape => {
                lines.push(format!("{}: expected {shape:?}, found {:?}", info.name, tensor.shape));
            }
            Some(_) => {}
        }
    }
    let names: std::collections::BTreeSet<&str> = expected.iter().map(|info| info.name.as_str()).collect();
    lines.extend(found.keys().filter(|name| !names.contains(name.as_str())).map(|name| format!("spare {name}")));
    if lines.is_empty() {
        return Ok(());
    }
    const SHOWN: usize = 8;
    let more = lines.len().saturating_sub(SHOWN);
    lines.truncate(SHOWN);
    if more > 0 {
        lines.push(format!("and {more} more"));
    }
    let differences = lines.iter().map(|line| format!("\n  {line}")).collect();
    Err(WeightsError::Mismatch { path: path.display().to_string(), differences })
}

/// Reads all tensors of a file as `f32`.
///
/// # Errors
/// When the file cannot be read, or holds another type of number.
pub fn read_tensors(path: &Path) -> Result<HostTensors, WeightsError> {
    let name = || path.display().to_string();
    let bytes = std::fs::read(path).map_err(|source| WeightsError::Io { path: name(), source })?;
    let format = |reason: String| WeightsError::Format { path: name(), reason };
    let file = SafeTensors::deserialize(&bytes).map_err(|error| format(error.to_string()))?;
    let mut tensors = HostTensors::new();
    for (tensor_name, view) in file.tensors() {
        if view.dtype() != Dtype::F32 {
            return Err(format(format!("tensor {tensor_name} of type {:?}, expected F32", view.dtype())));
        }
        let values = view.data().chunks_exact(4).map(|b| f32::from_le_bytes([b[0], b[1], b[2], b[3]])).collect();
        tensors.insert(tensor_name, HostTensor { shape: view.shape().to_vec(), values });
    }
    Ok(tensors)
}

/// Writes tensors and waits until they are on the disk.
///
/// # Errors
/// When the file cannot be written.
pub fn write_tensors(tensors: &HostTensors, path: &Path) -> Result<(), WeightsError> {
    let io = |source| WeightsError::Io { path: path.display().to_string(), source };
    let bytes: Vec<(&String, &HostTensor, Vec<u8>)> = tensors
        .iter()
        .map(|(name, tensor)| (name, tensor, tensor.values.iter().flat_map(|x| x.to_le_bytes()).collect()))
        .collect();
    let mut views = Vec::with_capacity(bytes.len());
    for (name, tensor, bytes) in &bytes {
        let view = TensorView::new(Dtype::F32, tensor.shape.clone(), bytes)
            .map_err(|error| WeightsError::Format { path: path.display().to_string(), reason: error.to_string() })?;
        views.push((name.as_str(), view));
    }
    let metadata = std::collections::HashMap::from([("format".to_string(), "pt".to_string())]);
    let file = safetensors::serialize(views, Some(metadata))
        .map_err(|error| WeightsError::Format { path: path.display().to_string(), reason: error.to_string() })?;
    let mut out = std::fs::File::create(path).map_err(io)?;
    std::io::Write::write_all(&mut out, &file).map_err(io)?;
    out.sync_all().map_err(io)
}
