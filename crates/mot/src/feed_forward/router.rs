//! What the router of a mixture of experts has to say of a batch: what its losses are made of, and how it distributes.
//!
//! Dimensions: `B` sequences, `S` rows of the part's stream, `E` experts.
//!
//! The backbone has no loss. It hands back sums over rows, from which the objective makes the losses, because their means
//! run over the whole optimizer step.

use burn::tensor::Tensor;

use super::config::{BalanceScope, MoeConfig, Routing};
use super::expert_choice;
use super::moe::Places;

/// What the router of a mixture of experts has to say of a batch. Padding counts nowhere.
#[derive(Clone, Debug)]
pub struct RouterOutput {
    /// Rows that went to each expert, by sequence. `[B, E]`
    pub taken: Tensor<2>,
    /// Sum of the rows' probabilities of each expert, by sequence; on the gradient tape. `[B, E]`
    pub probabilities: Tensor<2>,
    /// Rows of each sequence. `[B, 1]`
    pub rows: Tensor<2>,
    /// `Σ log²(Σ exp logits)` over rows; on the gradient tape. `[1]`
    pub squared_log_sum: Tensor<1>,
    /// Rows that no expert took. `[1]`
    pub unrouted: Tensor<1>,
    /// `−Σ p log p` over rows and experts, in nats. `[1]`
    pub entropy: Tensor<1>,
    /// By what its losses are weighed.
    pub losses: RouterLosses,
}

/// By what the losses of a router are weighed.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct RouterLosses {
    /// Of the balance loss.
    pub balance: f64,
    /// Over which rows loads are balanced.
    pub balance_over: BalanceScope,
    /// Of the z-loss.
    pub z: f64,
}

impl RouterOutput {
    /// # Shapes
    /// - `logits` and `probabilities`: `[B, S, E]`
    /// - `filled`: 1 for a row, 0 for padding. `[B, S]`
    pub(super) fn new(
        config: &MoeConfig,
        logits: Tensor<3>,
        probabilities: Tensor<3>,
        filled: &Tensor<2>,
        places: &Places,
    ) -> Self {
        let [batch, _, experts] = logits.dims();
        let weights = filled.clone().unsqueeze_dim::<3>(2);
        let largest = logits.clone().detach().max_dim(2);
        let log_sum = (logits.clone() - largest.clone()).exp().sum_dim(2).log() + largest;
        // −Σ p log p = log Σ exp(logits) − Σ p · logits
        let entropy = (log_sum.clone() - (probabilities.clone() * logits).sum_dim(2)).detach();
        Self {
            taken: places.taken.clone(),
            probabilities: (probabilities * weights.clone()).sum_dim(1).reshape([batch, experts]),
            rows: filled.clone().sum_dim(1),
            squared_log_sum: (log_sum.square() * weights.clone()).sum(),
            unrouted: match config.routing {
                Routing::ExpertChoice => expert_choice::unrouted(places, filled),
                Routing::TopK => Tensor::zeros([1], &filled.device()),
            },
            entropy: (entropy * weights).sum(),
            losses: RouterLosses {
                balance: config.balance_loss(),
                balance_over: config.balance_over(),
                z: config.z_loss(),
            },
        }
    }
}
