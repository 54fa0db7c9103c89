//! `interfuse data encode`: the latents of all training images, by one process or by jobs that make a part each.

use std::path::Path;
use std::sync::atomic::Ordering;

use anyhow::{Context, bail};
use interfuse_data::latents::{CacheKey, Part, jobs_left};
use interfuse_data::sources::left_out;
use interfuse_data::{LatentWriter, Source};
use interfuse_run::{RunObserver as _, Settings};
use interfuse_sweep::shell_word;
use interfuse_vae::Codec;
use serde_json::json;

use crate::args::{DataEncodeArgs, PrecisionName};
use crate::print::say;
use crate::stopping::stop_when_asked;
use crate::terminal::Terminal;

/// Encodes all training images, or a part of them, as `codec.cache` of the configuration will then give them.
pub(crate) fn encode(args: &DataEncodeArgs) -> anyhow::Result<()> {
    args.answer.begin();
    let settings = Settings::load(&args.config.config, &args.config.overrides)?;
    let Some(vae) = settings.codec.vae() else {
        bail!("codec: expected kind = \"vae\" with the path of an autoencoder, found pixels, which need no cache");
    };
    let folder = args.out.as_ref().or(vae.cache.as_ref());
    let folder = folder.context("expected a folder for the cache: codec.cache in the configuration, or --out")?;
    if let Some(jobs) = args.list {
        let source = interfuse_data::open(&settings.data)?.train;
        return list(args, &jobs_left(folder, source.len(), jobs)?);
    }
    let device = interfuse_run::device::open(&settings.run.device)?;
    let codec = settings.codec.open(settings.data.channels, &device).context("codec")?;
    let source = interfuse_data::open(&settings.data)?.train;
    left_out(source.as_ref()).iter().for_each(|line| say!("{line}"));

    let key = CacheKey::new(source.as_ref(), codec.as_ref(), settings.data.horizontal_flip > 0.0)?;
    let writer = match args.job {
        Some(part) => LatentWriter::begin_part(folder, key, args.precision.into(), part)?,
        None => LatentWriter::begin(folder, key, args.precision.into())?,
    };
    write(args, &writer, (source.as_ref(), codec.as_ref()), folder)
}

fn write(
    args: &DataEncodeArgs,
    writer: &LatentWriter,
    (source, codec): (&dyn Source, &dyn Codec),
    folder: &Path,
) -> anyhow::Result<()> {
    let stop = stop_when_asked()?;
    let mut terminal = Terminal::default();
    let written = writer.write(source, codec, &mut |done| {
        terminal.progress("images encoded", done, writer.images());
        !stop.load(Ordering::Relaxed)
    })?;
    drop(terminal);
    for reason in &written.bad {
        say!("left out: {reason}");
    }
    let (encoded, found, bad) = (written.encoded, written.found, written.bad_count);
    let part = args.job.map_or_else(String::new, |part| format!("part {part}: "));
    match written.stopped {
        true => say!("{part}stopped; the same command goes on where it was"),
        false => say!("{part}{encoded} images encoded, {found} found, {bad} left out: {}", folder.display()),
    }
    args.answer.give(&json!({
        "encoded": encoded, "found": found, "left_out": bad, "reasons": written.bad, "stopped": written.stopped,
        "folder": folder,
    }))
}

/// Prints the commands of the jobs that have something left to do.
fn list(args: &DataEncodeArgs, jobs: &[Part]) -> anyhow::Result<()> {
    let program = std::env::current_exe().context("cannot tell where this program lies")?;
    let mut words = vec![program.display().to_string(), "data".into(), "encode".into()];
    words.push(args.config.config.display().to_string());
    words.extend(args.config.overrides.iter().flat_map(|change| ["--set".into(), change.clone()]));
    words.extend(args.out.iter().flat_map(|out| ["--out".into(), out.display().to_string()]));
    if matches!(args.precision, PrecisionName::Bf16) {
        words.extend(["--precision".into(), "bf16".into()]);
    }
    let command = words.iter().map(|word| shell_word(word)).collect::<Vec<_>>().join(" ");
    let commands: Vec<String> = jobs.iter().map(|part| format!("{command} --job {part}")).collect();
    commands.iter().for_each(|command| say!("{command}"));
    args.answer.give(&json!({ "commands": commands }))
}
