//! Settings of sampling.

use interfuse_image_tower::{NoiseProcess, PredictionTarget, TimestepSpacing};
use serde::{Deserialize, Serialize};

use crate::error::SamplingError;

/// Settings of sampling.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct SamplingConfig {
    /// Denoise steps of an image, from 1 to 1000. Images of codes have none.
    pub steps: usize,
    /// Scale of classifier-free guidance (2207.12598), from 0: 1 is the model as it is, more follows the prompt more closely.
    pub guidance: f64,
    /// Scale of the guidance by the user's images when one of them is edited, from 0: 1 is the model as it is, more keeps closer
    /// to them (2211.09800). Only for images that are denoised, as are the two keys that follow.
    pub image_guidance: f64,
    /// The times, from 0 (clean) to 1 (noise), between which there is guidance (2404.07724).
    pub guidance_interval: [f64; 2],
    /// How far the deviation of a guided prediction is brought back to that of the unguided one, from 0 to 1: against colours
    /// that a strong guidance overdoes (2305.08891).
    pub guidance_rescale: f64,
    /// How a step is taken; Euler for rectified flow and DDIM for DDPM if absent.
    pub solver: Option<Solver>,
    /// The times at which the network is asked. Rectified flow has `trailing` alone; for DDPM it is `leading` if absent where
    /// the model predicts the noise, else `trailing`.
    pub spacing: Option<TimestepSpacing>,
    /// Shift of the times at which the network is asked, as in training, above 0; above 1 more steps are spent near the noise. For DDPM
    /// they are rounded to the steps of the process, and those that meet there are taken once.
    pub shift: f64,
    /// Temperature of the next token, from 0; 0 takes the likeliest.
    pub temperature: f64,
    /// Temperature of the next code of an image, where images are codes, from 0; 0 takes the likeliest.
    pub code_temperature: f64,
    /// Temperature of the next unit of speech, from 0; 0 takes the likeliest (GSLM, 2102.01192, samples at 0.7).
    pub unit_temperature: f64,
    /// Only so many of the likeliest tokens, codes or units are sampled among, at least 1; all if absent.
    pub top_k: Option<usize>,
    /// Only the likeliest tokens, codes or units that together have this probability are sampled among, above 0 and to 1
    /// (nucleus sampling, 1904.09751).
    pub top_p: f64,
    /// The most tokens, at least 1, that the model writes in one stretch when it writes and draws by itself.
    pub max_tokens: usize,
    /// The most tokens of a caption, at least 1; as many as the longest document of training had if absent.
    pub max_caption_tokens: Option<usize>,
    /// The most units of a stretch of speech, at least 1; as many as the longest document of training had if absent.
    pub max_units: Option<usize>,
    /// The most sequences that run at once, guidance's included; at least 2.
    pub max_batch: usize,
}

impl Default for SamplingConfig {
    fn default() -> Self {
        Self {
            steps: 40,
            guidance: 2.0,
            image_guidance: 1.0,
            guidance_interval: [0.0, 1.0],
            guidance_rescale: 0.0,
            solver: None,
            spacing: None,
            shift: 1.0,
            temperature: 0.0,
            code_temperature: 1.0,
            unit_temperature: 0.7,
            top_k: None,
            top_p: 1.0,
            max_tokens: 64,
            max_caption_tokens: None,
            max_units: None,
            max_batch: 128,
        }
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

    /// The spacing for a process and what its model predicts.
    ///
    /// # Errors
    /// When the one that was asked for is of DDPM alone and the process is another.
    pub fn spacing_for(
        &self,
        process: NoiseProcess,
        prediction: PredictionTarget,
    ) -> Result<TimestepSpacing, SamplingError> {
        match (process, self.spacing) {
            (NoiseProcess::RectifiedFlow, None | Some(TimestepSpacing::Trailing)) => Ok(TimestepSpacing::Trailing),
            (NoiseProcess::RectifiedFlow, Some(spacing)) => Err(SamplingError::setting(
                "spacing",
                "Trailing, for rectified flow starts at pure noise",
                format!("{spacing:?}"),
            )),
            (NoiseProcess::Ddpm, spacing) => Ok(spacing.unwrap_or(TimestepSpacing::for_prediction(prediction))),
        }
    }

    /// Whether images are generated with guidance, so that a batch holds two sequences of each.
    pub fn is_guided(&self) -> bool {
        self.guidance != 1.0
    }

    /// Checks the settings.
    ///
    /// # Errors
    /// Names the key, what was expected and what was found.
    pub fn validate(&self) -> Result<(), SamplingError> {
        let at_least_one = [
            ("steps", self.steps),
            ("max_tokens", self.max_tokens),
            ("max_caption_tokens", self.max_caption_tokens.unwrap_or(1)),
            ("max_units", self.max_units.unwrap_or(1)),
            ("top_k", self.top_k.unwrap_or(1)),
        ];
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
        let from_zero = [
            ("guidance", self.guidance),
            ("image_guidance", self.image_guidance),
            ("temperature", self.temperature),
            ("code_temperature", self.code_temperature),
            ("unit_temperature", self.unit_temperature),
        ];
        for (key, value) in from_zero {
            if !(value >= 0.0 && value.is_finite()) {
                return Err(SamplingError::setting(key, "a number from 0", value));
            }
        }
        let [from, until] = self.guidance_interval;
        if !(0.0 <= from && from <= until && until <= 1.0) {
            let expected = "two times from 0 to 1, the smaller one first";
            return Err(SamplingError::setting("guidance_interval", expected, format!("{:?}", self.guidance_interval)));
        }
        if !(0.0..=1.0).contains(&self.guidance_rescale) {
            return Err(SamplingError::setting("guidance_rescale", "a number from 0 to 1", self.guidance_rescale));
        }
        if !(self.top_p > 0.0 && self.top_p <= 1.0) {
            return Err(SamplingError::setting("top_p", "a probability above 0, to 1", self.top_p));
        }
        if !(self.shift > 0.0 && self.shift.is_finite()) {
            return Err(SamplingError::setting("shift", "a number above 0", self.shift));
        }
        Ok(())
    }
}
