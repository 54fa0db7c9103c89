//! `interfuse scaling batch`: which batch is best, and whether that goes with the law of a pair.

use interfuse_scaling::uncertainty::BootstrapSettings;
use interfuse_sweep::batches::{answer, answer_path};

use super::sweep::{Kind, exponents_of, planned, train};
use crate::args::BatchArgs;
use crate::print::say;

/// Trains what is left of a sweep over batches, and answers by what is finished.
pub(super) fn run(args: &BatchArgs) -> anyhow::Result<()> {
    let exponents = exponents_of(&args.fits)?;
    let (sweep, out) = (&args.sweep, &args.sweep.out);
    let plan = planned(&sweep.sweep, sweep.calibration.as_ref(), Kind::Batches)?;
    let trained = train(&plan, sweep);
    if sweep.list {
        return trained;
    }
    // Runs that failed are no reason to keep back what the others say.
    let bootstrap = BootstrapSettings::default();
    answer(&plan, out, exponents, bootstrap)?.to_text().lines().for_each(|line| say!("{line}"));
    say!("answer: {}", answer_path(out).display());
    trained
}
