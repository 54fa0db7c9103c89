//! Networks that turn images into vectors, for distances between sets of images.

pub mod clip;
pub mod convolution;
pub mod efficientnet;
#[cfg(test)]
mod formula_fixture;
pub mod inception;
pub mod resize;
pub mod weights_file;

use burn::tensor::Tensor;
use ndarray::{Array2, Array3};

use crate::error::EvaluationError;

/// A network whose features sets of images are compared in.
pub trait FeatureExtractor: Send + Sync {
    /// Its name in reports, such as `inception-2015-2048`.
    fn name(&self) -> String;

    /// Length of a vector.
    fn dim(&self) -> usize;

    /// The file that its weights came from.
    fn weights(&self) -> &WeightsOrigin;

    /// How images are brought to the network's size, for reports.
    fn resize(&self) -> String;

    /// The vectors of RGB images `[3, height, width]` of any sizes, `[count, dim]`.
    ///
    /// # Errors
    /// When an image is empty, or the numbers cannot be read from the device.
    fn features(&self, images: &[Array3<u8>]) -> Result<Array2<f32>, EvaluationError>;
}

/// Where weights came from, so that two numbers can be told apart.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct WeightsOrigin {
    /// Of the file, in hexadecimal.
    pub sha256: String,
    /// Whether the file is the published one; if not, numbers compare with nobody else's.
    pub published: bool,
}

/// Brings a matrix to the host.
pub(crate) fn to_array(x: Tensor<2>) -> Result<Array2<f32>, EvaluationError> {
    let shape = x.dims();
    let values = x.into_data().convert::<f32>().try_to_vec::<f32>();
    let values = values.map_err(|error| EvaluationError::Device(format!("{error:?}")))?;
    Array2::from_shape_vec(shape, values).map_err(|error| EvaluationError::Device(error.to_string()))
}
