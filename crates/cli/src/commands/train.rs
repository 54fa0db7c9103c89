//! `interfuse train`: from a configuration to a run folder.

use std::time::Instant;

use anyhow::bail;
use interfuse_data::LoaderCursor;
use interfuse_sampling::pretrained::read_card;
use interfuse_trainer::{Outcome, Trainer, checkpoint};
use interfuse_transfusion::ParameterCounts;

use crate::args::TrainArgs;
use crate::assembly::{Plan, load_tokenizer};
use crate::commands::evaluate;
use crate::interruption::{stop_on_ctrl_c, with_last_checkpoint};
use crate::progress::duration;
use crate::recorder::{Recorder, pretrained, preview_prompts};
use crate::run_folder::RunFolder;
use crate::settings::Settings;

pub(crate) fn run(args: &TrainArgs) -> anyhow::Result<()> {
    let settings = Settings::load(&args.config.config, &args.config.overrides)?;
    let stop = stop_on_ctrl_c()?;
    let (plan, folder, mut trainer) = match args.resume {
        true => resume(settings)?,
        false => begin(settings)?,
    };
    introduce(&plan, &trainer, &folder);

    let started = Instant::now();
    let mut recorder = Recorder::new(&plan, &folder, trainer.step)?;
    let outcome = interfuse_trainer::run(&mut trainer, &plan.settings.intervals, &mut recorder, &stop);
    recorder.finish();
    let outcome = outcome.map_err(|error| with_last_checkpoint(error, &folder))?;
    match outcome {
        Outcome::Stopped => {
            println!("stopped at step {}; go on with --resume", trainer.step);
            return Ok(());
        }
        Outcome::Finished => {
            println!("trained {} steps in {}", trainer.step, duration(started.elapsed().as_secs_f64()))
        }
    }
    // Where evaluations are due in between, the last step had one.
    if plan.settings.run.evaluate && plan.settings.intervals.evaluation == 0 {
        let model = pretrained(&plan, &trainer)?;
        evaluate::measure_in_training(&plan.settings, &model, &folder)?;
    }
    println!("run folder: {}", folder.path().display());
    Ok(())
}

fn begin(settings: Settings) -> anyhow::Result<(Plan, RunFolder, Trainer)> {
    let mut plan = Plan::new(settings, None)?;
    plan.measure_latents(None)?;
    let trainer = plan.trainer(LoaderCursor::default())?;
    // Better found now than at the first preview, with a run folder half made.
    preview_prompts(&plan)?;
    let folder = RunFolder::create(&plan.settings.run.dir)?;
    crate::config::save(&plan.settings, &folder.config())?;
    Ok((plan, folder, trainer))
}

fn resume(settings: Settings) -> anyhow::Result<(Plan, RunFolder, Trainer)> {
    let folder = RunFolder::open(&settings.run.dir)?;
    let Some(latest) = folder.latest_checkpoint()? else {
        bail!("{}: expected a checkpoint to resume from, found none", folder.path().display());
    };
    let tokenizer = load_tokenizer(&latest.join("tokenizer.json"))?;
    let mut plan = Plan::new(settings, Some(tokenizer))?;
    let resumed = checkpoint::open(&latest, &plan.card, plan.settings.run.seed)?;
    plan.measure_latents(read_card(&latest)?.latent_range)?;
    // More steps or other data may be just what is wanted; nobody should get them unawares.
    if let Ok(before) = crate::config::load::<Settings>(&folder.config(), &[]) {
        for change in crate::config::changes(&before, &plan.settings)? {
            println!("changed since the run was started: {change}");
        }
    }
    let mut trainer = plan.trainer(resumed.state.cursor.clone())?;
    resumed.restore(&mut trainer)?;
    crate::config::save(&plan.settings, &folder.config())?;
    println!("resuming from {}", latest.display());
    Ok((plan, folder, trainer))
}

fn introduce(plan: &Plan, trainer: &Trainer, folder: &RunFolder) {
    let counts = ParameterCounts::of(&trainer.model);
    let images = plan.images;
    println!(
        "{:.2} M parameters in {} parts, {images} images, {} sequences of {} rows a step, on {:?}",
        counts.stored as f64 / 1e6,
        counts.parts.len(),
        plan.settings.train.sequences() * plan.settings.train.gradient_accumulation,
        plan.shape.rows(),
        trainer.setup.device,
    );
    for note in &plan.skipped {
        println!("left out: {note}");
    }
    if let (cut @ 1.., all) = plan.cut_captions {
        let most = plan.settings.documents.max_caption_tokens;
        println!("warning: {cut} of {all} captions are cut after documents.max_caption_tokens = {most}");
    }
    for warning in plan.settings.warnings() {
        println!("warning: {warning}");
    }
    println!("writing to {}; Ctrl-C saves and ends", folder.path().display());
}
