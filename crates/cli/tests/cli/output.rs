//! Standard output that closes, and warnings in a log file.

#![cfg(unix)]

use crate::fixture::Sandbox;

#[test]
fn a_reader_that_goes_away_ends_nothing() {
    let sandbox = Sandbox::new();
    let status = |args: &[&str]| {
        let ended = sandbox.in_shell("{ \"$0\" \"$@\"; echo $? > status; } | head -1", args);
        assert!(!ended.stderr.contains("panicked"), "{}", ended.stderr);
        String::from_utf8(sandbox.bytes("status")).expect("UTF-8").trim().to_owned()
    };
    assert_eq!(status(&["inspect", "tiny.toml"]), "0");
    assert_eq!(status(&["train", "tiny.toml", "--set", "train.steps=60"]), "0");
    assert!(sandbox.path("run/checkpoints/step-000060").exists(), "the training ended with its reader");
}

#[cfg(target_os = "linux")]
#[test]
fn a_full_disk_behind_the_output_loses_words_and_no_training() {
    let sandbox = Sandbox::new();
    let ended = sandbox.in_shell("exec \"$0\" \"$@\" > /dev/full", &["train", "tiny.toml"]);
    assert!(ended.code == Some(0) && !ended.stderr.contains("panicked"), "{}", ended.stderr);
    assert!(sandbox.path("run/checkpoints/step-000006").exists());
    // Of a command whose words are all that it makes, nobody should believe that it succeeded.
    let ended = sandbox.in_shell("exec \"$0\" \"$@\" > /dev/full", &["inspect", "tiny.toml"]);
    ended.refused(&["cannot write to the standard output", "No space left"]);
    // Nowhere to write to at all.
    let ended = sandbox.in_shell("\"$0\" \"$@\" > /dev/full 2> /dev/full", &["inspect", "nowhere.toml"]);
    assert_eq!(ended.code, Some(1));
}

#[test]
fn a_warning_is_one_plain_line() {
    let sandbox = Sandbox::new();
    let mut metadata = sandbox.bytes("images/metadata.jsonl");
    metadata.extend(b"{oops\n");
    sandbox.write("images/metadata.jsonl", metadata);
    for args in [&["data", "inspect", "tiny.toml", "--out", "sheet.png"][..], &["train", "tiny.toml"]] {
        let ended = sandbox.interfuse(args).succeeded();
        let lines: Vec<&str> = ended.stderr.lines().filter(|line| line.contains("metadata.jsonl")).collect();
        assert_eq!(lines.len(), 1, "{}", ended.stderr);
        assert!(!ended.stderr.contains('\u{1b}') && !ended.stderr.contains("interfuse_"), "{}", ended.stderr);
        assert!(ended.stderr.lines().all(|line| line.starts_with("warning: ")), "{}", ended.stderr);
    }
}
