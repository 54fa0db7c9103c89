//! `interfuse scaling`: laws of loss against size and tokens, fitted to a table, and what follows from them.

mod barrier;
mod batch;
mod beside;
mod file;
mod fit;
mod mixed;
mod plot;
mod predict;
mod sweep;

use std::path::Path;

use interfuse_scaling::Interval;

use crate::args::{CalibrateArgs, ScalingCommand};

pub(crate) fn run(command: &ScalingCommand) -> anyhow::Result<()> {
    match command {
        ScalingCommand::Fit(args) => fit::run(args),
        ScalingCommand::Predict(args) => predict::run(args),
        ScalingCommand::Barrier(args) => barrier::run(args),
        ScalingCommand::Plot(args) => plot::run(args),
        ScalingCommand::Calibrate(args) => sweep::calibrate(args),
        ScalingCommand::Plan(args) => sweep::plan(args),
        ScalingCommand::Sweep(args) => sweep::sweep(args),
        ScalingCommand::Batch(args) => batch::run(args),
        ScalingCommand::Phenomena(args) => sweep::measure_phenomena(args),
        ScalingCommand::Modalities(args) => sweep::modalities(args),
    }
}

/// Measures a sweep, for whoever runs one as part of something larger.
pub(super) fn calibrate(sweep: &Path, out: &Path) -> anyhow::Result<()> {
    sweep::calibrate(&CalibrateArgs { sweep: sweep.to_path_buf(), steps: 5, out: out.to_path_buf() })
}

pub(super) use self::beside::beside_the_paper;
pub(super) use self::fit::run as fit;
pub(super) use self::plot::run as plot;
pub(super) use self::sweep::{sweep, this_program};

/// A count of parameters or tokens in few letters: 8.00M, 1.38B; beyond a thousand T as 1.23e17.
fn short(count: f64) -> String {
    for (least, letter) in [(1e12, "T"), (1e9, "B"), (1e6, "M"), (1e3, "K")] {
        // What would be rounded up to the next letter has it already.
        if count >= least * 0.9995 && count < least * 1e3 * 0.9995 {
            let digits = count / least;
            let decimals = if digits < 9.995 { 2 } else { usize::from(digits < 99.95) };
            return format!("{digits:.decimals$}{letter}");
        }
    }
    if (0.01..1e3).contains(&count) { format!("{count:.3}") } else { format!("{count:.2e}") }
}

/// `8.00M to 9.10M (95 %)`
fn short_interval(interval: &Interval) -> String {
    format!("{} to {} ({} %)", short(interval.low), short(interval.high), interval.level * 100.0)
}

/// A constant to seven digits, as a power of ten where it is large or small.
fn constant(value: f64) -> String {
    match value.abs() {
        magnitude if magnitude == 0.0 || (1e-3..1e3).contains(&magnitude) => format!("{value:.6}"),
        magnitude if (1e3..1e6).contains(&magnitude) => format!("{value:.3}"),
        _ => format!("{value:.6e}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_are_short() {
        for (count, expected) in [
            (8e6, "8.00M"),
            (1.38e9, "1.38B"),
            (70e6, "70.0M"),
            (543_482_880.0, "543M"),
            (999_999.9, "1.00M"),
            (1.23e17, "1.23e17"),
            (12.0, "12.000"),
        ] {
            assert_eq!(short(count), expected);
        }
    }
}
