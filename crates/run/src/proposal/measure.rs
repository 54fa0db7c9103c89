//! Some steps on this machine.

use std::path::Path;
use std::time::{Duration, Instant};

use burn::tensor::Device;
use interfuse_data::LoaderCursor;
use interfuse_kernels::Precision;
use interfuse_trainer::Learner as _;
use interfuse_transfusion::ParameterCounts;

use super::choose::{Proposal, propose};
use super::facts::Facts;
use super::speed::{Speed, Timing};
use crate::error::Result;
use crate::memory;
use crate::plan::Plan;
use crate::settings::Settings;

/// Steps between two visits of the same documents.
const ROUND: usize = 2;
/// The most steps that are timed.
const MOST_STEPS: usize = 40;
/// What is usually measured one after the other: two candidates, and what is proposed.
const MEASUREMENTS: u32 = 3;

/// What some steps of a proposal showed.
#[derive(Debug, Clone, PartialEq)]
pub struct Measured {
    /// The median step.
    pub timing: Timing,
    /// How many steps that is the median of.
    pub steps: usize,
    /// Weights of the model.
    pub weights: usize,
    /// Bytes that a step takes by the shapes of the plan.
    pub memory: usize,
    /// What its products are computed in.
    pub precision: Precision,
    /// Where it was computed.
    pub device: String,
}

/// Measures this machine for about so long, chooses, and measures what was chosen; once more where that shows that another
/// candidate fits better.
///
/// # Errors
/// When a wish is out of its range, not even the smallest model fits into memory, the data cannot be opened, or a step fails.
pub fn fit(facts: &Facts, for_about: Duration) -> Result<(Proposal, Measured)> {
    let each = for_about / MEASUREMENTS;
    let speed = measure_speed(facts, each)?;
    let mut proposal = propose(facts, speed)?;
    let mut measured = measure(&proposal, each)?;
    let better = propose(facts, speed.corrected(proposal.seconds_per_step, measured.timing.seconds))?;
    if (better.candidate, better.documents) != (proposal.candidate, proposal.documents) {
        proposal = better;
        measured = measure(&proposal, each)?;
    }
    Ok((proposal.timed(measured.timing), measured))
}

/// Takes steps of a proposal for about so long, at least two. Nothing is written.
///
/// Images are read before what is timed, for training keeps them once they are read.
///
/// # Errors
/// When the configuration does not fit together, the data cannot be opened, or a step fails.
fn measure(proposal: &Proposal, for_about: Duration) -> Result<Measured> {
    let plan = Plan::new(Settings::parse(&proposal.toml(None)?, Path::new("the proposed configuration"), &[])?)?;
    let mut trainer = plan.trainer(LoaderCursor::default())?;
    let weights = ParameterCounts::of(&trainer.model, &plan.card.model).stored;
    for _ in 0..ROUND {
        trainer.step()?;
    }
    let started = Instant::now();
    let (mut seconds, mut flops) = (vec![], 0.0);
    while seconds.len() < ROUND || (seconds.len() < MOST_STEPS && started.elapsed() < for_about) {
        trainer.loader = plan.loader(LoaderCursor::default())?;
        for _ in 0..ROUND {
            let report = trainer.step()?;
            seconds.push(report.seconds);
            flops = report.flops;
        }
    }
    seconds.sort_by(f64::total_cmp);
    Ok(Measured {
        timing: Timing { flops, seconds: seconds[seconds.len() / 2] },
        steps: seconds.len(),
        weights,
        memory: memory::of_step(&plan, weights)?.total(),
        precision: plan.settings.train.precision.on(&plan.device),
        device: if plan.device == Device::flex() { "the CPU".into() } else { crate::device::name(&plan.device) },
    })
}

/// The speed of this machine on steps of two candidates, for about so long each.
///
/// # Errors
/// As [`measure`], and when not even the smallest candidate fits into memory.
fn measure_speed(facts: &Facts, for_about: Duration) -> Result<Speed> {
    let [small, large] = Proposal::to_measure(facts)?;
    // The rules reckon with documents as they are, so what padding costs belongs to the seconds.
    let timing = |proposal: &Proposal| {
        let flops = proposal.candidate.flops(facts) * proposal.documents as f64;
        measure(proposal, for_about).map(|measured| Timing { flops, ..measured.timing })
    };
    Ok(Speed::through(timing(&small)?, timing(&large)?))
}
