//! Settings of sampling.

use interfuse_image_tower::NoiseProcess;
use serde::{Deserialize, Serialize};

use crate::error::SamplingError;

/// Settings of sampling.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct SamplingConfig {
    /// Denoise steps of an image.
    pub steps: usize,
    /// Scale of classifier-free guidance (2207.12598): 1 is the model as it is, more follows the prompt more closely.
    pub guidance: f64,
    /// How a step is taken; Euler for rectified flow and DDIM for DDPM if absent.
    pub solver: Option<Solver>,
    /// Shift of the times at which the network is asked, as in training; above 1 more steps are spent near the noise.
    pub shift: f64,
    /// Temperature of the next token; 0 takes the likeliest.
    pub temperature: f64,
    /// The most tokens that the model writes in one stretch.
    pub max_tokens: usize,
    /// The most sequences that run at once, guidance's included.
    pub max_batch: usize,
}

impl Default for SamplingConfig {
    fn default() -> Self {
        Self { steps: 40, guidance: 2.0, solver: None, shift: 1.0, temperature: 0.0, max_tokens: 64, max_batch: 128 }
    }
}

/// How a denoise step is taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Solver {
    /// First order along the flow.
    Euler,
    /// Second order along the flow: two evaluations a step (2206.00364, algorithm 1).
    Heun,
    /// Deterministic DDPM (2010.02502).
    Ddim,
    /// DDPM with fresh noise at every step (2006.11239, algorithm 2).
    Ancestral,
}

impl SamplingConfig {
    /// The solver for a process.
    ///
    /// # Errors
    /// When the one that was asked for is of the other process.
    pub fn solver_for(&self, process: NoiseProcess) -> Result<Solver, SamplingError> {
        let (fitting, default): (&[Solver], Solver) = match process {
            NoiseProcess::RectifiedFlow => (&[Solver::Euler, Solver::Heun], Solver::Euler),
            NoiseProcess::Ddpm => (&[Solver::Ddim, Solver::Ancestral], Solver::Ddim),
        };
        match self.solver {
            None => Ok(default),
            Some(solver) if fitting.contains(&solver) => Ok(solver),
            Some(solver) => Err(SamplingError::setting(
                "solver",
                format!("one of {fitting:?}, which fit a model of process {process:?}"),
                format!("{solver:?}"),
            )),
        }
    }

    /// Checks the settings.
    ///
    /// # Errors
    /// Names the key, what was expected and what was found.
    pub fn validate(&self) -> Result<(), SamplingError> {
        let at_least_one = [("steps", self.steps), ("max_tokens", self.max_tokens)];
        for (key, value) in at_least_one {
            if value == 0 {
                return Err(SamplingError::setting(key, "at least 1", 0));
            }
        }
        if self.steps > 1000 {
            return Err(SamplingError::setting("steps", "at most 1000", self.steps));
        }
        if self.max_batch < 2 {
            return Err(SamplingError::setting(
                "max_batch",
                "at least 2, one sequence and its guidance",
                self.max_batch,
            ));
        }
        for (key, value) in [("guidance", self.guidance), ("temperature", self.temperature)] {
            if !(value >= 0.0 && value.is_finite()) {
                return Err(SamplingError::setting(key, "a number from 0", value));
            }
        }
        if !(self.shift > 0.0 && self.shift.is_finite()) {
            return Err(SamplingError::setting("shift", "a number above 0", self.shift));
        }
        Ok(())
    }
}
