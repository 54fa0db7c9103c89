//! Llama's feed-forward (Shazeer, 2002.05202): `down(silu(gate(x)) · up(x))`.

use burn::module::Module;
use burn::tensor::Tensor;
use interfuse_kernels::{Linear, WeightInit, linear_maps, swiglu};

use crate::config::BackboneConfig;

/// The three matrices.
#[derive(Module, Debug)]
pub struct Swiglu {
    /// `D → F`, under the SiLU.
    pub gate: Linear,
    /// `D → F`
    pub up: Linear,
    /// `F → D`
    pub down: Linear,
}

impl Swiglu {
    /// Fresh weights.
    pub fn new(config: &BackboneConfig, init: &mut WeightInit) -> Self {
        let (d_model, d_ff) = (config.d_model, config.d_ff());
        Self {
            gate: Linear::new(d_model, d_ff, init),
            up: Linear::new(d_model, d_ff, init),
            down: Linear::scaled(d_ff, d_model, config.branch_scale(), init),
        }
    }

    /// # Shapes
    /// - `x`: `[B, S, D]`; returns the same
    pub fn forward(&self, x: Tensor<3>) -> Tensor<3> {
        let [gate, up] = linear_maps([&self.gate, &self.up], x);
        self.down.forward(swiglu(gate, up))
    }
}
