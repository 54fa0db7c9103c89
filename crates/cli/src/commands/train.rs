//! `interfuse train`: from a configuration to a run folder.

use std::time::Instant;

use interfuse_data::Collections;
use interfuse_run::training::{Follower, Resumed};
use interfuse_run::{Run, Settings, duration, sentence};
use interfuse_trainer::{Outcome, Ranks};
use interfuse_transfusion::ParameterCounts;

use crate::args::TrainArgs;
use crate::print::{say, say_error};
use crate::stopping::stop_when_asked;
use crate::terminal::{Terminal, print_report};

pub(crate) fn run(args: &TrainArgs) -> anyhow::Result<()> {
    let ranks = interfuse_run::ranks::join()?;
    let outcome = if ranks.rank() == 0 { lead(args, &ranks) } else { follow(args, &ranks) };
    if let (Err(error), 2..) = (&outcome, ranks.size()) {
        // The others would wait for this rank for ever.
        say_error!("error on {ranks:?}: {}", sentence(error.as_ref()));
        ranks.abort();
    }
    outcome
}

/// Computes a share of every step, without a word.
fn follow(args: &TrainArgs, ranks: &Ranks) -> anyhow::Result<()> {
    let settings = Settings::load(&args.config.config, &args.config.overrides)?;
    let stop = stop_when_asked()?;
    let mut follower = match args.resume {
        true => Follower::resume(settings, ranks)?,
        false => Follower::begin(settings, ranks)?,
    };
    follower.train(&stop)?;
    Ok(())
}

fn lead(args: &TrainArgs, ranks: &Ranks) -> anyhow::Result<()> {
    let settings = Settings::load(&args.config.config, &args.config.overrides)?;
    let stop = stop_when_asked()?;
    let mut run = match args.resume {
        true => Run::resume_among(settings, ranks)?,
        false => Run::begin_among(settings, ranks)?,
    };
    if ranks.size() > 1 {
        let batches = run.plan.settings.train.gradient_accumulation;
        say!("{} ranks share the {batches} micro-batches of a step", ranks.size());
    }
    introduce(&run);

    let started = Instant::now();
    let mut terminal = Terminal::default();
    let outcome = run.train(&mut terminal, &stop);
    drop(terminal);
    let (step, seconds) = (run.trainer.step, started.elapsed().as_secs_f64());
    let (outcome, cursor) = (outcome?, run.trainer.loader.cursor());
    if cursor.bad + cursor.too_long > 0 {
        // As they come only the first few are named.
        say!("skipped {} bad and {} too long of {} documents", cursor.bad, cursor.too_long, cursor.next);
    }
    match outcome {
        Outcome::Stopped => {
            say!("stopped at step {step}; go on with --resume");
            return Ok(());
        }
        Outcome::Finished => say!("trained {step} steps in {}", duration(seconds)),
    }
    if run.wants_evaluation() {
        let mut terminal = Terminal::default();
        let report = run.evaluate(&mut terminal)?;
        drop(terminal);
        print_report(&report);
    }
    say!("run folder: {}", run.folder.path().display());
    Ok(())
}

fn introduce(run: &Run) {
    let Run { plan, folder, trainer, resumed } = run;
    print_resumed(resumed.as_ref());
    let counts = ParameterCounts::of(&trainer.model, &plan.card.model);
    say!(
        "{:.2} M parameters in {} parts, {}, {} sequences of {} rows a step, on {} in {}",
        counts.stored as f64 / 1e6,
        counts.parts.len(),
        holdings(&plan.data),
        plan.settings.train.sequences() * plan.settings.train.gradient_accumulation,
        plan.shape.rows(),
        interfuse_run::device::name(&trainer.setup.device),
        plan.settings.train.precision.on(&trainer.setup.device),
    );
    plan.data.left_out().iter().for_each(|line| say!("{line}"));
    if let (cut @ 1.., all) = plan.cut_captions {
        let most = plan.settings.documents.max_caption_tokens;
        say!("warning: {cut} of {all} captions are cut after documents.max_caption_tokens = {most}");
    }
    for warning in plan.settings.warnings() {
        say!("warning: {warning}");
    }
    say!("writing to {}; Ctrl-C saves and ends", folder.path().display());
}

/// `2048 images, 534 utterances`
fn holdings(data: &Collections) -> String {
    let images = data.images.iter().map(|images| format!("{} images", images.train.len()));
    let utterances: usize = data.speech().map(|(_, set)| set.train.len()).sum();
    let speech = (utterances > 0).then(|| format!("{utterances} utterances"));
    let pieces: usize = data.text_sets().map(|(_, set)| set.train.len()).sum();
    let texts = (pieces > 0).then(|| format!("{pieces} pieces of text"));
    let count: usize = data.conversations().map(|(_, set)| set.train.len()).sum();
    let conversations = (count > 0).then(|| format!("{count} conversations"));
    images.chain(speech).chain(texts).chain(conversations).collect::<Vec<_>>().join(", ")
}

/// Says where training goes on, and what has changed.
pub(super) fn print_resumed(resumed: Option<&Resumed>) {
    let Some(Resumed { checkpoint, changes }) = resumed else { return };
    for change in changes {
        say!("changed since the run was started: {change}");
    }
    say!("resuming from {}", checkpoint.display());
}
