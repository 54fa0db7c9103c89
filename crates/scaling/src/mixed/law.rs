//! The mixed law as a value.

use serde::{Deserialize, Serialize};

use crate::law::Law;

/// Δ(N, D) = −C + A / N^α + B / D^β in nats a token, N and D in ones.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Interaction {
    /// C, the most synergy; at or below 0 the two never help each other.
    #[serde(rename = "C")]
    pub c: f64,
    /// A, above 0.
    #[serde(rename = "A")]
    pub a: f64,
    /// B, above 0.
    #[serde(rename = "B")]
    pub b: f64,
    /// α.
    pub alpha: f64,
    /// β.
    pub beta: f64,
}

impl Interaction {
    /// Names of the constants, in the order of [`constants`](Self::constants).
    pub const NAMES: [&'static str; 5] = ["C", "A", "B", "alpha", "beta"];

    /// C, A, B, α, β.
    pub fn constants(&self) -> [f64; 5] {
        [self.c, self.a, self.b, self.alpha, self.beta]
    }

    /// Δ at `params` and the tokens of both modalities together: negative is synergy.
    pub fn delta(&self, params: f64, tokens: f64) -> f64 {
        -self.c + self.a * params.powf(-self.alpha) + self.b * tokens.powf(-self.beta)
    }
}

/// The laws of two modalities and of their interaction.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct MixedLaw {
    /// Of the first modality by itself.
    pub first: Law,
    /// Of the second.
    pub second: Law,
    /// Of the two together.
    pub interaction: Interaction,
}

impl MixedLaw {
    /// `[L(N, D_i) + L(N, D_j)] / 2`.
    pub fn average(&self, params: f64, first_tokens: f64, second_tokens: f64) -> f64 {
        0.5 * (self.first.loss(params, first_tokens) + self.second.loss(params, second_tokens))
    }

    /// L(N, D_i, D_j).
    pub fn loss(&self, params: f64, first_tokens: f64, second_tokens: f64) -> f64 {
        self.average(params, first_tokens, second_tokens) + self.interaction.delta(params, first_tokens + second_tokens)
    }
}
