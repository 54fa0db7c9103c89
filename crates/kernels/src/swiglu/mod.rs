//! The activation of Llama's feed-forward (Shazeer, 2002.05202).

mod cpu;
#[cfg(feature = "gpu")]
mod gpu;
mod reference;

use burn::backend::Dispatch;
use burn::tensor::Tensor;

use self::cpu::SwigluCpu;
use crate::place::{Place, place_of};

pub use self::reference::reference;

/// `silu(gate) · up`, element by element; all three have one shape.
pub fn swiglu<const R: usize>(gate: Tensor<R>, up: Tensor<R>) -> Tensor<R> {
    let place = place_of(&gate);
    if place == Place::Reference {
        return reference(gate, up);
    }
    let (gate, up) = (gate.into_dispatch(), up.into_dispatch());
    Tensor::from_dispatch(match place {
        #[cfg(feature = "gpu")]
        Place::Gpu => <Dispatch as gpu::SwigluGpu>::swiglu(gate, up),
        _ => <Dispatch as SwigluCpu>::swiglu(gate, up),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use burn::tensor::Device;

    #[test]
    fn equals_the_formula() {
        let device = Device::flex();
        let gate = Tensor::<1>::from_floats([-1.0, 0.0, 2.0], &device);
        let up = Tensor::<1>::from_floats([3.0, 5.0, 0.5], &device);
        let out = swiglu(gate, up).to_data().try_to_vec::<f32>().unwrap();
        let silu = |x: f32| x / (1.0 + (-x).exp());
        for (found, expected) in out.iter().zip([3.0 * silu(-1.0), 0.0, 0.5 * silu(2.0)]) {
            assert!((found - expected).abs() < 1e-6);
        }
    }
}
