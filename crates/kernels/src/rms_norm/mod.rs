//! Root-mean-square norm (Zhang and Sennrich, 1910.07467).

pub(crate) mod cpu;
#[cfg(feature = "gpu")]
mod gpu;
mod reference;

use burn::backend::Dispatch;
use burn::tensor::Tensor;

use self::cpu::RmsNormCpu;
use crate::place::{Place, place_of};
use crate::precision::{add_rows, row_type};

pub use self::reference::reference;

/// `x / √(mean(x²) + epsilon) · weight` over the last axis.
///
/// # Shapes
/// - `x`: `[…, D]`, `weight`: `[D]`; returns the shape of `x`
///
/// On a GPU the rows come out in the precision of the step's matrix products, which are what reads them.
pub fn rms_norm<const R: usize>(x: Tensor<R>, weight: Tensor<1>, epsilon: f64) -> Tensor<R> {
    let place = place_of(&x);
    if place == Place::Reference {
        let rows = row_type(&x);
        return reference(x, weight, epsilon).cast(rows);
    }
    #[cfg(feature = "gpu")]
    let rows = row_type(&x);
    let (x, weight) = (x.into_dispatch(), weight.into_dispatch());
    Tensor::from_dispatch(match place {
        #[cfg(feature = "gpu")]
        Place::Gpu => <Dispatch as gpu::RmsNormGpu>::rms_norm(x, weight, epsilon, rows),
        _ => <Dispatch as RmsNormCpu>::rms_norm(x, weight, epsilon),
    })
}

/// `x + branch` in the type of `x`, and its [`rms_norm`]: a sub-layer's rows join the stream on the way into the next norm.
///
/// # Shapes
/// - `x`, `branch`: `[…, D]`, `weight`: `[D]`; returns two of the shape of `x`
pub fn sum_norm<const R: usize>(
    x: Tensor<R>,
    branch: Tensor<R>,
    weight: Tensor<1>,
    epsilon: f64,
) -> (Tensor<R>, Tensor<R>) {
    #[cfg(feature = "gpu")]
    if place_of(&x) == Place::Gpu {
        let rows = row_type(&x);
        let (x, branch, weight) = (x.into_dispatch(), branch.into_dispatch(), weight.into_dispatch());
        let (sum, normed) = <Dispatch as gpu::RmsNormGpu>::sum_norm(x, branch, weight, epsilon, rows);
        return (Tensor::from_dispatch(sum), Tensor::from_dispatch(normed));
    }
    let sum = add_rows(x, branch);
    (sum.clone(), rms_norm(sum, weight, epsilon))
}

#[cfg(test)]
mod tests {
    use super::*;
    use burn::tensor::Device;

    #[test]
    fn a_row_comes_out_with_unit_mean_square_times_the_weight() {
        let device = Device::flex();
        let x = Tensor::<2>::from_floats([[3.0, -4.0], [0.0, 0.0]], &device);
        let weight = Tensor::<1>::from_floats([1.0, 2.0], &device);
        let out = rms_norm(x, weight, 1e-6).to_data().try_to_vec::<f32>().unwrap();
        let scale = 1.0 / 12.5f32.sqrt();
        for (found, expected) in out.iter().zip([3.0 * scale, -8.0 * scale, 0.0, 0.0]) {
            assert!((found - expected).abs() < 1e-5, "{found} against {expected}");
        }
    }
}
