//! Run folders that are in use, begun and left, or of an earlier version.

use std::fs;

use crate::fixture::Sandbox;

/// Nothing but steps and checkpoints.
const QUICK: [&str; 2] = ["intervals.preview=0", "intervals.validation=0"];

#[test]
fn a_run_folder_has_a_name() {
    let sandbox = Sandbox::new();
    let before = sandbox.names(".");
    sandbox.train(&["run.dir="]).refused(&["run.dir", "expected the path of a folder"]);
    assert_eq!(sandbox.names("."), before, "something was written into the current folder");
}

#[cfg(unix)]
#[test]
fn a_folder_in_use_is_refused_and_free_again_after_a_kill() {
    use crate::resume::{send, wait_for_lines};

    let sandbox = Sandbox::new();
    let mut first = sandbox.start_training(&[&QUICK[..], &["train.steps=100000", "intervals.checkpoint=20"]].concat());
    wait_for_lines(&sandbox, "run/metrics.jsonl", 41);
    for second in [&["train.steps=100"][..], &["train.steps=100", "--resume"]] {
        sandbox.train(second).refused(&["run is in use by another process"]);
    }
    // It can be looked at.
    sandbox.interfuse(&["sample", "run", "red", "--count", "1", "--out", "generated"]).succeeded();
    send(&first, "KILL");
    first.wait().expect("it ends");
    let steps = sandbox.json_lines("run/metrics.jsonl").iter().filter_map(|line| line["step"].as_u64()).max();
    let more = format!("train.steps={}", steps.expect("a step") + 3);
    sandbox.train(&[&QUICK[..], &[&more, "--resume"]].concat()).succeeded().said(&["resuming from"]);
}

#[cfg(unix)]
#[test]
fn a_training_that_ended_before_its_first_checkpoint_is_begun_again() {
    let sandbox = Sandbox::new();
    sandbox.train_after("ulimit -f 64; trap '' XFSZ", &QUICK).refused(&["there is no checkpoint yet"]);
    assert!(sandbox.path("run/config.toml").exists());
    let none = ["expected a checkpoint to resume from", "without --resume, training begins again there"];
    sandbox.train(&["--resume"]).refused(&none);
    sandbox.train(&QUICK).succeeded().said(&["trained 6 steps"]);
    let lines = sandbox.json_lines("run/metrics.jsonl");
    assert_eq!(
        lines.iter().filter(|line| line["loss"].is_number()).count(),
        6,
        "curves of the first training are left"
    );
    sandbox.train(&QUICK).refused(&["already holds a run", "--resume"]);
}

#[test]
fn a_run_of_an_earlier_version_is_refused_in_one_sentence() {
    let sandbox = Sandbox::trained();
    let config = String::from_utf8(sandbox.bytes("run/config.toml")).expect("UTF-8");
    let old = config.replace("[intervals]", "[ every ]").replace("partition = ", "experts = ");
    sandbox.write("run/config.toml", old);
    let card = sandbox.json("run/checkpoints/step-000006/config.json");
    let card = card.to_string().replace("\"format_version\":2", "\"format_version\":1");
    sandbox.write("run/checkpoints/step-000006/config.json", card);
    let sentence = ["run holds a run of format 1", "`every`", "train it again"];
    sandbox.train(&["train.steps=9", "--resume"]).refused(&sentence);
    sandbox.interfuse(&["sample", "run", "red", "--out", "generated"]).refused(&sentence);
    sandbox.interfuse(&["caption", "run", "images/red.png"]).refused(&sentence);
    sandbox.interfuse(&["evaluate", "run", "--count", "2"]).refused(&sentence);
    sandbox.train(&[]).refused(&["run holds a run of format 1", "another folder"]);
    // Its configuration, used again, names the new keys.
    let renamed = ["`every` is now `intervals`", "is now `model.partition`"];
    sandbox.interfuse(&["train", "run/config.toml", "--set", "run.dir=new"]).refused(&renamed);
    // A checkpoint that was taken out of its run says it too.
    fs::rename(sandbox.path("run/checkpoints/step-000006"), sandbox.path("alone")).expect("renamed");
    sandbox
        .interfuse(&["sample", "alone", "red", "--out", "generated"])
        .refused(&["alone/config.json", "train it again"]);
}
