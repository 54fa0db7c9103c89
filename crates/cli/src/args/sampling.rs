//! How images and texts are sampled, where a command says otherwise than the run.

use clap::ValueEnum;
use interfuse_sampling::{SamplingConfig, SamplingError, Solver};

/// How images are sampled; what is absent is as the run's configuration says.
#[derive(Debug, Clone, clap::Args)]
pub(crate) struct SamplingArgs {
    /// Scale of classifier-free guidance; 1 is none
    #[arg(long)]
    pub(crate) guidance: Option<f64>,
    /// Denoise steps
    #[arg(long)]
    pub(crate) steps: Option<usize>,
    /// How a step is taken
    #[arg(long, value_enum)]
    pub(crate) solver: Option<SolverName>,
    /// Temperature of the next token; 0 takes the likeliest
    #[arg(long)]
    pub(crate) temperature: Option<f64>,
    /// Temperature of the next code of an image; 0 takes the likeliest
    #[arg(long)]
    pub(crate) code_temperature: Option<f64>,
    /// Sample among so many of the likeliest tokens, codes or units alone
    #[arg(long)]
    pub(crate) top_k: Option<usize>,
    /// Sample among the likeliest tokens, codes or units that together have this probability
    #[arg(long)]
    pub(crate) top_p: Option<f64>,
}

impl SamplingArgs {
    /// The settings of a run with what the command line changes.
    pub(crate) fn over(&self, base: &SamplingConfig) -> Result<SamplingConfig, SamplingError> {
        let mut sampling = base.clone();
        sampling.guidance = self.guidance.unwrap_or(sampling.guidance);
        sampling.steps = self.steps.unwrap_or(sampling.steps);
        sampling.temperature = self.temperature.unwrap_or(sampling.temperature);
        sampling.code_temperature = self.code_temperature.unwrap_or(sampling.code_temperature);
        sampling.top_k = self.top_k.or(sampling.top_k);
        sampling.top_p = self.top_p.unwrap_or(sampling.top_p);
        sampling.solver = self.solver.map(Into::into).or(sampling.solver);
        sampling.validate()?;
        Ok(sampling)
    }
}

#[derive(Debug, Clone, Copy, ValueEnum)]
pub(crate) enum SolverName {
    /// First order, rectified flow
    Euler,
    /// Second order, rectified flow
    Heun,
    /// Deterministic, DDPM
    Ddim,
    /// With fresh noise at every step, DDPM
    Ancestral,
}

impl From<SolverName> for Solver {
    fn from(name: SolverName) -> Self {
        match name {
            SolverName::Euler => Self::Euler,
            SolverName::Heun => Self::Heun,
            SolverName::Ddim => Self::Ddim,
            SolverName::Ancestral => Self::Ancestral,
        }
    }
}
