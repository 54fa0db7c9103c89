//! Run folders that were not made by a sweep: as tables, and for their phenomena.

#![allow(clippy::unwrap_used)]

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use interfuse_sweep::phenomena::{PhenomenaSettings, phenomena};
use interfuse_sweep::read_run;
use interfuse_sweep::runs::{TableOptions, table_of};
use proptest::prelude::*;
use serde_json::{Value, json};

const STEPS: u64 = 200;

/// A run of some lanes whose losses are `loss(lane, step)`.
struct Folder<'a> {
    lanes: &'a [&'a str],
    tokenizer: &'a str,
    captions: &'a str,
    steps: u64,
    prefix: &'a str,
}

const TEXT: Folder<'_> = Folder { lanes: &["text"], tokenizer: "one", captions: "c", steps: STEPS, prefix: "" };

impl Folder<'_> {
    fn write(&self, parent: &Path, name: &str, loss: impl Fn(usize, u64) -> f64) -> PathBuf {
        let folder = parent.join(name);
        let checkpoint = folder.join(format!("checkpoints/step-{:06}", self.steps));
        std::fs::create_dir_all(&checkpoint).unwrap();
        std::fs::write(checkpoint.join("model.safetensors"), "").unwrap();
        std::fs::write(checkpoint.join("tokenizer.json"), self.tokenizer).unwrap();
        let lanes: String = self.lanes.iter().map(|lane| format!("[model.modalities.{lane}]\n")).collect();
        let config = format!(
            "[run]\nseed = 5\n[data.source]\nkind = \"folder\"\npath = \"{name}\"\n[train]\nsteps = {STEPS}\n\
             [model.backbone]\nd_model = 16\nn_layers = 2\nn_heads = 2\nd_ff = 48\n{lanes}"
        );
        std::fs::write(folder.join("config.toml"), config).unwrap();
        let data = json!({"images": 3, "captions_sha256": self.captions});
        std::fs::write(folder.join("data.json"), data.to_string()).unwrap();
        let mut lines = String::new();
        for step in 1..=self.steps {
            let mut record =
                json!({"step": step, "loss": 1.0, "learning_rate": 1e-3, "flops": 10.0, "flops_per_second": 5.0});
            // Three spikes, one of them not finite.
            record["gradient_norm"] = match step {
                50 | 100 => json!(9.0),
                150 => Value::Null,
                _ => json!(1.0),
            };
            record["gradient_cosine.speech.text"] = json!(0.25);
            for (at, lane) in self.lanes.iter().enumerate() {
                record[format!("{lane}_loss")] = json!(loss(at, step));
                record[format!("{lane}_count")] = json!(10 + 20 * at);
            }
            lines += &format!("{record}\n");
        }
        let mut record = json!({ "step": self.steps });
        for (at, lane) in self.lanes.iter().enumerate() {
            record[format!("held_out/{}{lane}_loss", self.prefix)] = json!(loss(at, self.steps));
        }
        std::fs::write(folder.join("metrics.jsonl"), format!("{lines}{record}\n")).unwrap();
        folder
    }
}

#[test]
fn a_folder_tells_its_size_tokens_losses_and_gradients() {
    let parent = tempfile::tempdir().unwrap();
    let folder = TEXT.write(parent.path(), "small-seed5", |_, step| 3.0 - 0.001 * step as f64);
    let run = read_run(&folder).unwrap();
    assert_eq!((run.name.as_str(), run.seed, run.steps, run.checkpoint), ("small-seed5", Some(5), STEPS, Some(STEPS)));
    assert_eq!(run.params, 2.0 * (4.0 * 256.0 + 3.0 * 16.0 * 48.0));
    assert_eq!((run.all_tokens(), run.flops, run.seconds), (2000.0, Some(2000.0), Some(400.0)));
    let gradients = run.gradients.unwrap();
    assert_eq!((gradients.median, gradients.largest, gradients.not_finite), (1.0, 9.0, 1));
    assert!((gradients.spikes.unwrap() - 3.0 / 180.0 * 1000.0).abs() < 1e-9);
    let found = table_of(&[folder], &TableOptions::default()).unwrap();
    let row = &found.table.runs()[0];
    assert_eq!(
        (row.modality.as_str(), row.tokens, row.batch_tokens, row.first_share),
        ("text", 2000.0, Some(10.0), None)
    );
    assert!((row.loss - 2.8).abs() < 1e-12);
}

#[test]
fn a_pair_has_the_mean_loss_and_the_counted_shares() {
    let parent = tempfile::tempdir().unwrap();
    let pair = Folder { lanes: &["speech", "text"], prefix: "voices.", ..TEXT };
    let folder = pair.write(parent.path(), "pair", |lane, _| 2.0 + lane as f64);
    let found = table_of(std::slice::from_ref(&folder), &TableOptions::default()).unwrap();
    let row = &found.table.runs()[0];
    assert_eq!(
        (row.modality.as_str(), row.loss, row.tokens, row.first_share),
        ("speech|text", 2.5, 8000.0, Some(0.25))
    );
    let losses = BTreeMap::from([("text".to_owned(), "held_out/voices.speech_loss".to_owned())]);
    let named = table_of(&[folder], &TableOptions { losses, ..TableOptions::default() }).unwrap();
    assert_eq!(named.table.runs()[0].loss, 2.0);
}

#[test]
fn runs_of_other_tokenizers_or_data_are_refused_by_name() {
    let parent = tempfile::tempdir().unwrap();
    let first = TEXT.write(parent.path(), "first", |_, _| 2.0);
    for (other, part) in [
        (Folder { tokenizer: "two", ..TEXT }, "different tokenizers (tokenizer.json"),
        (Folder { captions: "d", ..TEXT }, "different data (data.json: captions_sha256)"),
    ] {
        let second = other.write(parent.path(), "second", |_, _| 2.1);
        let folders = [first.clone(), second];
        let message = table_of(&folders, &TableOptions::default()).unwrap_err().to_string();
        assert!(message.contains(part) && message.contains("first") && message.contains("second"), "{message}");
        let allowed = TableOptions { different_data: true, ..TableOptions::default() };
        let found = table_of(&folders, &allowed).unwrap();
        assert_eq!((found.table.runs().len(), found.notes.len()), (2, 1), "{:?}", found.notes);
    }
    // The same data in another place is the same, and a pair is of other data than its modality.
    let elsewhere = TEXT.write(parent.path(), "elsewhere", |_, _| 2.2);
    let pair = Folder { lanes: &["image", "text"], captions: "e", ..TEXT }.write(parent.path(), "pair", |_, _| 2.2);
    assert_eq!(table_of(&[first, elsewhere, pair], &TableOptions::default()).unwrap().table.runs().len(), 3);
}

#[test]
fn what_is_no_finished_run_is_named() {
    let parent = tempfile::tempdir().unwrap();
    let message = |folders: &[PathBuf]| table_of(folders, &TableOptions::default()).unwrap_err().to_string();
    let finished = TEXT.write(parent.path(), "finished", |_, _| 2.0);
    let half = Folder { steps: 100, ..TEXT }.write(parent.path(), "half", |_, _| 2.0);
    let found = table_of(&[finished.clone(), half.clone()], &TableOptions::default()).unwrap();
    assert!(found.notes[0].contains("half is left out: 100 of 200 steps"), "{:?}", found.notes);
    assert!(message(&[half]).contains("at least one finished run"));
    assert!(message(&[]).contains("at least one finished run"));
    assert!(message(&[parent.path().to_owned()]).contains("config.toml is missing"));
    assert!(message(&[finished.clone(), finished.clone()]).contains("same run"));
    let nan = TEXT.write(parent.path(), "nan", |_, step| if step == STEPS { f64::NAN } else { 2.0 });
    assert!(message(&[nan]).contains("held_out/text_loss"));
    let three = Folder { lanes: &["a", "b", "c"], ..TEXT }.write(parent.path(), "three", |_, _| 2.0);
    assert!(message(&[three]).contains("one modality or a pair, found a, b, c"));
    let renamed = Folder { lanes: &["text"], prefix: "x_", ..TEXT }.write(parent.path(), "renamed", |_, _| 2.0);
    assert!(message(&[renamed]).contains("held_out/x_text_loss"));
    std::fs::remove_file(finished.join("metrics.jsonl")).unwrap();
    assert!(message(&[finished]).contains("metrics.jsonl"));
}

#[test]
fn phenomena_of_folders_are_those_of_their_curves() {
    let parent = tempfile::tempdir().unwrap();
    let pair = Folder { lanes: &["speech", "text"], ..TEXT };
    // Speech stands still in the second half; text falls always.
    let loss = |lane: usize, step: u64| {
        let falls = if lane == 0 { step.min(100) } else { step };
        4.0 * (-0.006 * falls as f64).exp()
    };
    let folders = [pair.write(parent.path(), "pair", loss), TEXT.write(parent.path(), "text", loss)];
    let mut settings = PhenomenaSettings::default();
    settings.ascent.decay = 0.0;
    settings.ascent.window = 1;
    settings.exponents.insert("speech|text".into(), (0.3, 0.2));
    let found = phenomena(&folders, &settings).unwrap();
    let run = &found.runs[0];
    let ascent = run.ascent.as_ref().unwrap();
    assert!((ascent.fraction - 100.0 / 199.0).abs() < 1e-9, "{ascent:?}");
    assert_eq!((ascent.modalities[0].modality.as_str(), ascent.modalities[0].longest), ("speech", 100));
    assert!((run.spikes.as_ref().unwrap().per_thousand - 3.0 / 180.0 * 1000.0).abs() < 1e-9);
    assert_eq!(run.cosines["gradient_cosine.speech.text"], 0.25);
    assert!(found.runs[1].ascent.is_none() && found.associations.len() == 6);
    let text = found.to_text();
    assert!(
        text.contains("coordinate ascent 0.503") && text.contains("is always the same; the paper: falls"),
        "{text}"
    );
    settings.spikes.window = 500;
    let short = phenomena(&folders, &settings).unwrap();
    assert!(
        short.runs[0].spikes.is_none() && short.runs[0].notes[0].contains("gradient norms"),
        "{:?}",
        short.runs[0].notes
    );
    settings.ascent.window = 0;
    assert!(phenomena(&folders, &settings).unwrap_err().to_string().contains("window"));
    assert!(phenomena(&[], &PhenomenaSettings::default()).is_err());
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(128))]

    #[test]
    fn nothing_in_a_folder_panics(
        metrics in "(\\{\"(step|loss|text_loss|text_count|gradient_norm)\":(-?[0-9]{1,20}|null|1e400|\"x\"|\\[\\])\\}\n){0,6}.{0,20}",
        d in any::<i64>(), layers in any::<i64>(), heads in any::<i64>(), more in "[a-z_]{0,8} = [0-9]{1,18}",
    ) {
        let parent = tempfile::tempdir().unwrap();
        let folder = TEXT.write(parent.path(), "run", |_, _| 2.0);
        let config = format!("[model.backbone]\nd_model = {d}\nn_layers = {layers}\nn_heads = {heads}\n{more}\n[model.modalities.text]\n");
        std::fs::write(folder.join("config.toml"), config).unwrap();
        let _ = read_run(&folder);
        std::fs::write(folder.join("metrics.jsonl"), metrics).unwrap();
        let _ = table_of(std::slice::from_ref(&folder), &TableOptions::default());
        let _ = phenomena(&[folder], &PhenomenaSettings::default());
    }
}
