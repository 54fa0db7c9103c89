//! The transformer that both towers are: pre-norm layers of attention and a feed-forward network.
//!
//! Dimensions: `B` batch, `S` rows, `D` width, `H` heads.

use burn::tensor::activation::{gelu, sigmoid};
use burn::tensor::{Int, Tensor};
use interfuse_kernels::{VisibleRanges, linear, ranged_attention};
use serde::Deserialize;

use crate::features::convolution::{WeightsReader, transposed};

/// What is between the two maps of a feed-forward network.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Activation {
    /// `x · σ(1.702 x)`, of OpenAI's checkpoints.
    QuickGelu,
    /// The exact one, of most others.
    Gelu,
}

/// What a row sees.
#[derive(Clone, Copy, Debug)]
pub(super) enum Reach {
    /// Itself and what came before.
    Back,
    /// Every row.
    All,
}

/// Sizes of an encoder.
#[derive(Clone, Copy, Debug)]
pub(super) struct EncoderConfig {
    pub(super) width: usize,
    pub(super) hidden: usize,
    pub(super) layers: usize,
    pub(super) heads: usize,
    pub(super) activation: Activation,
    pub(super) epsilon: f64,
}

/// All layers.
pub(super) struct Encoder {
    layers: Vec<Layer>,
    heads: usize,
    activation: Activation,
}

struct Layer {
    norm1: LayerNorm,
    q: Map,
    k: Map,
    v: Map,
    out: Map,
    norm2: LayerNorm,
    up: Map,
    down: Map,
}

/// A linear map with a bias.
struct Map {
    /// `[d_in, d_out]`
    weight: Tensor<2>,
    /// `[d_out]`
    bias: Tensor<1>,
}

impl Map {
    fn read(reader: &mut WeightsReader<'_>, name: &str, [d_in, d_out]: [usize; 2]) -> Self {
        Self {
            weight: transposed(reader, &format!("{name}.weight"), [d_out, d_in]),
            bias: reader.tensor(&format!("{name}.bias"), [d_out]),
        }
    }

    /// # Shapes
    /// - `x`: `[B, S, d_in]`; returns `[B, S, d_out]`
    fn forward(&self, x: Tensor<3>) -> Tensor<3> {
        let [batch, rows, width] = x.dims();
        let y = linear::product(x.reshape([batch * rows, width]), self.weight.clone());
        let [_, outputs] = y.dims();
        (y + self.bias.clone().unsqueeze::<2>()).reshape([batch, rows, outputs])
    }
}

/// A layer norm.
pub(super) struct LayerNorm {
    weight: Tensor<1>,
    bias: Tensor<1>,
    epsilon: f64,
}

impl LayerNorm {
    pub(super) fn read(reader: &mut WeightsReader<'_>, name: &str, width: usize, epsilon: f64) -> Self {
        Self {
            weight: reader.tensor(&format!("{name}.weight"), [width]),
            bias: reader.tensor(&format!("{name}.bias"), [width]),
            epsilon,
        }
    }

    pub(super) fn forward(&self, x: Tensor<3>) -> Tensor<3> {
        let centred = x.clone() - x.mean_dim(2);
        let variance = centred.clone().square().mean_dim(2);
        let normed = centred / variance.add_scalar(self.epsilon).sqrt();
        normed * self.weight.clone().unsqueeze::<3>() + self.bias.clone().unsqueeze::<3>()
    }
}

impl Encoder {
    pub(super) fn read(reader: &mut WeightsReader<'_>, at: &str, config: &EncoderConfig) -> Self {
        let &EncoderConfig { width, hidden, layers, heads, activation, epsilon } = config;
        let layer = |index: usize| {
            let at = format!("{at}.layers.{index}");
            let mut attention = |name: &str| Map::read(reader, &format!("{at}.self_attn.{name}_proj"), [width, width]);
            let [k, v, q, out] = ["k", "v", "q", "out"].map(&mut attention);
            Layer {
                norm1: LayerNorm::read(reader, &format!("{at}.layer_norm1"), width, epsilon),
                q,
                k,
                v,
                out,
                norm2: LayerNorm::read(reader, &format!("{at}.layer_norm2"), width, epsilon),
                up: Map::read(reader, &format!("{at}.mlp.fc1"), [width, hidden]),
                down: Map::read(reader, &format!("{at}.mlp.fc2"), [hidden, width]),
            }
        };
        Self { layers: (0..layers).map(layer).collect(), heads, activation }
    }

    /// # Shapes
    /// - `x`: `[B, S, D]`; returns the same
    pub(super) fn forward(&self, x: Tensor<3>, reach: Reach) -> Tensor<3> {
        let [batch, rows, _] = x.dims();
        let device = x.device();
        let order = Tensor::<1, Int>::arange(0..rows as i64, &device).unsqueeze::<2>().expand([batch, rows]);
        let from = Tensor::<2, Int>::zeros([batch, rows], &device);
        let until = match reach {
            Reach::Back => order.clone().add_scalar(1),
            Reach::All => Tensor::<2, Int>::full([batch, rows], rows as i64, &device),
        };
        let visible = VisibleRanges::new(order, from, until);
        self.layers.iter().fold(x, |x, layer| self.layer(layer, x, &visible))
    }

    fn layer(&self, layer: &Layer, x: Tensor<3>, visible: &VisibleRanges) -> Tensor<3> {
        let [batch, rows, width] = x.dims();
        let heads = |x: Tensor<3>| x.reshape([batch, rows, self.heads, width / self.heads]);
        let y = layer.norm1.forward(x.clone());
        let [q, k, v] = [&layer.q, &layer.k, &layer.v].map(|map| heads(map.forward(y.clone())));
        let seen = ranged_attention(q, k, v, visible).reshape([batch, rows, width]);
        let x = x + layer.out.forward(seen);
        let hidden = layer.up.forward(layer.norm2.forward(x.clone()));
        let hidden = match self.activation {
            Activation::QuickGelu => hidden.clone() * sigmoid(hidden.mul_scalar(1.702)),
            Activation::Gelu => gelu(hidden),
        };
        x + layer.down.forward(hidden)
    }
}
