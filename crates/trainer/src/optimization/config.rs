//! Settings of the optimizer.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use interfuse_parameters::ParameterInfo;
use interfuse_transfusion::ownership::{part_of, tower_of};

use crate::error::TrainError;
use crate::optimization::learning_rate::Schedule;

/// What updates the matrices of the backbone's layers.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum MatrixOptimizer {
    /// As everything else.
    #[default]
    Adamw,
    /// Muon (Jordan et al. 2024), its updates as large as AdamW's (2502.16982): it remembers half as much, and a step takes
    /// fifteen more products of each matrix. The experts of a mixture stay with AdamW.
    Muon,
}

/// AdamW, its learning rate and the moving average.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct OptimizerConfig {
    /// Peak learning rate, above 0.
    pub learning_rate: f64,
    /// Learning rate after the last step, from 0.
    pub final_learning_rate: f64,
    /// Steps over which the learning rate rises from 0.
    pub warmup_steps: u64,
    /// How it gets from its peak to its final value.
    pub schedule: Schedule,
    /// The part of all steps over which `wsd` decays, above 0 and at most 1.
    pub decay_fraction: f64,
    /// Decay rates of the first and second moment, each from 0 to below 1.
    pub betas: [f64; 2],
    /// What updates the matrices of the backbone's layers; embeddings, heads, norms and all else are AdamW's.
    pub matrices: MatrixOptimizer,
    /// What `muon` multiplies its momentum by in every step, from 0 to below 1.
    pub momentum: f64,
    /// Added to the root of the second moment; above 0.
    pub epsilon: f64,
    /// Decoupled weight decay of matrices, from 0; norms and biases do not decay.
    pub weight_decay: f64,
    /// The gradient of all weights together is scaled down to this norm, above 0.
    pub max_gradient_norm: f64,
    /// Whether each of several processes remembers and updates only its share of the weights (ZeRO stage 1, 1910.02054), so
    /// that their moments together take the memory that they take in one. What is trained is the same.
    pub sharded: bool,
    /// Decay of the moving average of the weights, from 0 to below 1.
    pub ema_decay: f64,
    /// What is otherwise for some weights, by the name of the part of the partition or of the modality whose ends they are.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub parts: BTreeMap<String, PartOptimizerConfig>,
}

/// What is otherwise for the weights of one part, or of the ends of one modality.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct PartOptimizerConfig {
    /// What the learning rate is multiplied by, from 0.
    pub learning_rate_factor: f64,
    /// Weight decay of its matrices; that of all others if absent.
    pub weight_decay: Option<f64>,
    /// Whether its weights stay as they are: they have no gradient, no moments and no average.
    pub frozen: bool,
}

impl Default for PartOptimizerConfig {
    fn default() -> Self {
        Self { learning_rate_factor: 1.0, weight_decay: None, frozen: false }
    }
}

impl Default for OptimizerConfig {
    /// Transfusion's (section 4.1), with a moving average.
    fn default() -> Self {
        Self {
            learning_rate: 3e-4,
            final_learning_rate: 1.5e-5,
            warmup_steps: 4000,
            schedule: Schedule::default(),
            decay_fraction: 0.2,
            betas: [0.9, 0.95],
            matrices: MatrixOptimizer::default(),
            momentum: 0.95,
            epsilon: 1e-8,
            weight_decay: 0.1,
            max_gradient_norm: 1.0,
            sharded: false,
            ema_decay: 0.999,
            parts: BTreeMap::new(),
        }
    }
}

impl OptimizerConfig {
    /// What is otherwise for a weight, if anything is.
    pub(crate) fn of_weight(&self, weight: &ParameterInfo) -> Option<&PartOptimizerConfig> {
        if self.parts.is_empty() {
            return None;
        }
        self.parts.get(part_of(weight).or(tower_of(weight))?)
    }

    /// Whether a weight is a matrix of the backbone's that Muon updates.
    pub(crate) fn orthogonalizes(&self, weight: &ParameterInfo) -> bool {
        self.matrices == MatrixOptimizer::Muon && weight.shape.len() == 2 && part_of(weight).is_some()
    }

    /// Checks the settings.
    ///
    /// # Errors
    /// Names the key, what was expected and what was found.
    pub fn validate(&self) -> Result<(), TrainError> {
        let above = |key: &str, value: f64| match value > 0.0 && value.is_finite() {
            true => Ok(()),
            false => Err(TrainError::setting(&format!("optimizer.{key}"), "a number above 0", value)),
        };
        let below_one = |key: &str, value: f64| match (0.0..1.0).contains(&value) {
            true => Ok(()),
            false => Err(TrainError::setting(&format!("optimizer.{key}"), "a number from 0 to below 1", value)),
        };
        above("learning_rate", self.learning_rate)?;
        if !(self.decay_fraction > 0.0 && self.decay_fraction <= 1.0) {
            let expected = "a number above 0, at most 1";
            return Err(TrainError::setting("optimizer.decay_fraction", expected, self.decay_fraction));
        }
        above("epsilon", self.epsilon)?;
        above("max_gradient_norm", self.max_gradient_norm)?;
        below_one("betas", self.betas[0])?;
        below_one("betas", self.betas[1])?;
        below_one("ema_decay", self.ema_decay)?;
        below_one("momentum", self.momentum)?;
        for (key, value) in
            [("optimizer.weight_decay", self.weight_decay), ("optimizer.final_learning_rate", self.final_learning_rate)]
        {
            if !(value >= 0.0 && value.is_finite()) {
                return Err(TrainError::setting(key, "a number from 0", value));
            }
        }
        for (name, part) in &self.parts {
            let decay = part.weight_decay.unwrap_or(0.0);
            for (key, value) in [("learning_rate_factor", part.learning_rate_factor), ("weight_decay", decay)] {
                if !(value >= 0.0 && value.is_finite()) {
                    return Err(TrainError::setting(
                        &format!("optimizer.parts.{name}.{key}"),
                        "a number from 0",
                        value,
                    ));
                }
            }
        }
        Ok(())
    }
}
