//! Two-dimensional convolution, the operation that a VAE is made of.
//!
//! Dimensions: `B` batch, `I` input channels, `O` output channels, `h × w` kernel, `H × W` image.

mod cpu;
mod reference;

use burn::backend::Dispatch;
use burn::module::{Module, Param};
use burn::tensor::Tensor;

use self::cpu::Conv2dCpu;
use crate::init::WeightInit;
use crate::place::{Place, place_of};
use crate::precision::arithmetic;

pub use self::reference::reference;

/// How the kernel moves over the image.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ConvSteps {
    /// Pixels between two places of the kernel along both axes, at least 1.
    pub stride: usize,
    /// Zeros around the image, `[[above, below], [left, right]]`.
    pub padding: [[usize; 2]; 2],
}

impl ConvSteps {
    /// As many zeros on every side.
    pub fn new(stride: usize, padding: usize) -> Self {
        Self { stride, padding: [[padding; 2]; 2] }
    }

    /// Places of a kernel of `kernel` pixels along an axis of `length` pixels.
    pub(crate) fn places(&self, axis: usize, length: usize, kernel: usize) -> usize {
        (length + self.padding[axis].iter().sum::<usize>() - kernel) / self.stride + 1
    }
}

/// A convolution with its weights.
#[derive(Module, Debug)]
pub struct Conv2d {
    /// `[O, I, h, w]`
    pub weight: Param<Tensor<4>>,
    /// `[O]`
    pub bias: Option<Param<Tensor<1>>>,
    #[module(skip)]
    steps: ConvSteps,
}

impl Conv2d {
    /// Square kernels with normal weights of variance `1 / fan-in` (LeCun) and zero biases.
    pub fn new([inputs, outputs]: [usize; 2], kernel: usize, steps: ConvSteps, init: &mut WeightInit) -> Self {
        let std = 1.0 / ((inputs * kernel * kernel) as f64).sqrt();
        let weight = init.normal([outputs, inputs, kernel, kernel], std);
        Self { weight, bias: Some(init.constant([outputs], 0.0)), steps }
    }

    /// An odd kernel over every pixel: the image keeps its size.
    pub fn same(channels: [usize; 2], kernel: usize, init: &mut WeightInit) -> Self {
        Self::new(channels, kernel, ConvSteps::new(1, kernel / 2), init)
    }

    /// # Shapes
    /// - `x`: `[B, I, H, W]`; returns as [`conv2d`]
    pub fn forward(&self, x: Tensor<4>) -> Tensor<4> {
        conv2d(x, self.weight.val(), self.bias.as_ref().map(Param::val), self.steps)
    }
}

/// Convolution (cross-correlation, as in PyTorch) of an image with `O` kernels.
///
/// # Shapes
/// - `x`: `[B, I, H, W]`, `weight`: `[O, I, h, w]`, `bias`: `[O]`
/// - returns `[B, O, (H + above + below − h) / stride + 1, (W + left + right − w) / stride + 1]`
///
/// # Panics
/// When the kernel is larger than the padded image, or the channels do not fit.
pub fn conv2d(x: Tensor<4>, weight: Tensor<4>, bias: Option<Tensor<1>>, steps: ConvSteps) -> Tensor<4> {
    if place_of(&x) != Place::Cpu {
        return reference(x, weight, bias, steps);
    }
    let [_, inputs, height, width] = x.dims();
    let [outputs, expected, kernel_height, kernel_width] = weight.dims();
    assert_eq!(inputs, expected, "the weight is for another number of channels");
    let [vertical, horizontal] = steps.padding.map(|sides| sides.iter().sum::<usize>());
    assert!(
        height + vertical >= kernel_height && width + horizontal >= kernel_width,
        "the kernel is larger than the padded image"
    );
    let bias = bias.unwrap_or_else(|| Tensor::zeros([outputs], &x.device()));
    let (x, weight, bias) = (x.into_dispatch(), weight.into_dispatch(), bias.into_dispatch());
    Tensor::from_dispatch(<Dispatch as Conv2dCpu>::conv2d(x, weight, bias, steps, arithmetic()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use burn::tensor::Device;

    #[test]
    fn a_kernel_of_ones_sums_the_neighbourhood() {
        let device = Device::flex();
        let x = Tensor::<4>::from_floats([[[[1.0, 2.0, 3.0], [4.0, 5.0, 6.0], [7.0, 8.0, 9.0]]]], &device);
        let ones = Tensor::<4>::ones([1, 1, 3, 3], &device);
        let bias = Tensor::<1>::from_floats([0.5], &device);
        let y = conv2d(x, ones, Some(bias), ConvSteps::new(2, 1));
        assert_eq!(y.dims(), [1, 1, 2, 2]);
        assert_eq!(y.into_data().try_to_vec::<f32>().unwrap(), [12.5, 16.5, 24.5, 28.5]);
    }
}
