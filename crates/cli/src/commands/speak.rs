//! `interfuse speak` and `interfuse transcribe`: speech of words, speech that goes on, and words of speech.

use std::path::Path;

use anyhow::{bail, ensure};
use interfuse_parameters::durable::{check_folder, create_folder, write_file};
use interfuse_run::{LoadedRun, RunObserver as _};
use interfuse_sampling::{
    Caption, SamplingConfig, Speech, SpeechPrompt, SpeechRequest, sound, speak, transcribe, units_of,
};
use interfuse_speech::audio::{self, write_wav};
use interfuse_speech::spectrum::write_spectrogram;
use interfuse_speech::units::{Layout, UnitSequence, Utterance, write_units};
use serde_json::json;

use crate::args::{SpeakArgs, TranscribeArgs};
use crate::print::{say, say_error};
use crate::terminal::Terminal;

/// A file of units, of what was said.
const UNITS: &str = "units.txt";

pub(crate) fn speak_run(args: &SpeakArgs) -> anyhow::Result<()> {
    ensure!(args.count > 0, "--count: expected at least 1, found 0");
    let loaded = args.model.open()?;
    let sampling = sampling(args, &loaded)?;
    let folder = args.out.clone().unwrap_or_else(|| loaded.folder().join("speech"));
    if args.out.is_some() {
        check_folder(&folder)?;
    }
    let mut prompts: Vec<(String, SpeechPrompt)> =
        args.texts.iter().map(|text| (text.clone(), SpeechPrompt::Text(text.clone()))).collect();
    for clip in &args.go_on {
        let units = units_of(&loaded.pretrained, audio::read(clip)?)?;
        prompts.push((clip.display().to_string(), SpeechPrompt::Units(units)));
    }
    if prompts.is_empty() {
        prompts.push(("anything".into(), SpeechPrompt::Units(vec![])));
    }
    let seeds = || (0..args.count as u64).map(|i| args.seed.wrapping_add(i));
    let of = |prompt: &SpeechPrompt, seed| SpeechRequest { prompt: prompt.clone(), seed };
    let requests: Vec<SpeechRequest> =
        prompts.iter().flat_map(|(_, prompt)| seeds().map(|seed| of(prompt, seed))).collect();
    let mut terminal = Terminal::default();
    let mut progress = |done| terminal.progress("stretches", done, requests.len());
    let said = speak(&loaded.pretrained, &requests, &sampling, &mut progress)?;
    drop(terminal);
    let names = prompts.iter().flat_map(|(name, _)| std::iter::repeat_n(name, args.count));
    let said: Vec<Said<'_>> =
        names.zip(&requests).zip(said).map(|((name, request), speech)| Said { name, request, speech }).collect();
    save(&loaded, &said, (&folder, args.spectrograms))
}

/// Something that was said, and of what.
struct Said<'a> {
    name: &'a str,
    request: &'a SpeechRequest,
    speech: Speech,
}

fn sampling(args: &SpeakArgs, loaded: &LoadedRun) -> anyhow::Result<SamplingConfig> {
    let mut sampling = loaded.sampling();
    sampling.unit_temperature = args.temperature.unwrap_or(sampling.unit_temperature);
    sampling.top_k = args.top_k.or(sampling.top_k);
    sampling.top_p = args.top_p.unwrap_or(sampling.top_p);
    sampling.max_units = args.max_units.or(sampling.max_units);
    sampling.validate()?;
    Ok(sampling)
}

/// Leaves a wav file of each where the model has a unit codec, the units of all, and what they are of.
fn save(loaded: &LoadedRun, said: &[Said<'_>], (folder, spectrograms): (&Path, bool)) -> anyhow::Result<()> {
    create_folder(folder)?;
    let (mut metadata, mut utterances) = (String::new(), vec![]);
    for (index, Said { name, request, speech }) in said.iter().enumerate() {
        let file = format!("{index:06}.wav");
        // What goes on is heard with what it goes on from.
        let units = match &request.prompt {
            SpeechPrompt::Text(_) => speech.units.clone(),
            SpeechPrompt::Units(before) => [before.as_slice(), &speech.units].concat(),
        };
        if let Some(limit) = speech.cut_at {
            say_error!("warning: {file} was cut after {limit} units (--max-units)");
        }
        if loaded.pretrained.units.is_some() && !units.is_empty() {
            let clip = sound(&loaded.pretrained, &units, request.seed)?;
            write_wav(&folder.join(&file), &clip)?;
            if spectrograms {
                write_spectrogram(&folder.join(&file).with_extension("png"), &clip)?;
            }
            let seconds = clip.samples.len() as f64 / f64::from(clip.rate);
            say!("{file}\t{seconds:.1} s\t{name}");
        }
        let line = json!({ "file_name": file, "text": name, "seed": request.seed, "units": units.len() });
        metadata.push_str(&format!("{line}\n"));
        if !units.is_empty() {
            let sequence = UnitSequence::new(units);
            utterances.push(Utterance { name: Some(format!("{index:06}")), sequence });
        }
    }
    write_file(&folder.join("metadata.jsonl"), metadata.as_bytes())?;
    ensure!(!utterances.is_empty(), "the model said nothing");
    write_units(&folder.join(UNITS), Layout::Tab, &utterances)?;
    match loaded.pretrained.units {
        Some(_) => say!("{} wav files and {UNITS} in {}", utterances.len(), folder.display()),
        None => say!(
            "the model's units were made by another program, so their sound is a matter of that program: {}",
            folder.join(UNITS).display()
        ),
    }
    Ok(())
}

pub(crate) fn transcribe_run(args: &TranscribeArgs) -> anyhow::Result<()> {
    args.answer.begin();
    let loaded = args.model.open()?;
    let (mut names, mut clips, mut skipped) = (vec![], vec![], vec![]);
    for path in &args.clips {
        match audio::read(path).map_err(Into::into).and_then(|clip| units_of(&loaded.pretrained, clip)) {
            Ok(units) => {
                names.push(path.display().to_string());
                clips.push(units);
            }
            Err(error @ interfuse_sampling::SamplingError::CannotDo { .. }) => return Err(error.into()),
            Err(error) => {
                say_error!("skipped: {error}");
                skipped.push(error.to_string());
            }
        }
    }
    if clips.is_empty() {
        bail!("none of the {} clips could be read", args.clips.len());
    }
    let transcripts = transcribe(&loaded.pretrained, &clips, &loaded.sampling(), &mut |_| {})?;
    let mut written = vec![];
    for (name, Caption { text, cut_at }) in names.iter().zip(transcripts) {
        written.push(json!({ "clip": name, "transcript": text, "cut_at": cut_at }));
        say!("{name}\t{text}");
        if let Some(limit) = cut_at {
            say_error!("warning: the transcript of {name} was cut at sampling.max_caption_tokens = {limit}");
        }
    }
    args.answer.give(&json!({ "transcripts": written, "skipped": skipped }))
}
