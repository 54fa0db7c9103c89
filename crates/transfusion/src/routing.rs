//! The losses of routers, and how they distribute their rows.
//!
//! Dimensions: `B` sequences, `E` experts, `N` rows of a part in an optimizer step.
//!
//! ```text
//! balance of rows   = E · Σ_e f_e · P_e        f_e the fraction of choices that went to e, P_e the mean probability of e
//! z of a row        = log²(Σ_e exp logit_e)
//! loss of a router  = balance_loss · mean over rows of their balance  +  z_loss · mean over rows of z
//! ```
//!
//! The balance is Switch's (2101.03961, equations 4 to 6), 1 where loads are even; z is that of ST-MoE (2202.08906, equation
//! 5). Losses of all layers and parts are added up, as there.
//!
//! The means run over the `N` rows of the step, which are counted before, so gradients accumulate exactly. The balance is
//! a product of two means, and a product of sums over micro-batches is no sum of products. With `balance_over = "sequence"` it
//! is therefore taken of each sequence by itself and averaged over rows (DeepSeek-V3, 2412.19437, equations 17 to 20); with
//! `"step"` the fractions `f` of the whole step, which have no gradient, are counted in a forward pass before
//! ([`RouterLoads`]), and `P` is then a plain mean.

use burn::tensor::{Tensor, TensorData};
use interfuse_mot::{BalanceScope, RouterOutput};

/// How many rows went to each expert in a whole step, by layer and part; empty where there is no router.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct RouterLoads(pub Vec<Vec<Vec<f64>>>);

impl RouterLoads {
    /// The loads of one router.
    fn get(&self, layer: usize, part: usize) -> Option<&[f64]> {
        self.0.get(layer)?.get(part).map(Vec::as_slice).filter(|loads| !loads.is_empty())
    }
}

/// The losses of all routers of a batch.
#[derive(Clone, Debug)]
pub struct RouterLoss {
    /// The batch's share of the step's, weights included; `None` without a router. `[1]`
    pub total: Option<Tensor<1>>,
    /// What [`RouterSums`] is made of, by layer and part; off the gradient's way. `[E + 4]`
    pub sums: Vec<Vec<Option<Tensor<1>>>>,
}

/// What a router did, added up over rows.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct RouterSums {
    /// Rows that went to each expert.
    pub taken: Vec<f64>,
    /// Rows that no expert took.
    pub unrouted: f64,
    /// Entropy of the probabilities, in nats.
    pub entropy: f64,
    /// Balance of the rows.
    pub balance: f64,
    /// `log²` of the sum of exponentials.
    pub z: f64,
}

impl RouterSums {
    /// The numbers of a router of so many experts.
    pub fn length(experts: usize) -> usize {
        experts + 4
    }

    /// Of what was read from the device.
    pub fn of(numbers: &[f64]) -> Self {
        match numbers {
            [taken @ .., unrouted, entropy, balance, z] => {
                Self { taken: taken.to_vec(), unrouted: *unrouted, entropy: *entropy, balance: *balance, z: *z }
            }
            _ => Self::default(),
        }
    }
}

/// The losses of routers; `rows` has `N` of each part, `loads` those of the step, without which a batch is taken for all of
/// it.
pub fn router_loss(
    routers: &[Vec<Option<RouterOutput>>],
    rows: impl Fn(usize) -> f64,
    loads: Option<&RouterLoads>,
) -> RouterLoss {
    let (mut total, mut sums) = (None, Vec::with_capacity(routers.len()));
    for (layer, parts) in routers.iter().enumerate() {
        let mut of_layer = Vec::with_capacity(parts.len());
        for (part, output) in parts.iter().enumerate() {
            let Some(output) = output else {
                of_layer.push(None);
                continue;
            };
            let balance = balance_sum(output, loads.and_then(|loads| loads.get(layer, part)));
            of_layer.push(Some(sums_of(output, &balance)));
            for (weight, sum) in [(output.losses.balance, balance), (output.losses.z, output.squared_log_sum.clone())] {
                if weight > 0.0 {
                    let term = sum.mul_scalar(weight / rows(part).max(1.0));
                    total = Some(match total {
                        Some(total) => total + term,
                        None => term,
                    });
                }
            }
        }
        sums.push(of_layer);
    }
    RouterLoss { total, sums }
}

/// The balance of every row of the batch, added up. `[1]`
fn balance_sum(output: &RouterOutput, loads: Option<&[f64]>) -> Tensor<1> {
    let [batch, experts] = output.taken.dims();
    // Σ over rows of E · Σ f · P = E · Σ f · (sum of probabilities), whichever rows f is of.
    let taken = match (output.losses.balance_over, loads) {
        (BalanceScope::Sequence, _) => output.taken.clone(),
        (BalanceScope::Step, None) => output.taken.clone().sum_dim(0),
        (BalanceScope::Step, Some(loads)) => {
            let loads: Vec<f32> = loads.iter().map(|&load| load as f32).collect();
            Tensor::from_data(TensorData::new(loads, [1, experts]), &output.taken.device())
        }
    };
    // A sequence without rows has no choices and no probabilities.
    let fractions = taken.clone() / taken.sum_dim(1).clamp_min(1.0);
    (output.probabilities.clone() * fractions.expand([batch, experts])).sum().mul_scalar(experts as f64)
}

fn sums_of(output: &RouterOutput, balance: &Tensor<1>) -> Tensor<1> {
    let [_, experts] = output.taken.dims();
    let taken = output.taken.clone().sum_dim(0).reshape([experts]);
    let rest = [&output.unrouted, &output.entropy, balance, &output.squared_log_sum];
    Tensor::cat([taken].into_iter().chain(rest.map(|sum| sum.clone().detach())).collect(), 0)
}
