//! `interfuse evaluate`: numbers for a trained model, on the data that it was trained on.

use interfuse_run::measuring::{EvaluationOptions, Published, evaluate};

use crate::args::EvaluateArgs;
use crate::terminal::{Terminal, print_report};

pub(crate) fn run(args: &EvaluateArgs) -> anyhow::Result<()> {
    args.answer.begin();
    // Weights that are not there are told before anything is generated.
    let published = Published::open(&args.networks.options(), &interfuse_run::device::open(&args.model.device)?)?;
    let loaded = args.model.open()?;
    let options = EvaluationOptions {
        count: args.count,
        seed: args.seed,
        sampling: args.sampling.over(&loaded.sampling())?,
        published,
    };
    let mut terminal = Terminal::default();
    let report = evaluate(&loaded, &options, &mut terminal)?;
    drop(terminal);
    print_report(&report);
    args.answer.give(&report.value)
}
