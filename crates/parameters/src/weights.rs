//! The weights of a model as tensors by name, and back. A matrix of a linear map is `[d_out, d_in]`, as in PyTorch, and those
//! of several maps of one size lie one after the other, `[groups, d_out, d_in]`.
//!
//! A load is all or nothing: a missing, unexpected or misshapen tensor is an error that lists them.

use std::path::Path;

use burn::module::{Module, Param, ParamId};
use burn::tensor::{Tensor, TensorData};

use crate::files::{HostTensor, HostTensors, WeightsError, read_tensors, write_tensors};
use crate::visit::{ParameterInfo, ParameterMapper, ParameterVisitor, map_parameters, parameters, visit_parameters};

/// Writes all weights.
///
/// # Errors
/// When the file cannot be written.
pub fn save_weights(model: &impl Module, path: &Path) -> Result<(), WeightsError> {
    write_tensors(&export_weights(model), path)
}

/// Reads all weights into a model of the same configuration.
///
/// # Errors
/// When the file cannot be read, is not of this model, or holds NaN or infinity.
pub fn load_weights<M: Module>(model: M, path: &Path) -> Result<M, WeightsError> {
    let tensors = read_tensors(path)?;
    check_finite(&tensors, path)?;
    import_weights(model, tensors, path)
}

/// All weights on the host, in the file's layout.
pub fn export_weights(model: &impl Module) -> HostTensors {
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
    let tensor = if info.is_linear { tensor.swap_dims(R - 2, R - 1) } else { tensor };
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

/// Matrices with rows and columns exchanged, those of all groups.
fn transposed(host: HostTensor) -> HostTensor {
    let &[ref groups @ .., rows, columns] = host.shape.as_slice() else { return host };
    let transpose = |matrix: &[f32]| -> Vec<f32> {
        let of_column = |column: usize| matrix.iter().skip(column).step_by(columns).copied();
        (0..columns).flat_map(of_column).collect()
    };
    let values = host.values.chunks((rows * columns).max(1)).flat_map(transpose).collect();
    HostTensor { shape: [groups, &[columns, rows]].concat(), values }
}

/// The sizes of a weight in the file's layout.
pub fn file_shape(info: &ParameterInfo) -> Vec<usize> {
    match info.shape.as_slice() {
        [groups @ .., d_in, d_out] if info.is_linear => [groups, &[*d_out, *d_in]].concat(),
        shape => shape.to_vec(),
    }
}

/// Puts tensors into the model's weights.
///
/// # Errors
/// When names or shapes differ; `path` is for the message.
pub fn import_weights<M: Module>(model: M, tensors: HostTensors, path: &Path) -> Result<M, WeightsError> {
    check_names(&parameters(&model), &tensors, path)?;
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
/// Lists what is missing, unexpected or misshapen; `path` is for the message.
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
    lines.extend(found.keys().filter(|name| !names.contains(name.as_str())).map(|name| format!("unexpected {name}")));
    if lines.is_empty() {
        return Ok(());
    }
    let differences = shortened(lines).iter().map(|line| format!("\n  {line}")).collect();
    Err(WeightsError::Mismatch { path: path.display().to_string(), differences })
}

/// Checks that every number is one.
///
/// # Errors
/// Lists the tensors that hold NaN or infinity; `path` is for the message.
pub fn check_finite(tensors: &HostTensors, path: &Path) -> Result<(), WeightsError> {
    let non_finite = |tensor: &HostTensor| tensor.values.iter().any(|value| !value.is_finite());
    let names: Vec<String> =
        tensors.iter().filter(|(_, tensor)| non_finite(tensor)).map(|(name, _)| name.clone()).collect();
    if names.is_empty() {
        return Ok(());
    }
    Err(WeightsError::NonFinite { path: path.display().to_string(), tensors: shortened(names).join(", ") })
}

/// The first of many, and how many more there are.
fn shortened(mut lines: Vec<String>) -> Vec<String> {
    const SHOWN: usize = 8;
    let more = lines.len().saturating_sub(SHOWN);
    lines.truncate(SHOWN);
    if more > 0 {
        lines.push(format!("and {more} more"));
    }
    lines
}
