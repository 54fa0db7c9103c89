//! `interfuse scaling barrier`: where two modalities begin to help each other.

use anyhow::bail;
use interfuse_scaling::mixed::{Interaction, barrier};

use super::file::{FitFile, Fitted, Mixed};
use super::{short, short_interval};
use crate::args::BarrierArgs;
use crate::print::say;

pub(super) fn run(args: &BarrierArgs) -> anyhow::Result<()> {
    let file = FitFile::read(&args.fit)?;
    let mixed = match &file.fit {
        Fitted::Mixed(mixed) => mixed,
        Fitted::Single(single) => bail!(
            "{} is a fit of `{}` alone: a barrier is of two modalities, fitted with --pair",
            args.fit.display(),
            single.modality
        ),
    };
    let Interaction { c, a, b, alpha, beta } = mixed.fit.law.interaction;
    say!("{}: interaction {:+.4} + {a:.4e} / N^{alpha:.4} + {b:.4e} / D^{beta:.4}", mixed.pair(), -c);
    let exist = mixed.bootstrap.fraction(|law| law.interaction.c > 0.0);
    say!("a barrier exists in {:.0} % of resampled laws", 100.0 * exist);
    mixed.warnings.iter().for_each(|warning| say!("warning: {warning}"));
    if c <= 0.0 {
        say!(
            "there is no barrier: C is {c:.4}, not above 0, so that by this law the two never help each other, \
             whatever the size and the tokens"
        );
        return Ok(());
    }
    match (args.params, args.tokens) {
        (Some(params), _) => tokens_from(mixed, params)?,
        (None, Some(tokens)) => params_from(mixed, tokens)?,
        (None, None) => {}
    }
    cheapest(mixed)
}

/// Says from how many tokens on models of a size gain.
fn tokens_from(mixed: &Mixed, params: f64) -> anyhow::Result<()> {
    let law = &mixed.fit.law.interaction;
    let Some(tokens) = barrier::tokens_at(law, params)? else {
        let cost = law.a * params.powf(-law.alpha);
        say!(
            "at N {} there is no barrier: competition for parameters costs {cost:.4}, more than the {:.4} that there is to \
             gain, however many tokens; N must be above {}",
            short(params),
            law.c,
            short((law.a / law.c).powf(1.0 / law.alpha))
        );
        return Ok(());
    };
    say!("at N {} the two help each other from D {} on, the tokens of both", short(params), short(tokens));
    say_interval(mixed, |law| barrier::tokens_at(law, params).ok().flatten());
    say_beyond(mixed, params, tokens);
    Ok(())
}

/// Says from which size on models of so many tokens gain.
fn params_from(mixed: &Mixed, tokens: f64) -> anyhow::Result<()> {
    let law = &mixed.fit.law.interaction;
    let Some(params) = barrier::params_at(law, tokens)? else {
        let cost = law.b * tokens.powf(-law.beta);
        say!(
            "at D {} there is no barrier: competition in optimization costs {cost:.4}, more than the {:.4} that there is to \
             gain, whatever the size; D must be above {}",
            short(tokens),
            law.c,
            short((law.b / law.c).powf(1.0 / law.beta))
        );
        return Ok(());
    };
    say!("at D {}, the tokens of both, the two help each other from N {} on", short(tokens), short(params));
    say_interval(mixed, |law| barrier::params_at(law, tokens).ok().flatten());
    say_beyond(mixed, params, tokens);
    Ok(())
}

/// Says where the barrier is passed with the least FLOPs.
fn cheapest(mixed: &Mixed) -> anyhow::Result<()> {
    let Some(point) = barrier::cheapest(&mixed.fit.law.interaction)? else {
        say!("the place of least FLOPs on the barrier is beyond all numbers");
        return Ok(());
    };
    let interval = |value: fn(&barrier::BarrierPoint) -> f64| {
        let of = |law: &Interaction| barrier::cheapest(law).ok().flatten().map_or(f64::NAN, |point| value(&point));
        mixed.bootstrap.interval(|law| of(&law.interaction))
    };
    say!("least FLOPs on the barrier: {:.3e}", point.flops);
    say!("  N {}   {}", short(point.params), short_interval(&interval(|point| point.params)));
    say!("  D {}   {}", short(point.tokens), short_interval(&interval(|point| point.tokens)));
    say!("  FLOPs {}", flops_interval(&interval(|point| point.flops)));
    say_beyond(mixed, point.params, point.tokens);
    Ok(())
}

fn flops_interval(interval: &interfuse_scaling::Interval) -> String {
    format!("{:.2e} to {:.2e} ({} %)", interval.low, interval.high, interval.level * 100.0)
}

/// Says the interval over resampled laws in which the place exists, and in how many that is.
fn say_interval(mixed: &Mixed, place: impl Fn(&Interaction) -> Option<f64>) {
    let interval = mixed.bootstrap.interval(|law| place(&law.interaction).unwrap_or(f64::NAN));
    let exist = mixed.bootstrap.fraction(|law| place(&law.interaction).is_some());
    match exist > 0.0 {
        true => say!(
            "  {}, over the {:.0} % of resampled laws in which it exists",
            short_interval(&interval),
            100.0 * exist
        ),
        false => say!("  in no resampled law it exists"),
    }
}

fn say_beyond(mixed: &Mixed, params: f64, tokens: f64) {
    if let Some(beyond) = mixed.range.beyond(params, tokens) {
        say!("warning: {beyond}");
    }
}
