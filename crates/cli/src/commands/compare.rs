//! `interfuse compare RUN RUN…`: how much sooner one run reaches the losses of another.

use std::path::Path;

use anyhow::Context as _;
use interfuse_run::comparison::{Comparison, Matched, compare};
use serde_json::Value;

use crate::args::CompareArgs;
use crate::print::say;

pub(crate) fn run(args: &CompareArgs) -> anyhow::Result<()> {
    args.answer.begin();
    show(&compare(&args.runs, args.settings()?)?, &args.out)?;
    let path = args.out.join("comparison.json");
    let text = std::fs::read(&path).with_context(|| format!("cannot read {}", path.display()))?;
    args.answer.give(&serde_json::from_slice::<Value>(&text)?)
}

/// Prints what was found, and writes the page.
pub(super) fn show(comparison: &Comparison, out: &Path) -> anyhow::Result<()> {
    for note in &comparison.notes {
        say!("note: {note}");
    }
    slopes(comparison);
    for unmatched in &comparison.unmatched {
        say!("{}, {}: no match, for {}", unmatched.group, unmatched.loss, unmatched.reason);
    }
    let page = comparison.save(out)?;
    say!("wrote {}", page.display());
    Ok(())
}

/// One line a loss: the slope, its interval, the paper's, and the ratio of costs to equal loss.
fn slopes(comparison: &Comparison) {
    let (reference, unit) = (&comparison.reference().name, comparison.unit);
    let names = comparison.matched.iter().map(|matched| matched.group.chars().count());
    let losses = comparison.matched.iter().map(|matched| matched.loss.to_string().chars().count());
    let [run, loss] = [names.max(), losses.max()].map(|width| width.unwrap_or(0).max(4));
    say!("fraction of {reference}'s {unit} to the same loss");
    say!("{:run$}  {:loss$}  slope  95 % interval     {:11}  FLOPs  seconds", "run", "loss", "paper's mot");
    for matched in &comparison.matched {
        let interval = matched.interval().map_or(String::new(), |ends| format!("{:.3} to {:.3}", ends.low, ends.high));
        let paper = comparison.settings.paper.and_then(|paper| paper.slope(&matched.loss));
        let [paper, flops, seconds] = [paper, ratio(matched, Cost::Flops), ratio(matched, Cost::Seconds)]
            .map(|number| number.map_or("–".to_string(), |number| format!("{number:.3}")));
        let (group, name, slope) = (&matched.group, matched.loss.to_string(), matched.slope);
        say!("{group:run$}  {name:loss$}  {slope:.3}  {interval:16}  {paper:11}  {flops:5}  {seconds}");
    }
}

enum Cost {
    Flops,
    Seconds,
}

/// What the lowest loss that both reach costs, over what it costs the reference.
fn ratio(matched: &Matched, cost: Cost) -> Option<f64> {
    let [reference, other] = match cost {
        Cost::Flops => matched.to_equal_loss.flops?,
        Cost::Seconds => matched.to_equal_loss.seconds?,
    };
    (reference > 0.0).then(|| other / reference)
}
