//! A linear map over the last axis.

mod cpu;
#[cfg(feature = "gpu")]
mod gpu;

use burn::backend::Dispatch;
use burn::module::{Module, Param};
use burn::tensor::Tensor;

use self::cpu::{Form, LinearCpu};
use crate::init::WeightInit;
use crate::place::{Place, place_of};

/// `y = x W (+ b)`. In a checkpoint the weight is stored as PyTorch stores it, `[d_out, d_in]`.
#[derive(Module, Debug)]
pub struct Linear {
    /// `[d_in, d_out]`
    pub weight: Param<Tensor<2>>,
    /// `[d_out]`
    pub bias: Option<Param<Tensor<1>>>,
}

impl Linear {
    /// Normal weights of variance `1 / d_in` (LeCun) and no bias, as everywhere in a Llama block.
    pub fn new(d_in: usize, d_out: usize, init: &mut WeightInit) -> Self {
        Self::scaled(d_in, d_out, 1.0, init)
    }

    /// As [`Self::new`], with the weights times `scale`; the residual branches of a deep model start small.
    pub fn scaled(d_in: usize, d_out: usize, scale: f64, init: &mut WeightInit) -> Self {
        let std = scale / (d_in as f64).sqrt();
        Self { weight: init.normal([d_in, d_out], std), bias: None }
    }

    /// All weights zero, and a zero bias.
    pub fn zero_with_bias(d_in: usize, d_out: usize, init: &mut WeightInit) -> Self {
        Self { weight: init.constant([d_in, d_out], 0.0), bias: Some(init.constant([d_out], 0.0)) }
    }

    /// With a zero bias.
    pub fn with_bias(d_in: usize, d_out: usize, init: &mut WeightInit) -> Self {
        let bias = Some(init.constant([d_out], 0.0));
        Self { bias, ..Self::new(d_in, d_out, init) }
    }

    /// # Shapes
    /// - `x`: `[…, d_in]`; returns `[…, d_out]`
    pub fn forward<const R: usize>(&self, x: Tensor<R>) -> Tensor<R> {
        let shape = x.dims();
        self.with_bias_as(shape, product(as_matrix(x), self.weight.val()))
    }

    /// Adds the bias to what the product gave, in the shape of the rows that went in but for the last axis.
    fn with_bias_as<const R: usize>(&self, mut shape: [usize; R], y: Tensor<2>) -> Tensor<R> {
        shape[R - 1] = y.dims()[1];
        let y = match &self.bias {
            Some(bias) => {
                let bias = bias.val().unsqueeze::<2>().cast(y.dtype());
                y + bias
            }
            None => y,
        };
        y.reshape(shape)
    }
}

/// What several maps make of the same rows.
///
/// # Shapes
/// - `x`: `[…, d_in]`; returns `[…, d_out]` of each map
pub fn linear_maps<const N: usize, const R: usize>(maps: [&Linear; N], x: Tensor<R>) -> [Tensor<R>; N] {
    let shape = x.dims();
    let mut products = products(as_matrix(x), maps.map(|map| map.weight.val())).into_iter();
    maps.map(|map| match products.next() {
        Some(y) => map.with_bias_as(shape, y),
        None => unreachable!("a product for each map"),
    })
}

/// One matrix of all rows: a batched product would read the weight once for each element of the batch.
fn as_matrix<const R: usize>(x: Tensor<R>) -> Tensor<2> {
    let shape = x.dims();
    let rows: usize = shape[..R - 1].iter().product();
    x.reshape([rows, shape[R - 1]])
}

/// [`product`] of the same rows with several weights. On a GPU the gradients of the rows are added up where they are made.
///
/// # Shapes
/// - `x`: `[N, d_in]`, `weights`: `[d_in, d_out]` each; returns `[N, d_out]` of each
pub fn products<const N: usize>(x: Tensor<2>, weights: [Tensor<2>; N]) -> Vec<Tensor<2>> {
    #[cfg(feature = "gpu")]
    if place_of(&x) == Place::Gpu {
        return on_gpu_together(x, weights);
    }
    weights.into_iter().map(|weight| product(x.clone(), weight)).collect()
}

/// `x W`, the factors in the precision of the step ([`crate::with_precision`]), the result in the type of `x`.
///
/// # Shapes
/// - `x`: `[N, d_in]`, `weight`: `[d_in, d_out]`; returns `[N, d_out]`
pub fn product(x: Tensor<2>, weight: Tensor<2>) -> Tensor<2> {
    match place_of(&x) {
        Place::Reference => plain(x, weight),
        #[cfg(feature = "gpu")]
        Place::Gpu => on_gpu(x, weight),
        Place::Cpu => on_cpu(x, weight, false),
    }
}

/// `x Tᵀ`: [`product`] with a table that is kept row by row, such as an embedding that serves as head as well.
///
/// # Shapes
/// - `x`: `[N, D]`, `table`: `[V, D]`; returns `[N, V]`
pub fn product_with_rows(x: Tensor<2>, table: Tensor<2>) -> Tensor<2> {
    match place_of(&x) {
        #[cfg(feature = "gpu")]
        Place::Gpu => on_gpu(x, table.transpose()),
        Place::Cpu => on_cpu(x, table, true),
        Place::Reference => plain(x, table.transpose()),
    }
}

/// The product of Burn's primitives. It reads its right factor in the type of the left one, so both are made alike.
fn plain(x: Tensor<2>, weight: Tensor<2>) -> Tensor<2> {
    let weight = weight.cast(x.dtype());
    x.matmul(weight)
}

fn on_cpu(x: Tensor<2>, weight: Tensor<2>, is_by_row: bool) -> Tensor<2> {
    let form = Form { is_by_row, arithmetic: crate::precision::arithmetic() };
    Tensor::from_dispatch(<Dispatch as LinearCpu>::linear(x.into_dispatch(), weight.into_dispatch(), form))
}

#[cfg(feature = "gpu")]
fn on_gpu(x: Tensor<2>, weight: Tensor<2>) -> Tensor<2> {
    let compute = crate::precision::factor_type();
    let (x, weight) = (x.into_dispatch(), weight.into_dispatch());
    Tensor::from_dispatch(<Dispatch as gpu::LinearGpu>::linear(x, weight, compute))
}

#[cfg(feature = "gpu")]
fn on_gpu_together<const N: usize>(x: Tensor<2>, weights: [Tensor<2>; N]) -> Vec<Tensor<2>> {
    use crate::tape::list::TensorList;
    let weights = TensorList(weights.into_iter().map(Tensor::into_dispatch).collect());
    let compute = crate::precision::factor_type();
    let products = <Dispatch as gpu::LinearGpu>::linear_maps(x.into_dispatch(), weights, compute);
    products.0.into_iter().map(Tensor::from_dispatch).collect()
}
