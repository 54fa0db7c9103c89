//! Convolutions of published networks, with their batch norm folded in, and the strict reading of their weights.

use std::path::Path;

use burn::tensor::{Device, Tensor, TensorData};
use interfuse_kernels::{ConvSteps, conv2d};
use interfuse_parameters::{HostTensor, HostTensors};

use crate::error::EvaluationError;

/// A convolution with a bias.
#[derive(Debug, Clone)]
pub struct Convolution {
    weight: Tensor<4>,
    bias: Tensor<1>,
    steps: ConvSteps,
}

impl Convolution {
    /// # Shapes
    /// - `x`: `[B, I, H, W]`; returns `[B, O, H', W']`
    pub fn forward(&self, x: Tensor<4>) -> Tensor<4> {
        conv2d(x, self.weight.clone(), Some(self.bias.clone()), self.steps)
    }
}

/// A matrix that a file holds as `[d_out, d_in]`, as `[d_in, d_out]`.
pub(crate) fn transposed(reader: &mut WeightsReader<'_>, name: &str, [d_out, d_in]: [usize; 2]) -> Tensor<2> {
    let values = reader.take(name, &[d_out, d_in]);
    // On the host, so that products go the fast way through a matrix in its own order.
    let turned = (0..d_in).flat_map(|column| values.iter().skip(column).step_by(d_in).copied()).collect::<Vec<f32>>();
    Tensor::from_data(TensorData::new(turned, [d_in, d_out]), reader.device)
}

/// Takes the tensors of a file one by one; what is missing, misshapen or left over is told at the end.
pub struct WeightsReader<'a> {
    tensors: HostTensors,
    faults: Vec<String>,
    device: &'a Device,
}

/// How many faults a message lists.
const MOST_LISTED: usize = 8;

impl<'a> WeightsReader<'a> {
    /// Over the tensors of a file.
    pub fn new(tensors: HostTensors, device: &'a Device) -> Self {
        Self { tensors, faults: vec![], device }
    }

    /// A tensor of a shape; zeros where it is missing, which the end will tell.
    pub fn take(&mut self, name: &str, shape: &[usize]) -> Vec<f32> {
        let count = shape.iter().product();
        match self.tensors.remove(name) {
            Some(HostTensor { shape: found, values }) if found == shape => values,
            Some(HostTensor { shape: found, .. }) => {
                self.faults.push(format!("{name}: expected {shape:?}, found {found:?}"));
                vec![0.0; count]
            }
            None => {
                self.faults.push(format!("missing {name} {shape:?}"));
                vec![0.0; count]
            }
        }
    }

    /// Leaves tensors out that the network does not need.
    pub fn ignore(&mut self, is_ignored: impl Fn(&str) -> bool) {
        self.tensors.retain(|name, _| !is_ignored(name));
    }

    /// A tensor on the device.
    pub fn tensor<const R: usize>(&mut self, name: &str, shape: [usize; R]) -> Tensor<R> {
        let values = self.take(name, &shape);
        Tensor::from_data(TensorData::new(values, shape), self.device)
    }

    /// A convolution without a bias of its own, named `names[0]`, and the batch norm behind it, named `names[1]`.
    pub fn folded(&mut self, names: [&str; 2], shape: [usize; 4], steps: ConvSteps, epsilon: f32) -> Convolution {
        let (weight, bias) = self.folded_tensors(names, shape, epsilon);
        Convolution { weight, bias, steps }
    }

    /// Weight and bias of such a pair: `w' = w γ / √(var + ε)`, `b' = β − mean γ / √(var + ε)`.
    pub fn folded_tensors(
        &mut self,
        [conv, norm]: [&str; 2],
        shape: [usize; 4],
        epsilon: f32,
    ) -> (Tensor<4>, Tensor<1>) {
        let outputs = shape[0];
        let mut weight = self.take(&format!("{conv}.weight"), &shape);
        let [gamma, beta, mean, variance] = ["weight", "bias", "running_mean", "running_var"]
            .map(|kind| self.take(&format!("{norm}.{kind}"), &[outputs]));
        let slopes: Vec<f32> = gamma.iter().zip(&variance).map(|(gamma, var)| gamma / (var + epsilon).sqrt()).collect();
        for (weights, slope) in weight.chunks_exact_mut(shape[1..].iter().product::<usize>().max(1)).zip(&slopes) {
            weights.iter_mut().for_each(|weight| *weight *= slope);
        }
        let bias: Vec<f32> =
            beta.iter().zip(&mean).zip(&slopes).map(|((beta, mean), slope)| beta - mean * slope).collect();
        let weight = Tensor::from_data(TensorData::new(weight, shape), self.device);
        (weight, Tensor::from_data(TensorData::new(bias, [outputs]), self.device))
    }

    /// The end: every tensor was there, in its shape, and none is left.
    ///
    /// # Errors
    /// Lists what was missing, misshapen or unexpected in the file `path`.
    pub fn finish(mut self, path: &Path) -> Result<(), EvaluationError> {
        self.faults.extend(self.tensors.keys().map(|name| format!("unexpected {name}")));
        if self.faults.is_empty() {
            return Ok(());
        }
        let more = self.faults.len().saturating_sub(MOST_LISTED);
        self.faults.truncate(MOST_LISTED);
        if more > 0 {
            self.faults.push(format!("and {more} more"));
        }
        let reason = format!("these are not the weights of this network: {}", self.faults.join("; "));
        Err(EvaluationError::Weights { path: path.to_path_buf(), reason })
    }
}
