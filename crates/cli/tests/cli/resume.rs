//! An interrupted run ends with the same bytes as one that was left alone.

#![cfg(unix)]

use std::process::{Child, Command};
use std::thread::sleep;
use std::time::{Duration, Instant};

use crate::fixture::{Ended, Sandbox};

/// Long enough to be interrupted in the middle. The learning rate depends on the number of steps, so every run has all.
const LONG: [&str; 5] = [
    "train.steps=150",
    "intervals.checkpoint=10",
    "intervals.preview=0",
    "intervals.validation=0",
    "train.gradient_accumulation=2",
];

#[test]
fn ctrl_c_saves_and_a_resume_ends_with_the_same_bytes() {
    let sandbox = Sandbox::new();
    let training = interrupt(&sandbox, "INT", 12);
    let ended = Ended::from(training.wait_with_output().expect("it ends")).succeeded();
    let words = ended.stdout.lines().find_map(|line| line.strip_prefix("stopped at step ")).expect("it stopped");
    let step: u64 = words.split(';').next().expect("a number").parse().expect("a number");
    assert!(words.contains("--resume"), "{words}");
    assert!(sandbox.path(&format!("interrupted/checkpoints/step-{step:06}/model.safetensors")).exists());
    assert_same_as_uninterrupted(&sandbox);
}

#[test]
fn sigterm_saves_as_ctrl_c_does() {
    let sandbox = Sandbox::new();
    // No checkpoint is due before the end.
    let long = [&LONG[..1], &["intervals.checkpoint=0", "run.dir=asked"], &LONG[2..4]].concat();
    let mut training = sandbox.start_training(&[&long[..], &["train.steps=100000"]].concat());
    wait_for_lines(&sandbox, "asked/metrics.jsonl", 3);
    send(&training, "TERM");
    assert_eq!(training.wait().expect("it ends").code(), Some(0));
    let left = sandbox.names("asked/checkpoints");
    assert!(left.len() == 1 && !left[0].ends_with(".partial"), "{left:?}");
}

#[test]
fn a_resume_says_that_the_data_is_other_data() {
    let sandbox = Sandbox::new();
    let quick = |steps: &'static str| [steps, "intervals.preview=0", "intervals.validation=0", "--resume"];
    sandbox.train(&quick("train.steps=2")[..3]).succeeded();
    let ended = sandbox.train(&quick("train.steps=3")).succeeded();
    assert!(!ended.stdout.contains("training images are"), "{}", ended.stdout);
    let metadata = String::from_utf8(sandbox.bytes("images/metadata.jsonl")).expect("UTF-8");
    sandbox.write("images/metadata.jsonl", metadata.replace("\"text\": \"red\"", "\"text\": \"rot\""));
    let ended = sandbox.train(&quick("train.steps=4")).succeeded();
    ended.said(&["changed since the run was started: captions or names of training images are others"]);
    sandbox.write("images/red.png", sandbox.bytes("images/blue.png"));
    let ended = sandbox.train(&quick("train.steps=5")).succeeded();
    let ended = ended.said(&["changed since the run was started: the training images are others"]);
    assert!(!ended.stdout.contains("captions or names"), "{}", ended.stdout);
}

#[test]
fn a_resume_says_what_has_changed_since_the_start() {
    let sandbox = Sandbox::new();
    let short = ["train.steps=2", "intervals.preview=0", "intervals.validation=0", "run.dir=short"];
    sandbox.train(&short).succeeded();
    let more =
        ["train.steps=3", "intervals.preview=0", "intervals.validation=0", "run.dir=short", "data.horizontal_flip=0.5"];
    let ended = sandbox.train(&[&more[..], &["--resume"]].concat()).succeeded();
    ended.said(&["changed since the run was started: train.steps: 2 → 3", "data.horizontal_flip: 0.0 → 0.5"]);
}

#[test]
fn after_a_kill_a_resume_goes_on_from_the_last_whole_checkpoint() {
    let sandbox = Sandbox::new();
    let training = interrupt(&sandbox, "KILL", 25);
    assert_eq!(training.wait_with_output().expect("it ends").status.code(), None, "it was not killed");
    assert_same_as_uninterrupted(&sandbox);
}

/// What Muon remembers is a checkpoint's as much as AdamW's moments, and neither is taken for the other.
#[test]
fn a_resume_goes_on_with_the_optimizer_that_it_began_with() {
    let sandbox = Sandbox::new();
    let muon = ["optimizer.matrices=\"muon\"", "optimizer.schedule=\"wsd\""];
    sandbox.train(&[&muon[..], &["run.dir=whole"]].concat()).succeeded();
    sandbox.train(&[&muon[..], &["run.dir=cut"]].concat()).succeeded();
    std::fs::remove_dir_all(sandbox.path("cut/checkpoints/step-000006")).expect("removed");
    let ended = sandbox.train(&["run.dir=cut", "optimizer.schedule=\"wsd\"", "--resume"]);
    ended.refused(&["optimizer.safetensors", "exp_avg_sq", "found none"]);
    sandbox.train(&[&muon[..], &["run.dir=cut", "--resume"]].concat()).succeeded();
    for file in ["model.safetensors", "training_state/optimizer.safetensors"] {
        let of = |run: &str| sandbox.bytes(&format!("{run}/checkpoints/step-000006/{file}"));
        assert!(of("cut") == of("whole"), "{file} differs");
    }
}

/// Dropout changes what is learned and not what is measured; with it too, a resume ends with the same bytes.
#[test]
fn dropout_is_of_training_alone_and_resumed_to_the_bit() {
    let sandbox = Sandbox::new();
    // Weights that stay as they are, so that only dropout could tell two runs apart.
    let still = ["optimizer.learning_rate=1e-30", "optimizer.final_learning_rate=0.0", "data.source.held_out=0.25"];
    let losses = |run: &str, rate: &str| {
        let (dir, rate) = (format!("run.dir={run}"), format!("model.backbone.dropout={rate}"));
        sandbox.train(&[&still[..], &[&dir, &rate]].concat()).succeeded();
        let of = |key: &str| -> Vec<serde_json::Value> {
            sandbox
                .json_lines(&format!("{run}/metrics.jsonl"))
                .iter()
                .filter_map(|line| line.get(key).cloned())
                .collect()
        };
        (of("held_out/text_loss"), of("text_loss"))
    };
    let (measured, learned) = losses("none", "0.0");
    let (measured_with, learned_with) = losses("half", "0.5");
    assert!(!measured.is_empty() && measured == measured_with, "{measured:?} and {measured_with:?}");
    assert!(learned.len() == 6 && learned != learned_with, "{learned:?}");

    let half = "model.backbone.dropout=0.5";
    sandbox.train(&[half, "run.dir=whole"]).succeeded();
    sandbox.train(&[half, "run.dir=cut"]).succeeded();
    std::fs::remove_dir_all(sandbox.path("cut/checkpoints/step-000006")).expect("removed");
    sandbox.train(&[half, "run.dir=cut", "--resume"]).succeeded();
    let of = |run: &str| sandbox.bytes(&format!("{run}/checkpoints/step-000006/model.safetensors"));
    assert!(of("cut") == of("whole"), "other weights");
    sandbox.train(&["model.backbone.dropout=1.0", "run.dir=no"]).refused(&["backbone.dropout", "below 1", "found 1"]);
}

/// Trains into `interrupted` and sends a signal once so many lines of metrics are written.
fn interrupt(sandbox: &Sandbox, signal: &str, lines: usize) -> Child {
    let child = sandbox.start_training(&[&LONG[..], &["run.dir=interrupted"]].concat());
    wait_for_lines(sandbox, "interrupted/metrics.jsonl", lines);
    send(&child, signal);
    child
}

/// Waits until a file has so many lines.
pub(crate) fn wait_for_lines(sandbox: &Sandbox, name: &str, lines: usize) {
    let path = sandbox.path(name);
    let started = Instant::now();
    while std::fs::read(&path).map_or(0, |text| text.iter().filter(|&&byte| byte == b'\n').count()) < lines {
        assert!(started.elapsed() < Duration::from_secs(60), "no metrics after a minute");
        sleep(Duration::from_millis(2));
    }
}

/// Sends a signal.
pub(crate) fn send(child: &Child, signal: &str) {
    let sent = Command::new("kill").args([format!("-{signal}"), child.id().to_string()]).status();
    assert!(sent.expect("kill runs").success());
}

/// Resumes `interrupted`, trains `whole` in one go, and compares.
fn assert_same_as_uninterrupted(sandbox: &Sandbox) {
    let ended = sandbox.train(&[&LONG[..], &["run.dir=interrupted", "--resume"]].concat()).succeeded();
    ended.said(&["resuming from interrupted/checkpoints/step-"]);
    sandbox.train(&[&LONG[..], &["run.dir=whole"]].concat()).succeeded();
    for file in ["model.safetensors", "ema.safetensors", "training_state/optimizer.safetensors"] {
        let of = |run: &str| sandbox.bytes(&format!("{run}/checkpoints/step-000150/{file}"));
        assert!(of("interrupted") == of("whole"), "{file} differs");
    }
    let steps = sandbox.json_lines("interrupted/metrics.jsonl").into_iter().filter(|line| line.get("loss").is_some());
    assert!(steps.map(|line| line["step"].as_u64()).eq((1..=150).map(Some)), "each step exactly once");
    let counted = |run: &str| counts_of(&sandbox.json_lines(&format!("{run}/metrics.jsonl")));
    assert_eq!(counted("interrupted"), counted("whole"), "what is counted over a run");
    let left = sandbox.names("interrupted/checkpoints");
    assert_eq!(left, ["step-000140", "step-000150"], "an unfinished save was left behind");
}

/// What the metrics of each step count over the run so far; at the end there is all of it.
fn counts_of(lines: &[serde_json::Value]) -> Vec<serde_json::Map<String, serde_json::Value>> {
    let is_count = |key: &str| {
        ["coordinate_ascent", "gradient_spikes", "epochs."].iter().any(|start| key.starts_with(start))
            || ["_seen_tokens", "_unique_tokens", "_seen_images", "_unique_images"].iter().any(|end| key.ends_with(end))
    };
    let of = |line: &serde_json::Value| -> Option<serde_json::Map<String, serde_json::Value>> {
        let record = line.as_object().filter(|record| record.contains_key("loss"))?;
        Some(record.iter().filter(|(key, _)| is_count(key)).map(|(key, value)| (key.clone(), value.clone())).collect())
    };
    let counts: Vec<_> = lines.iter().filter_map(of).collect();
    let last: Vec<&str> = counts.last().into_iter().flat_map(|record| record.keys()).map(String::as_str).collect();
    for key in [
        "coordinate_ascent",
        "coordinate_ascent.recent",
        "coordinate_ascent.recent.image",
        "coordinate_ascent.recent.text",
        "coordinate_ascent.turns",
        "gradient_spikes",
        "epochs.images",
        "text_seen_tokens",
        "text_unique_tokens",
        "image_seen_images",
        "image_unique_images",
    ] {
        assert!(last.contains(&key), "{key} is missing: {last:?}");
    }
    counts
}
