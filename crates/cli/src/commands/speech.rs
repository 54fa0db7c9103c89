//! `interfuse speech`: units of sound and back, and error rates.

use std::path::{Path, PathBuf};

use anyhow::{Context, bail, ensure};
use interfuse_parameters::durable::create_folder;
use interfuse_run::{RunObserver as _, sentence};
use interfuse_speech::audio::{self, write_wav};
use interfuse_speech::clips::ClipSource;
use interfuse_speech::error_rate::{ErrorCounts, character_errors, word_errors};
use interfuse_speech::spectrum::write_spectrogram;
use interfuse_speech::units::{
    Layout, Recordings, UnitCodec, UnitConfig, UnitTraining, Utterance, read_units, round_trip, train, write_units,
};

use crate::args::{
    Counted, ErrorRateArgs, SpeechCommand, UnitsCommand, UnitsDecodeArgs, UnitsEncodeArgs, UnitsTrainArgs,
};
use crate::print::say;
use crate::terminal::Terminal;

/// Held-out clips that are taken there and back.
const SCORED: usize = 40;
/// Reasons that are printed; the rest are only counted.
const MOST_NAMED: usize = 8;

pub(crate) fn run(command: &SpeechCommand) -> anyhow::Result<()> {
    match command {
        SpeechCommand::Units(UnitsCommand::Train(args)) => train_units(args),
        SpeechCommand::Units(UnitsCommand::Encode(args)) => encode(args),
        SpeechCommand::Units(UnitsCommand::Decode(args)) => decode(args),
        SpeechCommand::ErrorRate(args) => error_rate(args),
    }
}

fn train_units(args: &UnitsTrainArgs) -> anyhow::Result<()> {
    ensure!((0.0..1.0).contains(&args.held_out), "--held-out: expected from 0 to below 1, found {}", args.held_out);
    let clips = source(&args.source)?.open()?;
    say!("{} clips with {} different texts", clips.len(), clips.unique_texts());
    name_some("left out", clips.skipped());
    let (learned, held_out) = clips.parted(args.held_out);
    let config = UnitConfig {
        units: args.units,
        sample_rate: args.sample_rate,
        unit_rate: args.rate,
        subtract_mean: args.subtract_mean,
    };
    let mut training = UnitTraining::default();
    training.kmeans.seed = args.seed;
    let mut terminal = Terminal::default();
    let trained = train(&config, &training, &learned, &mut |done, all| terminal.progress("clips heard", done, all));
    drop(terminal);
    let (codec, report) = trained?;
    name_some("skipped", &report.skipped);
    codec.save(&args.out)?;
    let units = &report.units;
    say!(
        "{} of {} units used; deduplicated {:.1} units/s, {:.2} bits each, {:.0} bit/s",
        units.used,
        args.units,
        units.units_per_second,
        units.conditional_entropy,
        units.bits_per_second
    );
    score(&codec, &held_out)?;
    say!("codec: {}  sha256 {}", args.out.display(), codec.hash());
    Ok(())
}

/// Takes held-out clips to units, to sound, and to units again.
fn score(codec: &UnitCodec, held_out: &dyn Recordings) -> anyhow::Result<()> {
    let (mut errors, mut agreement, mut distance, mut count) = (ErrorCounts::default(), 0.0, 0.0, 0);
    for index in 0..held_out.len().min(SCORED) {
        // Clips that cannot be heard were named when the units were learned, or are as rare here.
        let Ok(clip) = held_out.audio(index) else { continue };
        let Ok(trip) = round_trip(codec, clip, 0) else { continue };
        errors += trip.unit_errors;
        (agreement, distance, count) = (agreement + trip.agreement, distance + trip.log_spectral_distance, count + 1);
    }
    if count > 0 {
        say!(
            "{count} held-out clips there and back: unit error rate {:.3}, agreement {:.3}, log-spectral distance {:.1} dB",
            errors.rate(),
            agreement / f64::from(count),
            distance / f64::from(count)
        );
    }
    Ok(())
}

fn encode(args: &UnitsEncodeArgs) -> anyhow::Result<()> {
    let codec = UnitCodec::open(&args.codec)?;
    let (mut utterances, mut bad) = (vec![], vec![]);
    let mut terminal = Terminal::default();
    for (index, clip) in args.clips.iter().enumerate() {
        match audio::read(clip).and_then(|audio| codec.encode(audio)) {
            Ok(sequence) => {
                let sequence = if args.deduplicate { sequence.deduplicated() } else { sequence };
                utterances.push(Utterance { name: Some(clip.display().to_string()), sequence });
            }
            Err(error) => bad.push(sentence(&error)),
        }
        terminal.progress("clips", index + 1, args.clips.len());
    }
    drop(terminal);
    if utterances.is_empty() {
        bail!("{}", bad.swap_remove(0));
    }
    name_some("skipped", &bad);
    write_units(&args.out, Layout::Tab, &utterances)?;
    say!("units of {} of {} clips: {}", utterances.len(), args.clips.len(), args.out.display());
    Ok(())
}

fn decode(args: &UnitsDecodeArgs) -> anyhow::Result<()> {
    let codec = UnitCodec::open(&args.codec)?;
    let file = read_units(&args.units, Some(codec.config().units))?;
    if file.deduplicated {
        say!("no unit is followed by itself: each is given the mean duration that it has in the codec's clips");
    }
    create_folder(&args.out)?;
    for (index, utterance) in file.utterances.iter().enumerate() {
        let sequence = match file.deduplicated {
            true => codec.with_mean_durations(utterance.sequence.units().to_vec())?,
            false => utterance.sequence.clone(),
        };
        let sound = codec.decode(&sequence, index as u64)?;
        // Names may be paths, and lines need not have any: numbers keep files apart.
        let path = args.out.join(format!("{index:06}.wav"));
        write_wav(&path, &sound)?;
        if args.spectrograms {
            write_spectrogram(&path.with_extension("png"), &sound)?;
        }
    }
    say!("sound of {} lines: {}", file.utterances.len(), args.out.display());
    Ok(())
}

fn error_rate(args: &ErrorRateArgs) -> anyhow::Result<()> {
    args.answer.begin();
    let [reference, hypothesis] = [&args.reference, &args.hypothesis].map(|path| lines(path));
    let (reference, hypothesis) = (reference?, hypothesis?);
    let counts = match args.of {
        Counted::Words => word_errors(&reference, &hypothesis),
        Counted::Characters => character_errors(&reference, &hypothesis),
    }?;
    let ErrorCounts { substitutions, deletions, insertions, .. } = counts;
    say!(
        "{:.2} % of {}: {substitutions} substitutions, {deletions} deletions, {insertions} insertions",
        100.0 * counts.rate(),
        counts.reference()
    );
    args.answer.give(&serde_json::json!({
        "rate": counts.rate(), "reference": counts.reference(), "substitutions": substitutions,
        "deletions": deletions, "insertions": insertions,
    }))
}

fn lines(path: &Path) -> anyhow::Result<Vec<String>> {
    let text = std::fs::read_to_string(path).with_context(|| format!("cannot read {}", path.display()))?;
    Ok(text.lines().map(str::to_owned).collect())
}

/// A folder, or a table of TOML.
fn source(text: &str) -> anyhow::Result<ClipSource> {
    if !text.trim_start().starts_with('{') {
        let path = PathBuf::from(text);
        return Ok(ClipSource::Folder(interfuse_speech::clips::FolderConfig { path, language: None }));
    }
    #[derive(serde::Deserialize)]
    struct Named {
        source: ClipSource,
    }
    let named: Named = toml::from_str(&format!("source = {text}")).with_context(|| {
        format!("expected a folder or a source such as {{ kind = \"telephone-prompts\" }}, found `{text}`")
    })?;
    Ok(named.source)
}

fn name_some(what: &str, reasons: &[String]) {
    if let Some(more) = reasons.len().checked_sub(MOST_NAMED).filter(|more| *more > 0) {
        say!("{what} {}, of which {more} are not named here", reasons.len());
    }
    reasons.iter().take(MOST_NAMED).for_each(|reason| say!("{what}: {reason}"));
}
