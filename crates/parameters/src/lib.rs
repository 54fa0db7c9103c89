//! The weights of any model by name: visited, saved, and loaded whole or not at all.
//!
//! | what | where |
//! |---|---|
//! | every weight with its name and shape | [`visit`] |
//! | modules by name instead of by number | [`named`] |
//! | weights in a file, in PyTorch's layout | [`weights`] |
//! | `safetensors` and PyTorch's pickled files | [`files`] |
//! | files and folders that are whole or absent | [`durable`] |
//! | hashes in hexadecimal | [`sha256`] |
//! | whether files are what was written | [`checksums`] |

pub mod checksums;
pub mod durable;
pub mod files;
pub mod named;
pub mod sha256;
pub mod visit;
pub mod weights;

pub use checksums::{CHECKSUMS, Checksums, write_checksums};
pub use durable::FileError;
pub use files::{
    HostTensor, HostTensors, Precision, TensorFile, WeightsError, read_tensors, write_tensors, write_tensors_as,
};
pub use named::Named;
pub use visit::{ParameterInfo, ParameterMapper, ParameterVisitor, map_parameters, parameters, visit_parameters};
pub use weights::{check_finite, export_weights, import_weights, load_weights, replaced, save_weights};
