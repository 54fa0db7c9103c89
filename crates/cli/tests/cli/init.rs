//! A configuration that fits images, minutes and this machine.

use std::fs;

use crate::fixture::{COLOURS, Sandbox};

/// `interfuse init` on the CPU, without a question.
const INIT: [&str; 8] = ["init", "images", "--minutes", "1", "--yes", "--device", "cpu", "--out"];

#[test]
fn a_folder_becomes_a_configuration_that_trains() {
    let sandbox = Sandbox::new();
    let ended = sandbox.interfuse(&[&INIT[..], &["mine.toml", "--size", "8x16"]].concat()).succeeded();
    ended.said(&["mine.toml: ", "interfuse train mine.toml\n", "interfuse sample runs/mine red\n"]);
    let text = String::from_utf8(sandbox.bytes("mine.toml")).expect("UTF-8");
    for part in [
        "8 of them, brought to 8x16, in 1 min",
        "Measured on the CPU",
        "image_size = [8, 16]",
        "8 captions, 8 of them different",
    ] {
        assert!(text.contains(part), "expected {part:?} in:\n{text}");
    }
    let train = ["train", "mine.toml", "--set", "train.steps=2", "--set", "preview.count=1"];
    sandbox.interfuse(&train).succeeded().said(&["8 images", "trained 2 steps", "runs/mine"]);

    // A file that is there is left alone.
    let again = [&INIT[..], &["mine.toml", "--size", "8x16"]].concat();
    sandbox.interfuse(&again).refused(&["`mine.toml` exists", "--force"]);
    assert_eq!(sandbox.bytes("mine.toml"), text.as_bytes());
}

#[test]
fn what_nobody_says_has_a_default_and_a_run_is_left_alone() {
    let sandbox = Sandbox::new();
    sandbox.write("images.toml", "old");
    fs::create_dir_all(sandbox.path("runs/images")).expect("a folder");
    // Nobody sits at this terminal; the images are in the folder that is looked for, and small enough to be left as they are.
    let args = ["init", "--minutes", "0.05", "--memory", "2", "--device", "cpu", "--force"];
    sandbox.interfuse(&args).succeeded().said(&["images.toml: ", "interfuse sample runs/images-2 red\n"]);
    let text = String::from_utf8(sandbox.bytes("images.toml")).expect("UTF-8");
    for part in ["image_size = [8, 16]", "dir = \"runs/images-2\"", "2.0 GiB of memory may be taken"] {
        assert!(text.contains(part), "expected {part:?} in:\n{text}");
    }
}

#[test]
fn what_cannot_be_trained_on_is_refused_before_anything_is_measured() {
    let sandbox = Sandbox::new();
    let init = |folder: &str, more: &[&str]| {
        let ended = sandbox.interfuse(&[&["init", folder, "--yes", "--device", "cpu"], more].concat());
        assert!(!ended.stderr.contains("measuring"), "{}", ended.stderr);
        ended
    };
    fs::create_dir(sandbox.path("empty")).expect("a folder");
    init("empty", &[]).refused(&["no captioned images found", "`empty`"]);
    init("nowhere", &[]).refused(&["`nowhere` does not exist"]);
    sandbox.write("images.tar", "no tar");
    init("images.tar", &[]).refused(&["a folder of images", "tar -xf", "found a file"]);
    for size in ["0x3", "wide", "32x", "9999", "257x263"] {
        init("images", &["--size", size]).refused(&["--size: expected", size]);
    }
    for minutes in ["0", "nan", "1e9"] {
        init("images", &["--minutes", minutes]).refused(&["--minutes: expected a number"]);
    }
    init("images", &["--memory", "0"]).refused(&["--memory: expected a number of GiB above 0"]);
    sandbox.interfuse(&["init", "images", "--yes", "--device", "gpu"]).refused(&["found `gpu`"]);
    init("images", &["--out", "nowhere/mine.toml"]).refused(&["nowhere/mine.toml"]);
    fs::remove_file(sandbox.path("images/metadata.jsonl")).expect("removed");
    let count = format!("{} images without captions", COLOURS.len());
    init("images", &[]).refused(&["a caption for each image", "metadata.jsonl", &count]);
    assert!(!sandbox.path("images.toml").exists());
}
