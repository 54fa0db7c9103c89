//! Speech is measured by what the model understands and by what it makes others understand: *word error rates* of transcripts
//! of training and of held-out clips, and of what the model hears in its own speech; the *unit error rate* tells how near that
//! speech lies to the recording.
//!
//! The second needs no recognizer of another's, and so it flatters: model and ear are the same.

use interfuse_checkpoint::Pretrained;
use interfuse_data::mixture::{SpeechSet, Utterance};
use interfuse_data::{Collections, evenly};
use interfuse_sampling::{SamplingConfig, SpeechPrompt, SpeechRequest, speak, transcribe};
use interfuse_speech::clips::normalized;
use interfuse_speech::error_rate::{ErrorCounts, character_errors, errors, word_errors};
use serde_json::{Value, json};

use super::report::Report;
use crate::error::Result;
use crate::observer::RunObserver;

/// Clips of each split, unless the user says how many.
const USUAL_CLIPS: usize = 64;
/// Transcripts that are shown.
const SHOWN: usize = 3;

/// Adds what each collection of speech says to a report.
pub(super) fn measure(
    (pretrained, sampling): (&Pretrained, &SamplingConfig),
    data: &Collections,
    (count, seed): (Option<usize>, u64),
    report: &mut Report,
    observer: &mut dyn RunObserver,
) -> Result<()> {
    for (part, set) in data.speech() {
        let mut found = serde_json::Map::new();
        for (split, utterances) in splits(set) {
            let chosen = chosen(utterances, count.unwrap_or(USUAL_CLIPS));
            if chosen.is_empty() {
                report.note(format!("{}: no transcripts to compare with", part.name));
                continue;
            }
            let heard = understood(pretrained, sampling, &chosen, observer)?;
            if split == "held_out" {
                report.note(format!("{}: what is said, and what the model understands:", part.name));
                for (utterance, text) in chosen.iter().zip(&heard.texts).take(SHOWN) {
                    report.note(format!("  {:<44} {text}", utterance.text.as_deref().unwrap_or_default()));
                }
            }
            let said = said(pretrained, sampling, &chosen, seed, observer)?;
            let name = split.replace('_', "-");
            report.note(format!(
                "{}, {} {name} clips: word error rate {:.3} of transcripts, {:.3} of its own speech; unit error rate {:.3}",
                part.name,
                chosen.len(),
                heard.words.rate(),
                said.words.rate(),
                said.units.rate()
            ));
            found.insert(split.into(), numbers(chosen.len(), &heard, &said));
        }
        report.value["speech"][&part.name] = Value::Object(found);
    }
    Ok(())
}

/// Training clips, and those that are held out, if any are.
fn splits(set: &SpeechSet) -> impl Iterator<Item = (&'static str, &[Utterance])> {
    let held_out = (!set.held_out_is_train()).then(|| ("held_out", set.held_out.as_ref()));
    [("train", set.train.as_ref())].into_iter().chain(held_out)
}

/// Utterances with a transcript, spread evenly.
fn chosen(utterances: &[Utterance], count: usize) -> Vec<&Utterance> {
    let known: Vec<&Utterance> = utterances.iter().filter(|utterance| utterance.text.is_some()).collect();
    evenly(count, known.len()).map(|index| known[index]).collect()
}

/// What the model understood.
struct Heard {
    texts: Vec<String>,
    words: ErrorCounts,
    characters: ErrorCounts,
}

fn understood(
    pretrained: &Pretrained,
    sampling: &SamplingConfig,
    utterances: &[&Utterance],
    observer: &mut dyn RunObserver,
) -> Result<Heard> {
    let units: Vec<Vec<u32>> = utterances.iter().map(|utterance| utterance.units.clone()).collect();
    compared(pretrained, sampling, utterances, &units, &mut |done| {
        observer.progress("clips transcribed", done, units.len());
    })
}

/// Transcribes units and compares the words, but for case and punctuation, with what was to be said.
fn compared(
    pretrained: &Pretrained,
    sampling: &SamplingConfig,
    utterances: &[&Utterance],
    units: &[Vec<u32>],
    progress: &mut dyn FnMut(usize),
) -> Result<Heard> {
    let written = transcribe(pretrained, units, sampling, progress)?;
    let texts: Vec<String> = written.into_iter().map(|transcript| transcript.text).collect();
    let right: Vec<String> =
        utterances.iter().map(|utterance| normalized(utterance.text.as_deref().unwrap_or_default())).collect();
    let plain: Vec<String> = texts.iter().map(|text| normalized(text)).collect();
    Ok(Heard { words: word_errors(&right, &plain)?, characters: character_errors(&right, &plain)?, texts })
}

/// What the model said.
struct Said {
    /// Against the units of the recordings.
    units: ErrorCounts,
    /// Of what it understood of its own speech.
    words: ErrorCounts,
}

fn said(
    pretrained: &Pretrained,
    sampling: &SamplingConfig,
    utterances: &[&Utterance],
    seed: u64,
    observer: &mut dyn RunObserver,
) -> Result<Said> {
    let request = |(index, utterance): (usize, &&Utterance)| SpeechRequest {
        prompt: SpeechPrompt::Text(utterance.text.clone().unwrap_or_default()),
        seed: seed.wrapping_add(index as u64),
    };
    let requests: Vec<SpeechRequest> = utterances.iter().enumerate().map(request).collect();
    let said = speak(pretrained, &requests, sampling, &mut |done| {
        observer.progress("sentences spoken", done, requests.len());
    })?;
    let units: Vec<Vec<u32>> = said.into_iter().map(|speech| speech.units).collect();
    let pairs = utterances.iter().zip(&units);
    let unit_errors = pairs.map(|(utterance, said)| errors(&utterance.units, said)).sum();
    let again = compared(pretrained, sampling, utterances, &units, &mut |_| {})?;
    Ok(Said { units: unit_errors, words: again.words })
}

fn numbers(clips: usize, heard: &Heard, said: &Said) -> Value {
    json!({
        "clips": clips,
        "word_error_rate": heard.words.rate(),
        "character_error_rate": heard.characters.rate(),
        "spoken_word_error_rate": said.words.rate(),
        "spoken_unit_error_rate": said.units.rate(),
    })
}
