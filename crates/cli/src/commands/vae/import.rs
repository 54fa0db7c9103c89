//! `interfuse vae import`: a single file of weights, under whatever names, becomes a folder in the layout of diffusers.

use anyhow::{Context, bail};
use burn::tensor::Device;
use interfuse_parameters::durable::write_folder;
use interfuse_parameters::parameters;
use interfuse_vae::config::PUBLISHED;
use interfuse_vae::{AutoencoderConfig, VaeConfig, folder};

use crate::args::VaeImportArgs;
use crate::print::say;

pub(crate) fn import(args: &VaeImportArgs) -> anyhow::Result<()> {
    let config = config_of(args)?;
    let vae = folder::load(&config, &args.file, &Device::flex())?;
    write_folder(&args.out, |temporary| anyhow::Ok(folder::write(temporary, &config, &vae)?))?;
    let weights: usize = parameters(&vae).iter().map(|info| info.count()).sum();
    let (millions, network) = (weights as f64 / 1e6, config.network());
    say!(
        "{millions:.2} M parameters, {} latent channels, images shrink {} times: {}",
        network.latent_channels,
        network.downsampling(),
        args.out.display()
    );
    Ok(())
}

/// The named published configuration, or the `config.json` that is given.
fn config_of(args: &VaeImportArgs) -> anyhow::Result<VaeConfig> {
    if args.out.exists() {
        bail!("{} exists already; choose another folder by --out", args.out.display());
    }
    match (&args.kind, &args.config) {
        (Some(name), None) => {
            let config = AutoencoderConfig::published(name)
                .with_context(|| format!("--as: expected one of {}, found `{name}`", PUBLISHED.join(", ")))?;
            Ok(VaeConfig::AutoencoderKL(config))
        }
        (None, Some(folder)) => Ok(folder::read_config(folder)?),
        _ => bail!("expected either --as {} or --config FOLDER", PUBLISHED.join("|")),
    }
}
