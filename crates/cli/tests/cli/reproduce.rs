//! A paper's comparison at a size that takes seconds: one run after the other, side by side, and interrupted.

#![cfg(unix)]

use std::fs;

use crate::autoencoder::VAE;
use crate::fixture::{Ended, Sandbox};
use crate::resume::{send, wait_for_lines};

/// What makes the models of a laptop those of a test.
const TINY: [&str; 15] = [
    "run.device=cpu",
    "data.source.images=64",
    "model.backbone.d_model=16",
    "model.backbone.n_layers=1",
    "model.backbone.n_heads=2",
    "model.backbone.d_ff=32",
    "model.modalities.image.patch_size=8",
    "train.batch_size=2",
    "train.precision=f32",
    "optimizer.warmup_steps=2",
    "validation.images=8",
    "intervals.validation=4",
    "intervals.preview=0",
    "intervals.checkpoint=4",
    "run.keep_checkpoints=1",
];

fn arguments<'a>(out: &'a str, more: &[&'a str]) -> Vec<&'a str> {
    let mut args = vec!["reproduce", "mot", "--setting", "transfusion", "--seeds", "1", "--out", out];
    TINY.iter().for_each(|change| args.extend(["--set", *change]));
    args.extend(more);
    args
}

/// That two folders hold the same runs of dense and mot after so many steps, to the bit.
fn assert_same_runs(sandbox: &Sandbox, a: &str, b: &str, steps: u64) {
    for run in ["dense-seed0", "mot-seed0"] {
        for file in ["model.safetensors", "ema.safetensors", "training_state/optimizer.safetensors", "tokenizer.json"] {
            let of = |out: &str| sandbox.bytes(&format!("{out}/{run}/checkpoints/step-{steps:06}/{file}"));
            assert!(of(a) == of(b), "{run}: {file} differs");
        }
    }
}

#[test]
fn runs_side_by_side_are_those_of_one_after_the_other() {
    let sandbox = Sandbox::new();
    let short = ["--only", "dense,mot", "--set", "train.steps=12"];
    sandbox.interfuse(&arguments("one", &short)).succeeded().said(&["run 1 of 2: dense of seed 0"]);
    let beside = arguments("two", &[&short[..], &["--at-once", "2", "--threads", "2"]].concat());
    let ended = sandbox.interfuse(&beside).succeeded();
    ended.said(&[
        "dense of seed 0 begins",
        "mot of seed 0 begins",
        "two/children/mot-seed0/train.log",
        "dense of seed 0 is finished",
        "mot of seed 0 is finished",
        "all 2 runs are finished",
        "two/comparison/comparison.html",
    ]);
    assert_same_runs(&sandbox, "one", "two", 12);
    let again = sandbox.interfuse(&beside).succeeded();
    assert!(!again.stdout.contains("begins") && !again.stdout.contains("goes on from"), "{}", again.stdout);
    sandbox.interfuse(&arguments("two", &["--at-once", "0"])).refused(&["--at-once", "at least 1"]);
    sandbox.interfuse(&arguments("two", &["--at-once", "2", "--threads", "1"])).refused(&["--threads"]);
}

#[test]
fn a_cache_that_is_named_is_made_once_before_all_runs() {
    let sandbox = Sandbox::new();
    sandbox.write("vae.toml", VAE);
    sandbox.interfuse(&["vae", "train", "vae.toml"]).succeeded();
    let codec = "codec={ kind = \"vae\", path = \"vae-run/vae\", cache = \"cache\" }";
    let reproduce = |at_once: &str, out: &str| {
        let more = ["--only", "dense,mot", "--set", "train.steps=8", "--set", codec, "--at-once", at_once];
        sandbox.interfuse(&arguments(out, &more)).succeeded()
    };
    let first = reproduce("2", "two");
    assert_eq!(first.stdout.matches("encoding images: cache").count(), 1, "{}", first.stdout);
    assert!(sandbox.names("cache").contains(&"manifest.json".to_owned()));
    let second = reproduce("1", "one");
    assert!(!second.stdout.contains("encoding images"), "{}", second.stdout);
    assert_same_runs(&sandbox, "one", "two", 8);
}

#[test]
fn a_run_that_fails_is_named_and_the_others_go_on() {
    let sandbox = Sandbox::new();
    fs::create_dir(sandbox.path("out")).expect("a folder");
    sandbox.write("out/dense-seed0", "no folder");
    let short = ["--only", "dense,mot", "--set", "train.steps=8", "--at-once", "2"];
    let ended = sandbox.interfuse(&arguments("out", &short));
    let ended = ended.refused(&["1 of 2 runs failed: dense of seed 0 (exit code 1: ", "out/dense-seed0"]);
    ended.said(&["dense of seed 0 failed (exit code 1); its last words:\n    error: ", "mot of seed 0 is finished"]);
    fs::remove_file(sandbox.path("out/dense-seed0")).expect("removed");
    sandbox.interfuse(&arguments("out", &short)).succeeded().said(&["dense of seed 0 is finished"]);
}

#[test]
fn what_is_asked_to_end_or_killed_goes_on_to_the_same_bytes() {
    let sandbox = Sandbox::new();
    let long = ["--only", "dense,mot", "--set", "train.steps=300", "--at-once", "2"];
    let start = || sandbox.start(&arguments("cut", &long));

    let asked = start();
    ["dense", "mot"].iter().for_each(|run| wait_for_lines(&sandbox, &format!("cut/{run}-seed0/metrics.jsonl"), 6));
    send(&asked, "TERM");
    let ended = Ended::from(asked.wait_with_output().expect("it ends")).succeeded();
    ended.said(&["stopped; the same command goes on where it was"]);
    for run in ["dense", "mot"] {
        let log = String::from_utf8(sandbox.bytes(&format!("cut/children/{run}-seed0/train.log"))).expect("UTF-8");
        assert!(log.contains("stopped at step "), "{log}");
    }

    // The children outlive who is killed; whoever comes next waits for them.
    let killed = start();
    ["dense", "mot"].iter().for_each(|run| wait_for_lines(&sandbox, &format!("cut/{run}-seed0/metrics.jsonl"), 20));
    send(&killed, "KILL");
    assert_eq!(killed.wait_with_output().expect("it ends").status.code(), None, "it was not killed");
    sandbox.interfuse(&arguments("cut", &long)).succeeded().said(&["all 2 runs are finished"]);

    sandbox.interfuse(&arguments("whole", &long[..4])).succeeded();
    assert_same_runs(&sandbox, "cut", "whole", 300);
}

#[test]
fn a_size_of_the_paper_is_planned_and_needs_data_that_is_named() {
    let sandbox = Sandbox::new();
    let reproduce = |setting: &str, more: &[&str]| {
        sandbox.interfuse(&[&["reproduce", "mot", "--setting", setting][..], more].concat())
    };
    let list =
        reproduce("transfusion", &["--scale", "760m", "--list", "--gpus", "4", "--utilisation", "0.3"]).succeeded();
    list.said(&[
        "dense  seed 0  to be trained  runs/mot-transfusion-760m/dense-seed0",
        "GPU hours",
        "777.9M",
        "1457.4M",
        "6 runs: ",
        "on 4 GPUs of 989 TFLOP/s at 0.3",
        "before any is trained: --scale 760m: expected data to be named. `data.source`",
    ]);
    let refused = reproduce("chameleon", &["--scale", "37m", "--set", "codec.path=vae"]);
    refused.refused(&["--scale 37m", "`data.source`", "the captioned images"]);
    assert!(!sandbox.path("runs").exists(), "nothing is made before data is named");
    // What is named and is not there is told by the key.
    let source = "data.source={ kind = \"folder\", path = \"images\" }";
    let nowhere = ["--scale", "37m", "--only", "dense", "--set", source, "--set", "codec.path=nowhere"];
    reproduce("chameleon", &nowhere).refused(&["dense of seed 0", "nowhere"]);
    reproduce("transfusion", &["--scale", "37m"]).refused(&["--scale", "laptop, 163m, 760m", "`37m`"]);
    reproduce("speech", &["--scale", "443m", "--list", "--utilisation", "1.5"]).refused(&["--utilisation"]);
}
