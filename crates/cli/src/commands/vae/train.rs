//! `interfuse vae train`: from a configuration to a run folder with an autoencoder in it.

use std::time::Instant;

use interfuse_parameters::parameters;
use interfuse_run::autoencoder::{AutoencoderRun, VaeSettings};
use interfuse_run::duration;
use interfuse_trainer::Outcome;
use interfuse_trainer::autoencoder::PerceptualConfig;

use crate::args::TrainArgs;
use crate::commands::train::print_resumed;
use crate::print::say;
use crate::stopping::stop_when_asked;
use crate::terminal::Terminal;

pub(crate) fn train(args: &TrainArgs) -> anyhow::Result<()> {
    let settings = VaeSettings::load(&args.config.config, &args.config.overrides)?;
    let stop = stop_when_asked()?;
    let mut run = if args.resume { AutoencoderRun::resume(settings)? } else { AutoencoderRun::begin(settings)? };
    introduce(&run);

    let started = Instant::now();
    let mut terminal = Terminal::default();
    let trained = run.train(&mut terminal, &stop);
    drop(terminal);
    let (trained, step) = (trained?, run.trainer.step);
    if run.trainer.cursor().bad > 0 {
        // As they come only the first few are named.
        say!("skipped {} bad images", run.trainer.cursor().bad);
    }
    match trained.outcome {
        Outcome::Stopped => say!("stopped at step {step}; go on with --resume"),
        Outcome::Finished => {
            say!("trained {step} steps in {}", duration(started.elapsed().as_secs_f64()));
            if let Some(quality) = &trained.quality {
                say!("{}: {quality}", trained.measured_on);
            }
        }
    }
    say!("autoencoder: {}", run.folder.vae().display());
    Ok(())
}

fn introduce(run: &AutoencoderRun) {
    let AutoencoderRun { settings, data, folder, trainer, resumed } = run;
    print_resumed(resumed.as_ref());
    let weights: usize = parameters(&trainer.vae).iter().map(|info| info.count()).sum();
    let network = trainer.setup.vae.network();
    let [height, width] = settings.data.image_size.map(|side| side / network.downsampling());
    say!(
        "{:.2} M parameters, latents of {} × {height} × {width}, {} images, {} a step, on {:?}",
        weights as f64 / 1e6,
        network.latent_channels,
        data.train.len(),
        settings.train.batch_size * settings.train.gradient_accumulation,
        trainer.setup.device,
    );
    if let PerceptualConfig::Pyramid { .. } = settings.loss.perceptual {
        say!("perceptual loss: the Laplacian pyramid, since no LPIPS files are named (loss.perceptual)");
    }
    interfuse_data::sources::left_out(data.train.as_ref()).iter().for_each(|line| say!("{line}"));
    say!("writing to {}; Ctrl-C saves and ends", folder.path().display());
}
