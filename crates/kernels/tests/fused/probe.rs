//! An operation seen as a function of flat arrays, and what its gradients are.

use burn::tensor::{DType, Device, Int, Tensor, TensorData};

/// Arrays in, one array out; shapes are the closure's business.
pub(crate) type Operation<'a> = dyn Fn(Vec<Tensor<1>>) -> Tensor<1> + 'a;

/// Numbers without pattern from a seed, in [-1, 1].
pub(crate) fn noise(count: usize, seed: u64) -> Vec<f64> {
    let mut state = seed.wrapping_mul(0x9E37_79B9_7F4A_7C15).wrapping_add(1);
    let mut next = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        (state >> 11) as f64 / (1u64 << 53) as f64 * 2.0 - 1.0
    };
    (0..20).for_each(|_| {
        next();
    });
    (0..count).map(|_| next()).collect()
}

/// The values of an operation and the gradients of `Σ out · noise` by every input.
pub(crate) struct Found {
    pub(crate) out: Vec<f64>,
    pub(crate) gradients: Vec<Vec<f64>>,
}

/// Runs an operation forward and backward on the CPU.
pub(crate) fn run(operation: &Operation<'_>, inputs: &[Vec<f64>], dtype: DType) -> Found {
    run_on(operation, inputs, dtype, &Device::flex())
}

/// Runs an operation forward and backward.
pub(crate) fn run_on(operation: &Operation<'_>, inputs: &[Vec<f64>], dtype: DType, device: &Device) -> Found {
    let device = device.clone().autodiff();
    let tensors: Vec<Tensor<1>> = inputs.iter().map(|input| tensor(input, dtype, &device).require_grad()).collect();
    let out = operation(tensors.clone());
    let weights = tensor(&noise(out.dims()[0], 99), dtype, &device);
    let grads = (out.clone() * weights).sum().backward();
    let gradients = tensors.iter().zip(inputs).map(|(tensor, input)| match tensor.grad(&grads) {
        Some(gradient) => values(gradient),
        None => vec![0.0; input.len()],
    });
    Found { out: values(out), gradients: gradients.collect() }
}

/// `Σ out · noise`, in `f64`.
pub(crate) fn weighted_sum(operation: &Operation<'_>, inputs: &[Vec<f64>]) -> f64 {
    let device = Device::flex();
    let out = values(operation(inputs.iter().map(|input| tensor(input, DType::F64, &device)).collect()));
    let weights = noise(out.len(), 99);
    out.iter().zip(weights).map(|(out, weight)| out * weight).sum()
}

/// The largest difference, as a share of the largest value; of 0.01 where all values are smaller, for they are then
/// differences of numbers of the size of the inputs.
pub(crate) fn gap(a: &[f64], b: &[f64]) -> f64 {
    gap_of_sums(a, b, 1e-2)
}

/// As [`gap`], of sums of numbers as large as `least`, which may cancel out to less.
pub(crate) fn gap_of_sums(a: &[f64], b: &[f64], least: f64) -> f64 {
    assert_eq!(a.len(), b.len());
    assert!(a.iter().chain(b).all(|x| x.is_finite()));
    let largest = b.iter().fold(least, |most, x| most.max(x.abs()));
    a.iter().zip(b).map(|(a, b)| (a - b).abs()).fold(0.0, f64::max) / largest
}

/// Whole numbers on the device.
pub(crate) fn ints<const R: usize>(values: &[i64], shape: [usize; R], device: &Device) -> Tensor<R, Int> {
    Tensor::from_data(TensorData::new(values.to_vec(), shape), device)
}

fn tensor(values: &[f64], dtype: DType, device: &Device) -> Tensor<1> {
    Tensor::from_data(TensorData::new(values.to_vec(), [values.len()]).convert_dtype(dtype), (device, dtype))
}

fn values(x: Tensor<1>) -> Vec<f64> {
    x.into_data().iter::<f64>().collect()
}
