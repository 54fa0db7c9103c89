//! `interfuse vae inspect`: what a configuration makes, without training anything.

use burn::tensor::Device;
use interfuse_kernels::WeightInit;
use interfuse_parameters::parameters;
use interfuse_run::autoencoder::VaeSettings;
use interfuse_vae::Vae;

use crate::args::ConfigArgs;
use crate::print::say;

pub(crate) fn inspect(args: &ConfigArgs) -> anyhow::Result<()> {
    let settings = VaeSettings::load(&args.config, &args.overrides)?;
    let config = settings.networks()?;
    let vae = Vae::new(&config, &mut WeightInit::new(0, &Device::flex()));
    let of = |part: &str| -> usize {
        parameters(&vae).iter().filter(|info| info.name.contains(part)).map(|info| info.count()).sum()
    };
    say!("parameters");
    say!("  stored   {:>12}", of(""));
    say!("  encoder  {:>12}", of("encoder."));
    say!("  decoder  {:>12}", of("decoder."));
    let network = config.network();
    let [height, width] = settings.data.image_size;
    let latents = [network.latent_channels, height / network.downsampling(), width / network.downsampling()];
    let numbers = settings.data.channels * height * width;
    say!("an image of {} × {height} × {width}", settings.data.channels);
    match &settings.vae.codebook {
        None => {
            let fewer = numbers as f64 / latents.iter().product::<usize>() as f64;
            say!("  latents of {} × {} × {}, {fewer:.1} times fewer numbers", latents[0], latents[1], latents[2]);
        }
        Some(codebook) => say!("  {} × {} codes of {}", latents[1], latents[2], codebook.codes),
    }
    Ok(())
}
