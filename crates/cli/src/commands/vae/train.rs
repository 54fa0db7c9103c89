//! `interfuse vae train`: from a configuration to a run folder with an autoencoder in it.

use std::time::Instant;

use anyhow::bail;
use interfuse_data::{ImageCursor, ImageStream, Split};
use interfuse_parameters::parameters;
use interfuse_trainer::Outcome;
use interfuse_trainer::autoencoder::{AutoencoderSetup, AutoencoderTrainer, PerceptualConfig, checkpoint};
use serde_json::json;

use super::recorder::VaeRecorder;
use super::settings::VaeSettings;
use crate::args::TrainArgs;
use crate::atomic_file::write_whole;
use crate::interruption::{stop_on_ctrl_c, with_last_checkpoint};
use crate::progress::duration;
use crate::run_folder::RunFolder;

pub(crate) fn train(args: &TrainArgs) -> anyhow::Result<()> {
    let settings = VaeSettings::load(&args.config.config, &args.config.overrides)?;
    let stop = stop_on_ctrl_c()?;
    let (folder, mut trainer) = match args.resume {
        true => resume(&settings)?,
        false => begin(&settings)?,
    };
    introduce(&settings, &trainer, &folder);

    let started = Instant::now();
    let mut recorder = VaeRecorder::new(&settings, &folder, trainer.step)?;
    let outcome = interfuse_trainer::run(&mut trainer, &settings.intervals, &mut recorder, &stop);
    recorder.finish();
    match outcome.map_err(|error| with_last_checkpoint(error, &folder))? {
        Outcome::Stopped => println!("stopped at step {}; go on with --resume", trainer.step),
        Outcome::Finished => {
            println!("trained {} steps in {}", trainer.step, duration(started.elapsed().as_secs_f64()));
            if let Some(quality) = &recorder.quality {
                let on = recorder.measured_on();
                println!("{on}: {quality}");
                let numbers = json!({
                    "step": trainer.step, "seed": settings.run.seed, "measured_on": on,
                    "images": quality.images, "psnr": quality.psnr, "ssim": quality.ssim,
                });
                write_whole(&folder.evaluation(), &serde_json::to_vec_pretty(&numbers)?)?;
            }
        }
    }
    println!("autoencoder: {}", folder.vae().display());
    Ok(())
}

fn trainer(settings: &VaeSettings, cursor: ImageCursor) -> anyhow::Result<AutoencoderTrainer> {
    let setup = AutoencoderSetup {
        vae: settings.networks()?,
        codebook: settings.vae.codebook.clone(),
        loss: settings.loss.clone(),
        optimizer: settings.optimizer.clone(),
        train: settings.train.clone(),
        seed: settings.run.seed,
        device: crate::device::open(&settings.run.device)?,
    };
    let source = interfuse_data::open(&settings.data, Split::Train)?;
    let stream = ImageStream::new(source, settings.data.horizontal_flip, settings.run.seed, cursor);
    Ok(AutoencoderTrainer::new(setup, stream)?)
}

fn begin(settings: &VaeSettings) -> anyhow::Result<(RunFolder, AutoencoderTrainer)> {
    let trainer = trainer(settings, ImageCursor::default())?;
    let folder = RunFolder::create(&settings.run.dir)?;
    crate::config::save(settings, &folder.config())?;
    Ok((folder, trainer))
}

fn resume(settings: &VaeSettings) -> anyhow::Result<(RunFolder, AutoencoderTrainer)> {
    let folder = RunFolder::open(&settings.run.dir)?;
    let Some(latest) = folder.latest_checkpoint()? else {
        bail!("{}: expected a checkpoint to resume from, found none", folder.path().display());
    };
    let resumed = checkpoint::open(&latest, &settings.networks()?, settings.run.seed)?;
    if let Ok(before) = crate::config::load::<VaeSettings>(&folder.config(), &[]) {
        for change in crate::config::changes(&before, settings)? {
            println!("changed since the run was started: {change}");
        }
    }
    let mut trainer = trainer(settings, resumed.state.cursor)?;
    resumed.restore(&mut trainer)?;
    crate::config::save(settings, &folder.config())?;
    println!("resuming from {}", latest.display());
    Ok((folder, trainer))
}

fn introduce(settings: &VaeSettings, trainer: &AutoencoderTrainer, folder: &RunFolder) {
    let weights: usize = parameters(&trainer.vae).iter().map(|info| info.count()).sum();
    let source = trainer.source();
    let network = trainer.setup.vae.network();
    let [height, width] = settings.data.image_size.map(|side| side / network.downsampling());
    println!(
        "{:.2} M parameters, latents of {} × {height} × {width}, {} images, {} a step, on {:?}",
        weights as f64 / 1e6,
        network.latent_channels,
        source.len(),
        settings.train.batch_size * settings.train.gradient_accumulation,
        trainer.setup.device,
    );
    if let PerceptualConfig::Pyramid { .. } = settings.loss.perceptual {
        println!("perceptual loss: the Laplacian pyramid, since no LPIPS files are named (loss.perceptual)");
    }
    for note in source.skipped() {
        println!("left out: {note}");
    }
    println!("writing to {}; Ctrl-C saves and ends", folder.path().display());
}
