//! `interfuse scaling predict`: the loss at a size and a number of tokens, or the best size for a budget.

use anyhow::{bail, ensure};
use interfuse_scaling::Interval;
use interfuse_scaling::optimal::{compute_optimal_interval, predict};

use super::file::{FitFile, Fitted, Mixed, Single};
use super::{short, short_interval};
use crate::args::PredictArgs;
use crate::print::say;
use serde_json::{Value, json};

pub(super) fn run(args: &PredictArgs) -> anyhow::Result<()> {
    args.answer.begin();
    let file = FitFile::read(&args.fit)?;
    let answer = match (&file.fit, args.flops, args.params.zip(args.tokens)) {
        (Fitted::Mixed(mixed), None, Some(place)) if args.modality.is_none() => of_pair(mixed, place, args.first_share),
        (_, None, Some(place)) => of_place(file.single(args.modality.as_deref())?, place),
        (_, Some(flops), _) => of_budget(file.single(args.modality.as_deref())?, flops),
        (_, None, None) => bail!("expected --params and --tokens, or --flops"),
    }?;
    args.answer.give(&answer)
}

fn of_place(single: &Single, place: (f64, f64)) -> anyhow::Result<Value> {
    let prediction = predict(&single.fit.law, &single.bootstrap, &single.residuals, place)?;
    say!("{} at N {}, D {}", single.modality, short(place.0), short(place.1));
    say_loss(prediction.loss, &prediction.law, &prediction.run);
    let beyond = say_beyond(single.range.beyond(place.0, place.1));
    Ok(json!({
        "modality": single.modality, "params": place.0, "tokens": place.1, "loss": prediction.loss,
        "law": prediction.law, "run": prediction.run, "warning": beyond,
    }))
}

fn of_budget(single: &Single, flops: f64) -> anyhow::Result<Value> {
    let best = compute_optimal_interval(&single.fit.law, &single.bootstrap, flops)?;
    let place = (best.allocation.params, best.allocation.tokens);
    say!("{} with {flops:.3e} FLOPs, 6 N D", single.modality);
    say!("  best N     {}   {}", short(place.0), short_interval(&best.params));
    say!("  best D     {}   {}", short(place.1), short_interval(&best.tokens));
    say!("  tokens a parameter {:.1}", place.1 / place.0);
    let prediction = predict(&single.fit.law, &single.bootstrap, &single.residuals, place)?;
    say_loss(best.allocation.loss, &best.loss, &prediction.run);
    let beyond = say_beyond(single.range.beyond(place.0, place.1));
    Ok(json!({
        "modality": single.modality, "flops": flops, "params": place.0, "params_interval": best.params,
        "tokens": place.1, "tokens_interval": best.tokens, "loss": best.allocation.loss, "law": best.loss,
        "run": prediction.run, "warning": beyond,
    }))
}

fn of_pair(mixed: &Mixed, (params, tokens): (f64, f64), share: f64) -> anyhow::Result<Value> {
    ensure!(share > 0.0 && share < 1.0, "--first-share: expected above 0 and below 1, found {share}");
    let (first, second) = (share * tokens, (1.0 - share) * tokens);
    let (law, bootstrap) = (&mixed.fit.law, &mixed.bootstrap);
    let interval = bootstrap.interval(|law| law.loss(params, first, second));
    // A run lies below its law by the residual: L = L̂ exp(−residual).
    let runs: Vec<f64> = bootstrap
        .laws
        .iter()
        .flat_map(|law| mixed.residuals.iter().map(move |residual| law.loss(params, first, second) * (-residual).exp()))
        .collect();
    let run = Interval::of_samples(&runs, interval.level);
    say!("{} at N {}, D {} ({} and {})", mixed.pair(), short(params), short(tokens), short(first), short(second));
    say_loss(law.loss(params, first, second), &interval, &run);
    let delta = law.interaction.delta(params, tokens);
    let deltas = bootstrap.interval(|law| law.interaction.delta(params, tokens));
    let kind = if delta < 0.0 { "synergy" } else { "competition" };
    say!("  interaction {delta:+.4}   {deltas:.4}: {kind}");
    let synergy = bootstrap.fraction(|law| law.interaction.delta(params, tokens) < 0.0);
    say!("  synergy in {:.0} % of resampled laws", 100.0 * synergy);
    let beyond = say_beyond(mixed.range.beyond(params, tokens));
    Ok(json!({
        "pair": mixed.pair(), "params": params, "tokens": tokens, "first_share": share,
        "loss": law.loss(params, first, second), "law": interval, "run": run, "interaction": delta,
        "interaction_interval": deltas, "synergy": synergy, "warning": beyond,
    }))
}

fn say_loss(loss: f64, law: &Interval, run: &Interval) {
    say!("  loss       {loss:.4}   law {law:.4}");
    say!("                      one run {run:.4}");
}

fn say_beyond(beyond: Option<String>) -> Option<String> {
    if let Some(beyond) = &beyond {
        say!("warning: {beyond}");
    }
    beyond
}
