//! Latents and codes that the models of a plan have in common: encoded once, before the first of them.

use std::sync::atomic::{AtomicBool, Ordering};

use interfuse_data::latents::CacheKey;
use interfuse_data::{LatentCache, LatentWriter};
use interfuse_parameters::Precision;
use interfuse_trainer::Outcome;

use crate::error::{Context as _, Result};
use crate::observer::RunObserver;
use crate::settings::Settings;

/// Encodes the training images of a configuration into the cache that it names, unless all are there.
///
/// # Errors
/// When data or autoencoder are not there, or the folder holds another cache; names it.
pub(super) fn make_cache(settings: &Settings, observer: &mut dyn RunObserver, stop: &AtomicBool) -> Result<Outcome> {
    let Some(folder) = settings.codec.vae().and_then(|vae| vae.cache.as_ref()) else {
        return Ok(Outcome::Finished);
    };
    let device = crate::device::open(&settings.run.device)?;
    let codec = settings.codec.open(settings.data.channels, &device).context("codec")?;
    let source = interfuse_data::open(&settings.data)?.train;
    let key = CacheKey::new(source.as_ref(), codec.as_ref(), settings.data.horizontal_flip > 0.0)?;
    if LatentCache::open(folder, &key, source.as_ref()).is_ok() {
        return Ok(Outcome::Finished);
    }
    observer.note(&format!("encoding images: {}", folder.display()));
    let all = source.len();
    let writer = LatentWriter::begin(folder, key, Precision::F32)?;
    let written = writer.write(source.as_ref(), codec.as_ref(), &mut |done| {
        observer.progress("images encoded", done, all);
        !stop.load(Ordering::Relaxed)
    })?;
    Ok(if written.stopped { Outcome::Stopped } else { Outcome::Finished })
}
